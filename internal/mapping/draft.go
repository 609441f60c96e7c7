package mapping

import (
	"strconv"
	"strings"
)

// A draft is a file of the language as an editor has it: perhaps half typed.
// It is read by a reader of its own that never fails, where the strict one
// refuses the file as a whole: blocks end by indentation, what is opened in a
// block and not closed ends with it, and a line without a colon is a key to
// come. Of a file that is well formed both make the same tree.
type draft struct {
	lines [][]rune
	root  *node
}

// A draftPos is a place in a draft; line and col count from 0, in characters.
type draftPos struct{ line, col int }

func (p draftPos) before(o draftPos) bool {
	return p.line < o.line || p.line == o.line && p.col < o.col
}

// A node is one value of a draft.
type node struct {
	kind    yamlKind
	text    string // of a scalar
	at, end draftPos
	inner   int  // column of a scalar's first character, behind the quote
	quote   rune // ' or " or | or 0
	flow    bool // in brackets
	keys    []nodeKey
	list    []*node
}

type nodeKey struct {
	key     string
	at, end draftPos
	val     *node
	partial bool // no colon yet
}

func (n *node) child(key string) *node {
	if n != nil {
		for _, k := range n.keys {
			if k.key == key {
				return k.val
			}
		}
	}
	return nil
}

func (n *node) textOf(key string) string {
	if c := n.child(key); c != nil && len(c.keys)+len(c.list) == 0 {
		return c.text
	}
	return ""
}

// value turns a draft's node into what the loader compiles. Keys that are
// still typed are left out.
func (n *node) value(file *sourceFile) *value {
	if n == nil {
		return nil
	}
	v := &value{kind: n.kind, text: n.text, at: place{file: file, line: n.at.line + 1, col: n.at.col + 1}}
	v.bool = n.kind == yamlBool && n.text == "true"
	seen := make(map[string]bool, len(n.keys))
	for _, k := range n.keys {
		if !k.partial && !seen[k.key] {
			seen[k.key] = true
			v.keys = append(v.keys, entry{key: k.key, at: place{file: file, line: k.at.line + 1, col: k.at.col + 1}, val: k.val.value(file)})
		}
	}
	for _, i := range n.list {
		v.list = append(v.list, i.value(file))
	}
	return v
}

// readDraft reads a file that the strict reader takes by its size; of another
// one nothing.
func readDraft(text string) *draft {
	d := &draft{}
	if checkNesting([]byte(text)) != nil {
		text = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		d.lines = append(d.lines, []rune(strings.TrimSuffix(line, "\r")))
	}
	r := &draftReader{lines: d.lines}
	d.root = r.block(0, 0)
	return d
}

// A draftReader stands at a place of the text.
type draftReader struct {
	lines [][]rune
	pos   draftPos
}

func (r *draftReader) line() []rune { return r.lines[r.pos.line] }

// content goes to the next line with content, unless the rest of this one has
// some, and returns its indentation; ok is false at the end.
func (r *draftReader) content() (indent int, ok bool) {
	for r.pos.line < len(r.lines) {
		line := r.line()
		i := r.pos.col
		for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
			i++
		}
		if i < len(line) && line[i] != '#' && !(i == 0 && strings.HasPrefix(string(line), "---")) {
			r.pos.col = i
			return i, true
		}
		r.nextLine()
	}
	return 0, false
}

func (r *draftReader) nextLine() { r.pos = draftPos{r.pos.line + 1, 0} }

func (r *draftReader) dash() bool {
	line, i := r.line(), r.pos.col
	return line[i] == '-' && (i+1 == len(line) || line[i+1] == ' ')
}

// keyEnd returns the column of the colon behind the key that stands here, or -1.
func (r *draftReader) keyEnd() int {
	line, i := r.line(), r.pos.col
	if q := line[i]; q == '"' || q == '\'' {
		for i++; i < len(line) && line[i] != q; i++ {
			if line[i] == '\\' && q == '"' {
				i++
			}
		}
		if i++; i < len(line) && line[i] == ':' && (i+1 == len(line) || line[i+1] == ' ') {
			return i
		}
		return -1
	}
	if strings.ContainsRune("{[|>&*!%@`", line[i]) {
		return -1
	}
	for ; i < len(line); i++ {
		if line[i] == '#' && i > 0 && line[i-1] == ' ' {
			return -1
		}
		if line[i] == ':' && (i+1 == len(line) || line[i+1] == ' ') {
			return i
		}
	}
	return -1
}

