package x12

import (
	"bytes"
	"fmt"
	"slices"
)

const (
	maxFaults = 10_000 // noted of one transaction set: what comes after is not known, and nothing of it is accepted
	maxTold   = 1_000  // of them that an acknowledgment names: its sender has enough to go on
)

// A class says which word of a partner's `tolerate` lets a fault pass.
type class string

const (
	counts         class = "counts"          // SE-01, GE-01, IEA-01
	controlNumbers class = "control_numbers" // SE-02, GE-02, IEA-02 against their headers
	headers        class = "headers"         // elements of ISA and GS against their form
	segments       class = "segments"        // unknown, missing, too many or misplaced
	elements       class = "elements"        // missing, too long, too many, of the wrong kind
	notUsed        class = "not_used"        // segments and elements that the guide does not use
	situations     class = "situations"      // what another value calls for, or excludes, by the guide
	conditions     class = "conditions"      // between elements: one needs or excludes another
	codes          class = "codes"           // none of those that the guide has
	hierarchical   class = "hierarchy"       // HL against the other HLs
	zip            class = "zip"             // of five digits where the guide wants nine
	balance        class = "balance"         // the sums of an 835
	lineBreaks     class = "line_breaks"     // inside segments, as what wraps files at 80 characters makes
	never          class = ""                // what was sent can not be read, whatever one wants
)

var classes = []class{counts, controlNumbers, headers, segments, elements, notUsed, situations, conditions, codes, hierarchical, zip, balance, lineBreaks}

// A fault is one thing that is wrong with an interchange, a group, a
// transaction set or a segment of it. It says where, and never with what.
type fault struct {
	code  string // of the level that it is noted at: TA105 (data element I18), AK905 (716), IK502 (618), IK304 (620) or, of an element, IK403 (621)
	class class
	// Of a transaction set only:
	segment    int    // position from 1, which is ST; 0: the set as a whole
	id         string // of the segment
	loop       string // in which it stands, "" is none
	element    int    // 0: the segment as a whole
	component  int
	repetition int
	cause      *cause // of a situation
}

// A cause is the element whose value calls for another, or excludes it.
type cause struct {
	segment            int
	id, loop           string
	element, component int
}

// number is that of the data element at fault, 0 where it is unknown, or a composite.
func (f *fault) number() int {
	if def := dictionaries[release5010]().segments[f.id]; def != nil {
		return def.number(f.element, f.component)
	}
	return 0
}

// sortFaults puts faults in the order of what they are about.
func sortFaults(all []fault) {
	slices.SortStableFunc(all, func(a, b fault) int {
		for _, d := range []int{a.segment - b.segment, a.element - b.element, a.repetition - b.repetition, a.component - b.component} {
			if d != 0 {
				return d
			}
		}
		return 0
	})
}

// checkISA compares ISA with its form (X12.5): each element has a length of
// its own. It is the sender's to fill them up, and readable without.
func (in *envelope) checkISA() {
	for n := 1; n <= 15; n++ {
		v := rawElement(&in.isa, n)
		rule := isaRules[n-1]
		if len(v) != rule.length || rule.form != nil && !rule.form(v) {
			in.note(rule.code, headers)
		}
	}
}

// isaRules are the elements of ISA: length, form and the code in TA105 that
// says it is wrong.
var isaRules = [...]struct {
	length int
	form   func([]byte) bool
	code   string
}{
	{2, nil, "010"}, {10, nil, "011"}, {2, nil, "012"}, {10, nil, "013"},
	{2, notBlank, "005"}, {15, notBlank, "006"}, {2, notBlank, "007"}, {15, notBlank, "008"},
	{6, isDate, "014"}, {4, isTime, "015"}, {1, nil, "016"}, {5, allDigits, "017"}, {9, allDigits, "018"},
	{1, func(v []byte) bool { return v[0] == '0' || v[0] == '1' }, "019"},
	{1, func(v []byte) bool { return v[0] == 'P' || v[0] == 'T' || v[0] == 'I' }, "020"},
}

// rawElement is element n with its spaces.
func rawElement(s *segment, n int) []byte {
	rest := s.raw
	for ; n > 0; n-- {
		i := bytes.IndexByte(rest, s.d.element)
		if i < 0 {
			return nil
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, s.d.element); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// headerFault says whether an element of GS that the interchange needs is not
// there.
func (g *groupEnvelope) headerFault() bool {
	for _, n := range []int{2, 3, 8} {
		if len(g.gs.element(n)) == 0 {
			return true
		}
	}
	return !isDate(g.gs.element(4)) || !isTime(g.gs.element(5))
}

func notBlank(v []byte) bool { return len(bytes.TrimSpace(v)) > 0 }

func allDigits(v []byte) bool {
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(v) > 0
}

// isDate: CCYYMMDD or YYMMDD.
func isDate(v []byte) bool {
	if len(v) != 6 && len(v) != 8 || !allDigits(v) {
		return false
	}
	two := func(i int) int { return int(v[i]-'0')*10 + int(v[i+1]-'0') }
	month, day := two(len(v)-4), two(len(v)-2)
	year := two(len(v) - 6) // of a century: that 1900 was no leap year matters to nobody
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	if month < 1 || month > 12 {
		return false
	}
	if month == 2 && year%4 == 0 {
		return day >= 1 && day <= 29
	}
	return day >= 1 && day <= days[month-1]
}

// isTime: HHMM, HHMMSS or HHMMSSD, HHMMSSDD.
func isTime(v []byte) bool {
	if len(v) != 4 && (len(v) < 6 || len(v) > 8) || !allDigits(v) {
		return false
	}
	two := func(i int) int { return int(v[i]-'0')*10 + int(v[i+1]-'0') }
	return two(0) < 24 && two(2) < 60 && (len(v) == 4 || two(4) < 60)
}

// name is the code with the element of an acknowledgment that it stands in: in a 999, of which a 997 has the most.
func (f *fault) name() string {
	switch {
	case f.element > 0:
		return "IK403 " + f.code
	case f.segment > 0:
		return "IK304 " + f.code
	}
	return "IK502 " + f.code
}

// passed says which setting of a partner lets the fault pass.
func (f *fault) passed() string {
	if f.class == never {
		return ""
	}
	return fmt.Sprintf(" (tolerate: [%s] lets it pass)", f.class)
}

// String says where in its set the fault is, which code it has, what that says, and what lets it pass.
func (f *fault) String() string {
	if f.segment == 0 {
		return inWords(f.name()) + f.passed()
	}
	place := fmt.Sprintf("segment %d (%s", f.segment, f.id)
	if f.element > 0 {
		place += fmt.Sprintf("-%02d", f.element)
	}
	if f.component > 0 {
		place += fmt.Sprintf(".%d", f.component)
	}
	return place + "): " + inWords(f.name()) + f.passed()
}
