package x12

import (
	"fmt"
	"strconv"
	"strings"
)

// A usage is what a guide says of the elements of a segment in one of its places, beyond the dictionary:
// bit n of an element's set is element n, that of a component's set component n.
type usage struct {
	need, no           uint64
	needParts, noParts []partsOf
}

// partsOf are components of one element.
type partsOf struct {
	element int
	parts   uint32
}

// read adds "+2,5:9,5.2:3", what is required, or "-3:4,1:12.3:9", what is not used.
func (u *usage) read(word string) error {
	for place := range strings.SplitSeq(word[1:], ",") {
		elements, components, parts := strings.Cut(place, ".")
		first, last, err := readRange(elements, 63)
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
		from, to := 0, 0
		if parts {
			if from, to, err = readRange(components, 31); err != nil {
				return fmt.Errorf("%s: %w", word, err)
			}
		}
		set, list := &u.need, &u.needParts
		if word[0] == '-' {
			set, list = &u.no, &u.noParts
		}
		for n := first; n <= last; n++ {
			if !parts {
				*set |= 1 << n
				continue
			}
			p := partsOf{element: n}
			for c := from; c <= to; c++ {
				p.parts |= 1 << c
			}
			*list = append(*list, p)
		}
	}
	return nil
}

// readRange reads "3" and "3:9".
func readRange(text string, most int) (first, last int, err error) {
	a, b, two := strings.Cut(text, ":")
	if first, err = strconv.Atoi(a); err != nil {
		return 0, 0, fmt.Errorf("%q is no element, such as 3, or 3:9", text)
	}
	if last = first; two {
		if last, err = strconv.Atoi(b); err != nil {
			return 0, 0, fmt.Errorf("%q is no element, such as 3, or 3:9", text)
		}
	}
	if first < 1 || last < first || last > most {
		return 0, 0, fmt.Errorf("%q is no range of elements up to %d", text, most)
	}
	return first, last, nil
}

// usage compares the segment in hand with what the guide says of its place. A code
// that says as much stands already where the dictionary requires an element or a note does.
func (c *checker) usage(u *usage, have uint64, bad badFunc) {
	for n := 1; u.need>>n > 0; n++ {
		if u.need>>n&1 == 1 && have>>n&1 == 0 {
			bad(elements, "1", n, 0, 0)
		}
	}
	for n := 1; (u.no&have)>>n > 0; n++ {
		if (u.no&have)>>n&1 == 1 {
			bad(notUsed, "I10", n, 0, 0)
		}
	}
	c.parted(u.needParts, have, func(n, part int, there bool) {
		if !there {
			bad(elements, "1", n, part, 0)
		}
	})
	c.parted(u.noParts, have, func(n, part int, there bool) {
		if there {
			bad(notUsed, "I10", n, part, 0)
		}
	})
}

// parted goes over components of elements that are there. Of an element that repeats
// it is the first: no guide says different things of one and of another.
func (c *checker) parted(list []partsOf, have uint64, each func(element, part int, there bool)) {
	for _, p := range list {
		if have>>p.element&1 == 0 {
			continue
		}
		v := c.parts[p.element-1]
		for part := 1; p.parts>>part > 0; part++ {
			if p.parts>>part&1 == 1 {
				each(p.element, part, len(trimSpaces(nth(v, c.d.component, part))) > 0)
			}
		}
	}
}