// block reads the value that stands at indentation least or deeper, or nothing.
func (r *draftReader) block(least, depth int) *node {
	at := r.pos
	indent, ok := r.content()
	if !ok || indent < least || depth > maxNesting {
		return &node{kind: yamlNull, at: at, end: at}
	}
	switch {
	case r.dash():
		return r.blockList(indent, depth)
	case r.keyEnd() >= 0 || r.siblingFollows(indent):
		return r.blockMap(indent, depth)
	}
	return r.inline(least, depth)
}

// siblingFollows says whether the line below goes on with a map to which the
// word that stands here belongs.
func (r *draftReader) siblingFollows(indent int) bool {
	if strings.ContainsRune("\"'{[|>", r.line()[indent]) {
		return false
	}
	next := draftReader{lines: r.lines, pos: draftPos{r.pos.line + 1, 0}}
	i, ok := next.content()
	return ok && i == indent && !next.dash() && next.keyEnd() >= 0
}

func (r *draftReader) blockList(indent, depth int) *node {
	n := &node{kind: yamlList, at: r.pos}
	for {
		i, ok := r.content()
		if !ok || i != indent || !r.dash() {
			n.end = r.pos
			return n
		}
		r.pos.col++
		line := r.pos.line
		if _, ok := r.content(); ok && r.pos.line == line {
			n.list = append(n.list, r.block(r.pos.col, depth+1))
		} else {
			n.list = append(n.list, r.block(indent+1, depth+1))
		}
	}
}

func (r *draftReader) blockMap(indent, depth int) *node {
	n := &node{kind: yamlMap, at: r.pos}
	for {
		i, ok := r.content()
		if !ok || i < indent || i == indent && r.dash() {
			n.end = r.pos
			return n
		}
		if i > indent { // belongs to nothing
			r.nextLine()
			continue
		}
		at, end := r.pos, r.keyEnd()
		if end < 0 {
			word := strings.TrimRight(cutComment(string(r.line()[i:])), " \t")
			n.keys = append(n.keys, nodeKey{key: word, at: at, end: draftPos{at.line, i + len([]rune(word))}, val: &node{at: at, end: at}, partial: true})
			r.nextLine()
			continue
		}
		k := nodeKey{key: unquote(strings.TrimSpace(string(r.line()[i:end]))), at: at, end: draftPos{at.line, end}}
		r.pos.col = end + 1
		if _, ok := r.content(); ok && r.pos.line == at.line {
			k.val = r.inline(indent+1, depth)
		} else if i, ok := r.content(); ok && i == indent && r.dash() {
			k.val = r.blockList(indent, depth+1)
		} else {
			k.val = r.block(indent+1, depth+1)
		}
		if k.val.kind == yamlNull && k.val.text == "" {
			k.val.at = draftPos{at.line, end + 1}
			k.val.end = k.val.at
		}
		n.keys = append(n.keys, k)
	}
}

// inline reads a value that begins behind a key or a dash; what goes on on
// further lines is indented by least or more.
func (r *draftReader) inline(least, depth int) *node {
	c := r.line()[r.pos.col]
	var n *node
	switch {
	case c == '{' || c == '[':
		n = r.flow(least, depth)
	case c == '"' || c == '\'':
		n = r.quoted(least)
	case c == '|' || c == '>':
		return r.literal(least)
	default:
		n = r.plain("", least)
	}
	if r.pos.line < len(r.lines) { // what stands behind it belongs to nothing
		r.nextLine()
	}
	return n
}

// plain reads a scalar without quotes up to one of the characters that end it,
// and on its further lines.
func (r *draftReader) plain(stop string, least int) *node {
	n := &node{at: r.pos, inner: r.pos.col}
	text := r.plainLine(stop)
	n.end = draftPos{r.pos.line, n.at.col + len([]rune(text))}
	if stop == "" {
		for {
			next := draftReader{lines: r.lines, pos: draftPos{r.pos.line + 1, 0}}
			i, ok := next.content()
			if !ok || i < least || next.pos.line != r.pos.line+1 || next.keyEnd() >= 0 || next.dash() {
				break
			}
			r.pos = next.pos
			more := r.plainLine(stop)
			text += " " + more
			n.end = draftPos{r.pos.line, i + len([]rune(more))}
		}
	}
	n.text = text
	n.resolve()
	return n
}

