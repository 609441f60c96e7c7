package hl7

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// structuresText holds the message structures; its head explains its form.
//
//go:embed structures.txt
var structuresText string

// A part is a place of a message structure: a segment, or a group with kids.
type part struct {
	name  string
	many  bool    // repeats
	must  bool    // is required
	kids  []*part // of a group, in the standard's order
	holds map[string]bool
}

func (p *part) isGroup() bool { return p.kids != nil }

// lead returns the segment that a group begins with.
func (p *part) lead() string {
	for p.isGroup() {
		p = p.kids[0]
	}
	return p.name
}

// group returns the group of this name that stands in p itself.
func (p *part) group(name string) *part {
	if p == nil {
		return nil
	}
	for _, k := range p.kids {
		if k.isGroup() && k.name == name {
			return k
		}
	}
	return nil
}

// structures are those of one version. Safe for concurrent use.
type structures struct {
	names  []string // in the file's order
	byName map[string]func() *part
	events map[event]string // to a name
}

// An event is a message code and its trigger event.
type event struct{ code, trigger string }

// of returns the structure of a message, nil for one that is not known: that of
// its event, else the one that it names.
func (s *structures) of(code, trigger, name string) *part {
	if n, ok := s.events[event{code, trigger}]; ok {
		name = n
	}
	if get := s.byName[name]; get != nil {
		return get()
	}
	return nil
}

func mustIndex(v version) *structures {
	s, err := indexStructures(structuresText, v)
	if err != nil {
		panic("hl7: structures.txt: " + err.Error())
	}
	return s
}

// indexStructures finds the structures of a version; what they hold is read
// when it is asked for.
func indexStructures(text string, v version) (*structures, error) {
	s := &structures{byName: make(map[string]func() *part, 256), events: make(map[event]string, 512)}
	for i := 1; text != ""; i++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if line == "" || line[0] == '#' || line[0] == ' ' {
			continue
		}
		at := i
		body := text[:endOfBody(text)]
		words := strings.Fields(line)
		name, in, err := inRange(words[0], v)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i, err)
		}
		if !in {
			continue
		}
		s.names = append(s.names, name)
		s.byName[name] = sync.OnceValue(func() *part {
			p, err := readStructure(name, body, v)
			if err != nil {
				panic(fmt.Sprintf("hl7: structures.txt: %s, after line %d: %v", name, at, err))
			}
			return p
		})
		code, trigger, _ := strings.Cut(name, "_")
		if len(words) == 1 {
			s.events[event{code, trigger}] = name
			continue
		}
		if words[1] != "=" {
			return nil, fmt.Errorf("line %d: no = before its events", i)
		}
		for _, w := range words[2:] {
			e, in, err := inRange(w, v)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i, err)
			}
			c, t, full := strings.Cut(e, "_")
			if !full {
				c, t = code, e
			}
			if in {
				s.events[event{c, t}] = name
			}
		}
	}
	return s, nil
}

// endOfBody returns where the lines that begin with a space end.
func endOfBody(text string) int {
	end := 0
	for end < len(text) && text[end] == ' ' {
		i := strings.IndexByte(text[end:], '\n')
		if i < 0 {
			return len(text)
		}
		end += i + 1
	}
	return end
}

// inRange reads "PV1?@2.4-2.6,2.8+": the word before @, and whether a version
// is in the range after it.
func inRange(word string, v version) (name string, in bool, err error) {
	name, span, ranged := strings.Cut(word, "@")
	if !ranged {
		return name, true, nil
	}
	for one := range strings.SplitSeq(span, ",") {
		from, to, isSpan := strings.Cut(one, "-")
		from, open := strings.CutSuffix(from, "+")
		lo, ok := versionNamed(from)
		hi := lo
		if from == "" {
			lo, ok = 0, isSpan
		}
		if isSpan {
			var known bool
			hi, known = versionNamed(to)
			ok = ok && known
		}
		if open {
			hi = version(len(versions) - 1)
		}
		if !ok {
			return "", false, fmt.Errorf("%s is no range of versions", one)
		}
		in = in || v >= lo && v <= hi
	}
	return name, in, nil
}

// readStructure reads "MSH EVN? INSURANCE(IN1 IN2?)*".
func readStructure(name, body string, v version) (*part, error) {
	words := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(body, "(", "( "), ")", " )"))
	kids, rest, err := readParts(words, v)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s closes nothing", rest[0])
	}
	return newGroup(&part{name: name, kids: kids}), err
}

// readParts reads until the end or the parenthesis that closes the group; rest
// begins with it.
func readParts(words []string, v version) (kids []*part, rest []string, err error) {
	for len(words) > 0 && words[0][0] != ')' {
		word := words[0]
		words = words[1:]
		var group []*part
		var in bool
		name, opens := strings.CutSuffix(word, "(")
		if opens {
			if group, words, err = readParts(words, v); err != nil {
				return nil, nil, err
			}
			if len(words) == 0 {
				return nil, nil, fmt.Errorf("%s is not closed", name)
			}
			word = name + words[0][1:]
			words = words[1:]
		}
		if word, in, err = inRange(word, v); err != nil {
			return nil, nil, err
		}
		p := &part{name: strings.TrimRight(word, "?*+"), kids: group}
		how := word[len(p.name):]
		p.many, p.must = how == "*" || how == "+", how == "" || how == "+"
		switch {
		case !in || opens && len(group) == 0:
		case opens:
			kids = append(kids, newGroup(p))
		default:
			kids = append(kids, p)
		}
	}
	return kids, words, nil
}

// newGroup notes the segments that stand anywhere in a group.
func newGroup(p *part) *part {
	p.holds = make(map[string]bool, len(p.kids))
	for _, k := range p.kids {
		if !k.isGroup() {
			p.holds[k.name] = true
		}
		for name := range k.holds {
			p.holds[name] = true
		}
	}
	return p
}
