package bed

import (
	"bytes"
	"regexp"
)

// accesses finds the two accesses of a report and who made each: the first frame
// that is none of the standard library (sync/atomic, reflect, the runtime for a
// map): the first element of its path has no dot.
var accesses = regexp.MustCompile(`(?m)^(?:Write|Read|Previous write|Previous read) at .*\n(?: +[a-z0-9/]+\.[^/\n]*\n.*\n)* +(\S+)`)

// counts says whether a report is of a race that is not made by the embedded
// nats-server's own code alone.
func counts(report []byte) bool {
	theirs := 0
	for _, access := range accesses.FindAllSubmatch(report, -1) {
		if bytes.HasPrefix(access[1], []byte("github.com/nats-io/nats-server/")) {
			theirs++
		}
	}
	return theirs < 2
}

// Races returns what the race detector reported into the child's log: what counts,
// and what lies within nats-server's own code.
func (p *Process) Races() (ours, theirs []string) {
	for _, report := range bytes.Split(p.Logged(), []byte("WARNING: DATA RACE"))[1:] {
		report, _, _ = bytes.Cut(report, []byte("=================="))
		if counts(report) {
			ours = append(ours, string(report))
		} else {
			theirs = append(theirs, string(report))
		}
	}
	return ours, theirs
}
