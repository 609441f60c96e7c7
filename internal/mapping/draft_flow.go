package mapping

// flow reads a map or a list in brackets. What is not closed ends where a line
// is indented less than the block that it stands in.
func (r *draftReader) flow(least, depth int) *node {
	open := r.line()[r.pos.col]
	n := &node{kind: yamlMap, at: r.pos, flow: true}
	if open == '[' {
		n.kind = yamlList
	}
	r.pos.col++
	for {
		n.end = r.pos
		c, ok := r.flowNext(least)
		if !ok {
			return n
		}
		switch {
		case c == ',':
			r.pos.col++
		case c == '}' || c == ']':
			r.pos.col++
			n.end = r.pos
			return n
		case n.kind == yamlList:
			n.list = append(n.list, r.flowValue(least, depth+1))
		default:
			n.keys = append(n.keys, r.flowKey(least, depth))
		}
	}
}

// flowNext goes to the next character in brackets; ok is false where the block
// around them goes on or the text ends.
func (r *draftReader) flowNext(least int) (c rune, ok bool) {
	line := r.pos.line
	back := r.pos
	i, ok := r.content()
	if !ok || r.pos.line != line && i < least {
		r.pos = back
		if back.line < len(r.lines) {
			r.pos.col = len(r.lines[back.line])
		}
		return 0, false
	}
	return r.line()[r.pos.col], true
}

func (r *draftReader) flowKey(least, depth int) nodeKey {
	k := nodeKey{at: r.pos}
	if q := r.line()[r.pos.col]; q == '"' || q == '\'' {
		k.key = r.quoted(least).text
	} else {
		k.key = r.plainLine(",]}[{")
		if r.pos == k.at { // such as a bracket where a key should be: go on
			r.pos.col++
		}
	}
	k.end = draftPos{k.at.line, k.at.col + len([]rune(k.key))}
	if r.pos.line == k.at.line && (r.line()[k.at.col] == '"' || r.line()[k.at.col] == '\'') {
		k.end = r.pos
	}
	k.val = &node{at: k.end, end: k.end}
	if c, ok := r.flowNext(least); !ok || c != ':' {
		k.partial = true
		return k
	}
	r.pos.col++
	k.val = &node{at: r.pos, end: r.pos}
	if c, ok := r.flowNext(least); ok && c != ',' && c != '}' && c != ']' {
		k.val = r.flowValue(least, depth+1)
	}
	return k
}

func (r *draftReader) flowValue(least, depth int) *node {
	switch c := r.line()[r.pos.col]; {
	case (c == '{' || c == '[') && depth < maxNesting:
		return r.flow(least, depth)
	case c == '"' || c == '\'':
		return r.quoted(least)
	}
	at := r.pos
	n := r.plain(",]}", least)
	if r.pos == at { // a colon or bracket that belongs to nothing
		r.pos.col++
	}
	return n
}
