package workbench

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/vagus-health/vagus/internal/tree"
)

// A Scrubber turns real messages into test inputs: every value that may tell
// of a person is replaced by one of the same length and format, and all else
// stays, to the byte.
type Scrubber struct {
	Dialect tree.Dialect
	Format  string
	// Key makes the replacements: with one key, one value is replaced alike in
	// every message.
	Key []byte
	// Keep are the labels whose values stay, dates excepted, which move with all
	// others. [KeptLabels] is what a test input needs.
	Keep tree.Labels
}

// KeptLabels do not tell who a patient is.
const KeptLabels = tree.Admin | tree.Order

// A Scrubbed is a message without its patient. It says how many values were
// replaced and kept.
type Scrubbed struct {
	Body           []byte
	Replaced, Kept int
}

// A fate is what becomes of a value.
type fate uint8

const (
	stays fate = iota
	shifts
	picked // replaced by another code of its table
	goes
)

// A leaf is one value of a message and where its text stands.
type leaf struct {
	span
	fate   fate
	kind   tree.Kind
	layout string
	family []string
	place  string
}

// Scrub replaces what tells of a person in one message. A value that nothing
// describes (a Z segment, an extension, an unknown name) is replaced wholly. It
// fails, and gives nothing, when a replaced value of three or more characters
// is still to be found in the result, and for formats whose values it can not
// find in the bytes.
func (s *Scrubber) Scrub(body []byte) (Scrubbed, error) {
	msg, err := s.Dialect.Decode(body, nil)
	if err != nil {
		return Scrubbed{}, err
	}
	schema, err := schemaOf(s.Dialect, msg)
	if err != nil {
		return Scrubbed{}, err
	}
	w := &labelWalk{keep: s.Keep, at: map[int]*leaf{}}
	w.walk(msg.Root, schema, labelled{known: true})
	spans, err := spansOf(s.Format, body)
	if err != nil {
		return Scrubbed{}, err
	}
	leaves, err := w.place(body, spans)
	if err != nil {
		return Scrubbed{}, err
	}
	var secrets []string // what may not be there afterwards
	for _, l := range leaves {
		if text := strings.TrimSpace(l.text); l.fate >= shifts && l.fate != picked && len([]rune(text)) >= 3 && !slices.Contains(secrets, text) && tells(text) {
			secrets = append(secrets, text)
		}
	}
	// A date that was moved may by chance be another one of the message.
	for try := range 50 {
		d := &disguise{key: s.Key, secrets: secrets, body: body, try: try}
		out, texts, replaced := d.apply(body, leaves)
		if at := d.leak(out, texts, leaves); at == "" {
			return Scrubbed{Body: out, Replaced: replaced, Kept: len(leaves) - replaced}, s.check(out)
		} else if try == 49 {
			return Scrubbed{}, fmt.Errorf("a value of %s would still be found in the result: remove it by hand first", at)
		}
	}
	return Scrubbed{}, errors.New("unreachable")
}

// check makes sure that what came out is a message still.
func (s *Scrubber) check(out []byte) error {
	if _, err := s.Dialect.Decode(out, nil); err != nil {
		return fmt.Errorf("the result is no message any more, please report it: %w", err)
	}
	return nil
}

// tells says whether a text has anything that could be known again.
func tells(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) && r != '0' })
}

// A labelled is what is known of a place in a message.
type labelled struct {
	known  bool
	labels tree.Labels // of all elements on the way
	table  string      // of the field, for its first leaf
	place  string
}

// A labelWalk finds what each value of a message may tell.
type labelWalk struct {
	keep tree.Labels
	at   map[int]*leaf // by offset
}

func (w *labelWalk) walk(n *tree.Node, t *tree.Type, up labelled) {
	for i, k := range n.Kids {
		in := labelled{place: strings.TrimPrefix(up.place+"-"+k.Name, "-")}
		var e *tree.Element
		if t != nil && up.known {
			e = t.Element(k.Name)
		}
		var typ *tree.Type
		if e != nil {
			typ = e.Type
			in.known, in.labels = true, up.labels|e.Labels
			if in.table = e.Table; in.table == "" && i == 0 {
				in.table = up.table
			}
		}
		if len(k.Kids) > 0 {
			w.walk(k, typ, in)
			continue
		}
		if k.State == tree.Value && k.Text != "" {
			w.leaf(k, e, in)
		}
	}
}

// leaf decides about one value. A message may have views that show a node
// twice; the first one has the most specific labels.
func (w *labelWalk) leaf(n *tree.Node, e *tree.Element, in labelled) {
	if w.at[n.Pos.Offset] != nil {
		return
	}
	l := &leaf{fate: goes, place: in.place}
	l.text = n.Text
	w.at[n.Pos.Offset] = l
	if !in.known {
		return
	}
	typ := e.Type
	for typ.Kind == tree.Composite && len(typ.Elements) > 0 { // a composite that was sent as its first leaf
		first := typ.Elements[0]
		in.labels |= first.Labels
		in.table = cmp.Or(in.table, first.Table)
		typ = first.Type
	}
	l.kind, l.layout = typ.Kind, e.Layout
	says := in.labels &^ w.keep
	date := typ.Kind == tree.Date || typ.Kind == tree.DateTime
	switch {
	case slices.Contains(freeText, typ.Name):
	case date && in.labels != tree.None:
		l.fate = shifts
	case says == tree.None:
		l.fate = stays
	case structural(e, typ, says):
		l.fate = stays
	default:
		if l.family = familyOf(in.table, n.Text); l.family != nil {
			l.fate = picked
		}
	}
}

