package x12

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// Encode writes the segments of a transaction set, each ended by ~, from what
// a mapping made or what Decode returned. ISA, GS and their trailers are
// left out: they belong to the partner that it is sent to, and so do ST and SE with
// their control number where the message has none. Elements without a value at
// the end of a segment are not written. The delimiters are * : ^ ~, of 004010
// * > ~. X12 has no escape: data that has one of them, or a control character,
// is an error.
func (d *dialect) Encode(m *tree.Message) ([]byte, error) {
	g, _ := d.guideOf(m.Type)
	w := &writer{dictionary: dictionaries[release5010](), d: delimiters{'*', ':', '^', []byte{'~'}}}
	if g != nil && g.release == release4010 {
		w.dictionary, w.d = dictionaries[release4010](), delimiters{'*', '>', 0, []byte{'~'}}
	}
	if err := w.group(m.Root, "", 0); err != nil {
		return nil, fmt.Errorf("encode x12: %w", err)
	}
	return w.out.Bytes(), nil
}

type writer struct {
	dictionary *dictionary
	d          delimiters
	out        bytes.Buffer
	segments   int
}

// group writes what is in a loop or at the root.
func (w *writer) group(n *tree.Node, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: over %d loops inside each other", path, maxDepth)
	}
	for _, k := range n.Kids {
		at := k.Name
		if path != "" {
			at = path + "." + k.Name
		}
		var err error
		switch def := w.dictionary.segments[k.Name]; {
		case k.Name == "ISA" || k.Name == "GS":
		case def != nil:
			err = w.segment(k, def, at)
		case isSegmentID(k.Name) && (len(k.Kids) == 0 || isNumber(k.Kids[0].Name)):
			err = w.segment(k, &segmentDef{id: k.Name}, at)
		default:
			err = w.group(k, at, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isSegmentID(s string) bool { return len(s) >= 2 && len(s) <= 3 && s[0] >= 'A' && s[0] <= 'Z' }

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (w *writer) segment(n *tree.Node, def *segmentDef, path string) error {
	if w.segments++; w.segments > maxSegments {
		return fmt.Errorf("over %d segments", maxSegments)
	}
	byPlace, last, err := places(n, path, maxElements)
	if err != nil {
		return err
	}
	w.out.WriteString(def.id)
	for i := 1; i <= last; i++ {
		w.out.WriteByte(w.d.element)
		for j, e := range byPlace[i] {
			if j > 0 && w.d.repetition == 0 {
				return fmt.Errorf("%s-%02d: elements do not repeat in this version", path, i)
			}
			if j > 0 {
				w.out.WriteByte(w.d.repetition)
			}
			binary := i <= len(def.elements) && def.elements[i-1].binary
			from := w.out.Len()
			if err := w.element(e, binary, fmt.Sprintf("%s-%02d", path, i)); err != nil {
				return err
			}
			if size := byPlace[i-1]; binary && (len(size) == 0 || size[0].Text != strconv.Itoa(w.out.Len()-from)) {
				return fmt.Errorf("%s-%02d: the element before is not the length of the data in bytes", path, i)
			}
		}
	}
	w.out.Write(w.d.terminator)
	return nil
}

// places returns the kids of a node that have a value by their number, and the
// greatest of these.
func places(n *tree.Node, path string, most int) (map[int][]*tree.Node, int, error) {
	by, last := make(map[int][]*tree.Node, len(n.Kids)), 0
	for _, k := range n.Kids {
		i, err := strconv.Atoi(k.Name)
		if err != nil || i < 1 || i > most {
			return nil, 0, fmt.Errorf("%s has no part %s", path, k.Name)
		}
		if k.State == tree.Null {
			return nil, 0, fmt.Errorf("%s-%s: X12 can not say that a value is to be deleted", path, k.Name)
		}
		if k.State == tree.Value && (k.Text != "" || len(k.Kids) > 0) {
			by[i] = append(by[i], k)
			last = max(last, i)
		}
	}
	return by, last, nil
}

func (w *writer) element(e *tree.Node, binary bool, path string) error {
	if binary {
		data, err := base64.StdEncoding.DecodeString(e.Text)
		if err != nil {
			return fmt.Errorf("%s: binary data is base64", path)
		}
		w.out.Write(data)
		return nil
	}
	if len(e.Kids) == 0 {
		return w.text(e.Text, path)
	}
	byPlace, last, err := places(e, path, maxElements)
	if err != nil {
		return err
	}
	for i := 1; i <= last; i++ {
		if i > 1 {
			w.out.WriteByte(w.d.component)
		}
		for j, c := range byPlace[i] {
			if j > 0 || len(c.Kids) > 0 {
				return fmt.Errorf("%s-%d: a component has one value", path, i)
			}
			if err := w.text(c.Text, fmt.Sprintf("%s-%d", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// text writes a leaf.
func (w *writer) text(s, path string) error {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == 0x7f || c == w.d.element || c == w.d.component || c == w.d.terminator[0] || w.d.repetition != 0 && c == w.d.repetition {
			return fmt.Errorf("%s: byte %d is a control character or one that separates, and can not stand in data", path, i+1)
		}
	}
	w.out.WriteString(s)
	return nil
}
