package x12

import "bytes"

// maxCopied bounds the element of which one repetition or component may be copied.
const maxCopied = 4 << 10

// A copier goes over a set's segments once more for the elements at fault, in
// the order of the faults: the notes themselves hold no data.
type copier struct {
	s        scanner
	position int
	seg      segment
}

// value returns what was sent at the place of a fault, as far as it is one value.
func (c *copier) value(f *fault) []byte {
	for c.position < f.segment {
		p, ok := c.s.cut()
		if !ok {
			return nil
		}
		c.position++
		if c.position == f.segment {
			c.seg = c.s.segment(&p)
		}
	}
	if c.seg.binary > 0 {
		return nil
	}
	v := c.seg.element(f.element)
	if len(v) > maxCopied {
		return nil
	}
	if f.repetition > 0 {
		parts := bytes.Split(v, []byte{c.s.d.repetition})
		v = parts[min(f.repetition, len(parts))-1]
	}
	if f.component > 0 {
		parts := bytes.Split(v, []byte{c.s.d.component})
		if f.component > len(parts) {
			return nil
		}
		v = trimSpaces(parts[f.component-1])
	}
	return v
}
