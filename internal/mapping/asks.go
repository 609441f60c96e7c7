package mapping

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// What a when: or a predicate reads does not leave with the value, but that
// the value leaves tells something of it: a contact that is written only when
// OBX-5 says so tells what OBX-5 says. Nothing can be forbidden there without
// forbidding conditions, so it is a warning that a person judges.

// asks are the labels that the predicates of a path read.
func (p *boundPath) asks() tree.Labels {
	var out tree.Labels
	for _, s := range p.steps {
		for _, sel := range s.sels {
			if sel.path != nil {
				out |= sel.path.labels | sel.path.asks()
			}
		}
	}
	for _, a := range p.alts {
		out |= a.asks()
	}
	return out
}

// asked are what an expression reads, as something that is asked for.
func (l *loader) asked(p *program) []read {
	if p == nil {
		return nil
	}
	var out []read
	for _, v := range p.vars {
		switch {
		case v.path != nil:
			out = append(out, read{text: v.path.text, asks: v.path.labels | v.path.asks()})
		case v.kind == varLet:
			x := l.m.lets[v.index]
			out = append(out, read{text: x.name, asks: x.labels | x.asks})
		}
	}
	for _, path := range p.paths {
		out = append(out, read{text: path.text, asks: path.labels | path.asks()})
	}
	return out // inputs are in the rule's own labels
}

// decide returns all labels that the reads ask for.
func decide(reads []read) (all tree.Labels) {
	for _, r := range reads {
		all |= r.asks
	}
	return all
}

// checkAsks warns of labels that decide whether something is written and that
// may not leave themselves; it returns all labels that decide.
func (l *loader) checkAsks(at place, what string, drop tree.Labels, reads []read) tree.Labels {
	all := decide(reads)
	var from []string
	for _, r := range reads {
		if r.asks&^l.m.allow&^drop != 0 && !slices.Contains(from, r.text) {
			from = append(from, r.text)
		}
	}
	if over := all &^ l.m.allow &^ drop; over != 0 {
		l.c.warnf(at, "egress-when", "whether %s is written tells something of %s, which is %s data and egress.allow does not let out", what, strings.Join(from, ", "), over)
	}
	return all
}