// freeText are types in which people write what they like: HL7 FT and TX, FHIR
// narrative and markdown.
var freeText = []string{"FT", "TX", "xhtml", "markdown"}

// structural says that a value tells what kind of thing the others are, not
// whose they are: the type code of an identifier (HL7 table 0203), the use of
// a name, the system that an identifier is of. Such a code has no label of its
// own and stands in something that has.
func structural(e *tree.Element, typ *tree.Type, says tree.Labels) bool {
	if e.Labels&says != 0 {
		return false
	}
	return typ.Kind == tree.Code && typ.Name != "IS" || slices.Contains([]string{"uri", "canonical", "oid"}, typ.Name)
}

// place joins what is known of the values with where texts stand. A text of
// which nothing is known goes.
func (w *labelWalk) place(body []byte, spans []span) ([]leaf, error) {
	found := make([]leaf, 0, len(spans))
	placed := 0
	for _, s := range spans {
		l := leaf{span: s, fate: goes, place: fmt.Sprintf("byte %d", s.from)}
		if known := w.at[s.at]; known != nil {
			l = *known
			text := l.text
			l.span = s
			if t, err := time.Parse(time.DateTime, s.text); err == nil && t.Format(time.RFC3339) == text { // as Odoo writes it
				l.text, text = s.text, s.text
			}
			if strings.TrimRight(s.text, " ") != strings.TrimRight(text, " ") && !s.raw { // X12 pads
				return nil, fmt.Errorf("%s: its text is not what stands at byte %d: is the character set one other than UTF-8? convert the message first", l.place, s.at)
			}
			placed++
		} else if s.fixed {
			continue
		}
		if s.envelope {
			continue
		}
		found = append(found, l)
	}
	if placed < len(w.at) {
		return nil, fmt.Errorf("%d of its %d values can not be found in the bytes: this format can not be scrubbed", len(w.at)-placed, len(w.at))
	}
	slices.SortFunc(found, func(a, b leaf) int { return cmp.Compare(a.from, b.from) })
	if slices.IndexFunc(found, func(l leaf) bool { return l.to > len(body) }) >= 0 {
		return nil, errors.New("a value ends beyond the message")
	}
	return found, nil
}

// apply writes the message anew. It returns the texts that are in it, too.
func (d *disguise) apply(body []byte, leaves []leaf) ([]byte, []string, int) {
	var out bytes.Buffer
	texts := make([]string, 0, len(leaves))
	at, replaced := 0, 0
	for _, l := range leaves {
		text := l.text
		switch l.fate {
		case shifts:
			text = d.date(l)
		case picked:
			text = d.pick(l)
		case goes:
			text = d.words(l.text)
		case stays:
			text = d.without(l.text)
		}
		if l.fate != stays || text != l.text {
			replaced++
		}
		if l.fate != picked {
			texts = append(texts, text)
		}
		if text == l.text || l.from < at {
			continue
		}
		out.Write(body[at:l.from])
		out.WriteString(l.write(text))
		at = l.to
	}
	out.Write(body[at:])
	return out.Bytes(), texts, replaced
}

// leak names the place of a value that is still in the result, or "". One that
// has digits is looked for everywhere, the others in what are values: PID is a
// segment's name, too.
func (d *disguise) leak(out []byte, texts []string, leaves []leaf) string {
	for _, s := range d.secrets {
		leaks := long(s) && strings.ContainsAny(s, "0123456789") && found(string(out), s) >= 0 || slices.ContainsFunc(texts, func(text string) bool { return found(text, s) >= 0 })
		if !leaks {
			continue
		}
		for _, l := range leaves {
			if strings.TrimSpace(l.text) == s {
				return l.place
			}
		}
	}
	return ""
}

// long says that a value is looked for within others.
func long(value string) bool { return len([]rune(value)) >= 6 }

// found returns where a value stands in a text, or -1. A short one must stand
// on its own: three digits are a part of many numbers.
func found(text, value string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], value)
		if i < 0 {
			return -1
		}
		i += from
		if long(value) || alone(text, i, i+len(value)) {
			return i
		}
		from = i + 1
	}
}

func alone(text string, from, to int) bool {
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	before, after := []rune(text[max(0, from-4):from]), []rune(text[to:min(len(text), to+4)])
	return !(len(before) > 0 && letter(before[len(before)-1])) && !(len(after) > 0 && letter(after[0]))
}
