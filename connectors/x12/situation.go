package x12

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A situation is what a guide says of one value when another is there: that it is required (need), is
// not to be sent (bar) or has a form. What is called for is an element of the same segment, or, where the
// situation names a loop, a segment or loop in it. A form is always of an element of the same segment.
type situation struct {
	loop, segment string  // whose value calls; loop "" is any
	places        []place // any of which
	values        []string
	unless        bool // none of the places has one of the values
	verb          string
	targets       []target
}

// A place is an element of a segment, or a component.
type place struct{ element, component int }

// A target is what is called for.
type target struct {
	place                // an element of the same segment
	form          string // of it
	loop, segment string // or a segment, in the loop itself or in one inside it; of segment "" the loop inside
	value         string // of the segment's qualifier
}

// A call is a situation that has come about in a loop that is open.
type call struct {
	*situation
	cause cause
}

func readPlace(text string) (p place, err error) {
	element, component, parts := strings.Cut(text, ".")
	if p.element, err = strconv.Atoi(element); err == nil && parts {
		p.component, err = strconv.Atoi(component)
	}
	if err != nil || p.element < 1 || p.element > 63 {
		return p, fmt.Errorf("%q is no element, such as 05.2", text)
	}
	return p, nil
}

// readSituation reads what follows when or unless: "PWK-02=BM|EL need PWK-06", "2300/CLM-05.3=7|8 need REF*F8".
func readSituation(word, text string) (s situation, err error) {
	f := strings.Fields(text)
	if len(f) < 3 || !slices.Contains([]string{"need", "bar", "form"}, f[1]) {
		return s, fmt.Errorf("a situation is [LOOP/]SEGMENT-ELEMENT=VALUES need, bar or form, and of what")
	}
	s.unless, s.verb = word == "unless", f[1]
	where, values, ok := strings.Cut(f[0], "=")
	if !ok {
		return s, fmt.Errorf("%q has no values: REF-01=F8", f[0])
	}
	s.values = strings.Split(values, "|")
	if loop, rest, in := strings.Cut(where, "/"); in {
		s.loop, where = loop, rest
	}
	segment, places, _ := strings.Cut(where, "-")
	s.segment = segment
	for text := range strings.SplitSeq(places, ",") {
		p, err := readPlace(text)
		if err != nil {
			return s, err
		}
		s.places = append(s.places, p)
	}
	for _, text := range f[2:] {
		var t target
		if s.loop != "" && s.verb != "form" {
			if loop, rest, in := strings.Cut(text, "/"); in {
				t.loop, text = loop, rest
			}
			t.segment, t.value, _ = strings.Cut(text, "*")
			s.targets = append(s.targets, t)
			continue
		}
		text, t.form, _ = strings.Cut(text, "=")
		rest, same := strings.CutPrefix(text, segment+"-")
		if t.place, err = readPlace(rest); err != nil || !same || (s.verb == "form") != (forms[t.form].code != "") {
			return s, fmt.Errorf("%q is no element of %s, or has no form that is known", text, segment)
		}
		s.targets = append(s.targets, t)
	}
	return s, nil
}

// value returns an element, or a component, of the segment in hand; of one that repeats the first.
func (c *checker) value(p place) []byte {
	if p.element > len(c.parts) {
		return nil
	}
	v := c.parts[p.element-1]
	if p.component > 0 {
		v = trimSpaces(nth(v, c.d.component, p.component))
	}
	return v
}

// comesAbout says whether a situation has come about in the segment in hand, and by which element.
func (c *checker) comesAbout(s *situation) (by place, ok bool) {
	for _, p := range s.places {
		if contains(s.values, string(c.value(p))) {
			return p, !s.unless
		}
	}
	return s.places[0], s.unless
}

// situations compares the segment in hand with what its own values call for, and keeps
// in mind what they call for in the loop f.
func (c *checker) situations(s *segment, f *frame, all []situation, bad badFunc) {
	for i := range all {
		one := &all[i]
		if one.loop != "" && one.loop != f.loop.name {
			continue
		}
		by, ok := c.comesAbout(one)
		if !ok {
			continue
		}
		why := cause{segment: c.position, id: s.id, loop: f.loop.name, element: by.element, component: by.component}
		if one.loop != "" && one.verb != "form" {
			f.calls = append(f.calls, call{one, why})
			continue
		}
		for _, t := range one.targets {
			v := c.value(t.place)
			switch {
			case one.verb == "need" && len(v) == 0:
				c.cause = &why
				bad(situations, "I9", t.element, t.component, 0)
			case one.verb == "bar" && len(v) > 0:
				c.cause = &why
				bad(situations, "I13", t.element, t.component, 0)
			case one.verb == "form" && len(v) > 0 && !forms[t.form].is(v):
				bad(forms[t.form].class, forms[t.form].code, t.element, t.component, 0)
			}
			c.cause = nil
		}
	}
}

// meant says whether a target is an item of a loop, in the loop that called or in one inside it.
func (t *target) meant(f *frame, i int, inside bool) bool {
	it := &f.loop.items[i]
	switch {
	case t.segment == "":
		return !inside && it.loop != nil && it.loop.name == t.loop
	case it.loop != nil || it.segment != t.segment || inside != (t.loop != "") || inside && f.loop.name != t.loop:
		return false
	}
	return t.value == "" || contains(it.when.values, t.value)
}

// calling goes over what has been called for of the loop f, in itself or from the one that it is in.
func (f *frame) calling(verb string, each func(*call, *target, bool)) {
	for _, of := range []*frame{f, f.up} {
		if of == nil {
			continue
		}
		for i := range of.calls {
			if k := &of.calls[i]; k.verb == verb {
				for j := range k.targets {
					each(k, &k.targets[j], of != f)
				}
			}
		}
	}
}

// barred notes a segment, or the beginning of a loop, that stands where another value excludes it.
func (c *checker) barred(f *frame, i int, s *segment) {
	f.calling("bar", func(k *call, t *target, inside bool) {
		if t.meant(f, i, inside) {
			c.note(fault{code: "I9", class: situations, id: s.id, loop: f.loop.name, cause: &k.cause})
		}
	})
}

// lacking notes what a loop that has ended should have for another value, and has not.
func (c *checker) lacking(f *frame) {
	f.calling("need", func(k *call, t *target, inside bool) {
		missing := -1
		for i := range f.loop.items {
			if t.meant(f, i, inside) {
				if f.counts[i] > 0 {
					return
				}
				missing = i
			}
		}
		if missing >= 0 {
			it := &f.loop.items[missing]
			loop := f.loop.name
			if it.loop != nil {
				loop = it.loop.name
			}
			c.note(fault{code: "I6", class: situations, segment: f.first, id: it.starts().segment, loop: loop, cause: &k.cause})
		}
	})
}
