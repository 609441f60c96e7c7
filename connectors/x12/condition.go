package x12

import (
	"fmt"
	"strconv"
	"strings"
)

// A condition is a syntax note of a segment or composite (X12.6 section
// 3.3.3.6): which of its parts need which others. P: all or none of them; R: one at
// least; E: one at most; C: with the first, all others; L: with the first, one of the others.
type condition struct {
	kind  byte
	parts []int // from 1
}

// readConditions reads "P0304 5010:E0207" for a release.
func readConditions(text string, r release) ([]condition, error) {
	var all []condition
	for _, word := range strings.Fields(text) {
		note, newer := strings.CutPrefix(word, "5010:")
		if len(note) < 5 || len(note)%2 == 0 || !strings.ContainsRune("PRECL", rune(note[0])) {
			return nil, fmt.Errorf("%q is no note, such as P0304", word)
		}
		c := condition{kind: note[0]}
		for at := 1; at < len(note); at += 2 {
			n, err := strconv.Atoi(note[at : at+2])
			if err != nil || n < 1 || n > 63 {
				return nil, fmt.Errorf("%q is no note, such as P0304", word)
			}
			c.parts = append(c.parts, n)
		}
		if !newer || r == release5010 {
			all = append(all, c)
		}
	}
	return all, nil
}

// broken returns the part that is missing or, with code 10 (data element 621), too
// much; 0 is none. Bit n of have says that part n is there.
func (c *condition) broken(have uint64) (part int, code string) {
	missing, first, second := 0, 0, 0
	for i, n := range c.parts {
		switch {
		case have&(1<<n) == 0:
			if missing == 0 && (i > 0 || c.kind == 'P' || c.kind == 'R') {
				missing = n
			}
		case first == 0:
			first = n
		case second == 0:
			second = n
		}
	}
	with := first == c.parts[0]
	switch {
	case c.kind == 'P' && first > 0, c.kind == 'C' && with, c.kind == 'R' && first == 0, c.kind == 'L' && with && second == 0:
		return missing, "2"
	case c.kind == 'E' && second > 0:
		return second, "10"
	}
	return 0, ""
}

// A rule is what a guide says of an element wherever the segment stands in it: that it is required, or
// which of the standard's codes it takes.
type rule struct {
	element, component int
	values             []string // none: required
}

// ruleTexts are the rules of one line: a need has many, and codes are of one element or of several, "HI-02,04:12.1 BF".
func ruleTexts(word, rest string) (all []string, err error) {
	if word == "need" {
		return strings.Fields(rest), nil
	}
	where, values, _ := strings.Cut(rest, " ")
	segment, place, _ := strings.Cut(where, "-")
	elements, component, parts := strings.Cut(place, ".")
	if parts {
		component = "." + component
	}
	for run := range strings.SplitSeq(elements, ",") {
		first, last, err := readRange(run, 63)
		if err != nil {
			return nil, err
		}
		for n := first; n <= last; n++ {
			all = append(all, segment+"-"+strconv.Itoa(n)+component+" "+values)
		}
	}
	return all, nil
}

// readRule reads "CLM-05.2 B" and, of a need, "CLM-05.2".
func readRule(text string) (segment string, r rule, err error) {
	f := strings.Fields(text)
	if len(f) == 0 {
		return "", r, fmt.Errorf("a rule is ELEMENT VALUES, such as CLM-05.2 B")
	}
	segment, place, _ := strings.Cut(f[0], "-")
	element, component, parts := strings.Cut(place, ".")
	if r.element, err = strconv.Atoi(element); err == nil && parts {
		r.component, err = strconv.Atoi(component)
	}
	if err != nil || r.element < 1 {
		return "", r, fmt.Errorf("%q is no element, such as CLM-05.2", f[0])
	}
	r.values = f[1:]
	return segment, r, nil
}

// conditions compares the elements of a segment with its notes, and with the rules of the guide.
func (c *checker) conditions(notes []condition, rules []rule, have uint64, bad badFunc) {
	for i := range notes {
		if n, code := notes[i].broken(have); n > 0 {
			bad(conditions, code, n, 0, 0)
		}
	}
	for i := range rules {
		r := &rules[i]
		var v []byte
		if r.element <= len(c.parts) {
			v = c.parts[r.element-1]
		}
		if r.component > 0 {
			if len(v) == 0 {
				continue // the element itself is another rule's business
			}
			v = nth(v, c.d.component, r.component)
		}
		switch {
		case len(v) == 0 && len(r.values) == 0:
			bad(elements, "1", r.element, r.component, 0)
		case len(v) > 0 && len(r.values) > 0 && !contains(r.values, string(v)):
			bad(codes, "I6", r.element, r.component, 0)
		}
	}
}