func (r *draftReader) plainLine(stop string) string {
	line, i := r.line(), r.pos.col
	for ; i < len(line); i++ {
		if strings.ContainsRune(stop, line[i]) || line[i] == '#' && i > 0 && line[i-1] == ' ' ||
			stop != "" && line[i] == ':' && (i+1 == len(line) || line[i+1] == ' ' || strings.ContainsRune(",]}", line[i+1])) {
			break
		}
	}
	text := strings.TrimRight(string(line[r.pos.col:i]), " \t")
	r.pos.col = i
	return text
}

// resolve tells what a scalar without quotes is.
func (n *node) resolve() {
	switch n.kind = yamlString; n.text {
	case "", "null", "~", "Null", "NULL":
		n.kind = yamlNull
	case "true", "false":
		n.kind = yamlBool
	default:
		if c := n.text[0]; c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' {
			if _, err := strconv.ParseFloat(n.text, 64); err == nil {
				n.kind = yamlNumber
			}
		}
	}
}

// quoted reads a scalar in quotes. One that is not closed ends with its line,
// unless a deeper line closes it.
func (r *draftReader) quoted(least int) *node {
	q := r.line()[r.pos.col]
	n := &node{kind: yamlString, at: r.pos, inner: r.pos.col + 1, quote: q}
	r.pos.col++
	var raw strings.Builder
	start := r.pos
	for first := true; ; first = false {
		closed := r.quotedLine(q, &raw)
		if closed {
			n.text = unescape(raw.String(), q)
			n.end = r.pos
			return n
		}
		end := r.pos
		r.nextLine()
		if i, ok := r.content(); !ok || i < least || first && !r.closes(q, least) {
			r.pos = draftPos{start.line, len(r.lines[start.line])}
			n.text = unescape(string(r.lines[start.line][start.col:]), q)
			n.end = draftPos{start.line, end.col}
			return n
		}
		raw.WriteByte(' ')
	}
}

// closes says whether a deeper line below holds the quote.
func (r *draftReader) closes(q rune, least int) bool {
	next := draftReader{lines: r.lines, pos: r.pos}
	for range 100 {
		if i, ok := next.content(); !ok || i < least || next.keyEnd() >= 0 {
			return false
		}
		if strings.ContainsRune(string(next.line()), q) {
			return true
		}
		next.nextLine()
	}
	return false
}

func (r *draftReader) quotedLine(q rune, raw *strings.Builder) (closed bool) {
	line := r.line()
	for i := r.pos.col; i < len(line); i++ {
		switch {
		case line[i] == '\\' && q == '"' && i+1 < len(line):
			raw.WriteRune('\\')
			i++
			raw.WriteRune(line[i])
		case line[i] == q && q == '\'' && i+1 < len(line) && line[i+1] == q:
			raw.WriteRune(q)
			i++
		case line[i] == q:
			r.pos.col = i + 1
			return true
		default:
			raw.WriteRune(line[i])
		}
	}
	r.pos.col = len(line)
	return false
}

// literal reads a block scalar, | or >.
func (r *draftReader) literal(least int) *node {
	n := &node{kind: yamlString, at: r.pos, quote: '|'}
	mark := string(r.line()[r.pos.col:])
	var lines []string
	indent := -1
	for r.nextLine(); r.pos.line < len(r.lines); r.nextLine() {
		line := r.line()
		i := 0
		for i < len(line) && line[i] == ' ' {
			i++
		}
		if i == len(line) {
			lines = append(lines, "")
			continue
		}
		if indent < 0 {
			indent = max(i, least)
		}
		if i < indent {
			break
		}
		lines = append(lines, string(line[indent:]))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	between, last := "\n", "\n"
	if mark[0] == '>' {
		between = " "
	}
	if strings.HasPrefix(mark[1:], "-") {
		last = ""
	}
	n.text = strings.Join(lines, between) + last
	n.end = draftPos{r.pos.line - 1, len(r.lines[r.pos.line-1])}
	return n
}

func cutComment(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		return s[:i]
	}
	return s
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return unescape(s[1:len(s)-1], rune(s[0]))
	}
	return s
}

func unescape(s string, q rune) string {
	if q != '"' || !strings.Contains(s, `\`) {
		return s
	}
	if t, err := strconv.Unquote(`"` + s + `"`); err == nil {
		return t
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\/`, `/`).Replace(s)
}
