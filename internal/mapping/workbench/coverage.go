package workbench

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping"
)

// CoverageMeaning is the definition of coverage, for help texts and documents.
const CoverageMeaning = `Coverage counts outcomes, not lines. Each rule can have some of these outcomes: value, absent, null, default,
when_false, skipped, error; which ones follows from the rule (only one with default: can end in default, and one
that is required can not end in absent). Each guard and each operation's when can hold or not. An outcome is
covered when some case of some test file of the mapping makes the rule have it, whether or not the case looks at
that field; what a case looks at, "vagus mapping mutate" tells. Coverage is the covered outcomes over all that are
possible, in percent, over everything in the mapping and the fragments that it includes.`

// A Coverage says which outcomes of a mapping's rules its tests reach.
type Coverage struct {
	Mapping   string      `json:"mapping"` // its file
	Reached   int         `json:"reached"`
	Possible  int         `json:"possible"`
	Percent   float64     `json:"percent"`
	Unreached []Unreached `json:"unreached"`
}

// Unreached are the outcomes of one rule that no case reaches.
type Unreached struct {
	File     string            `json:"file"`
	Line     int               `json:"line"`
	Rule     string            `json:"rule"`
	Outcomes []mapping.Outcome `json:"outcomes"`
}

// coverage computes what all cases of one mapping reach together.
func (b Bench) coverage(file string, o mapping.Outline, cases []mapping.CaseReport) Coverage {
	seen := map[string]map[mapping.Outcome]bool{}
	reach := func(rule string, outcome mapping.Outcome) {
		if seen[rule] == nil {
			seen[rule] = map[mapping.Outcome]bool{}
		}
		seen[rule][outcome] = true
	}
	for _, c := range cases {
		for _, e := range c.Events {
			reach(e.Rule, e.Outcome)
		}
	}
	cov := Coverage{Mapping: b.show(file), Unreached: []Unreached{}}
	add := func(rule string, at mapping.Place, shown string, outcomes []mapping.Outcome) {
		u := Unreached{File: b.show(at.File), Line: at.Line, Rule: shown}
		for _, outcome := range outcomes {
			cov.Possible++
			if seen[rule][outcome] {
				cov.Reached++
			} else {
				u.Outcomes = append(u.Outcomes, outcome)
			}
		}
		if len(u.Outcomes) > 0 {
			cov.Unreached = append(cov.Unreached, u)
		}
	}
	for _, r := range rules(o) {
		add(r.ID, r.Place, r.ID, r.Outcomes)
	}
	for _, op := range o.Operations {
		if op.When != "" {
			add(op.ID, op.Place, op.ID+".when", []mapping.Outcome{mapping.OutcomeValue, mapping.OutcomeWhenFalse})
		}
	}
	cov.Percent = 100
	if cov.Possible > 0 {
		cov.Percent = 100 * float64(cov.Reached) / float64(cov.Possible)
	}
	slices.SortStableFunc(cov.Unreached, func(a, b Unreached) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return cov
}

// rules lists all rules of a mapping with those of lines, in the file's order.
func rules(o mapping.Outline) []mapping.RuleOutline {
	out := slices.Concat(o.Lets, o.Guards)
	for _, op := range o.Operations {
		out = append(out, flat(op.Rules)...)
	}
	return append(out, flat(o.Segments)...)
}

// Print writes the percentage and, when they are asked for, the outcomes that
// no case reaches; files go without their directories where there is no room
// for them: the line above has the mapping's.
func (c Coverage) Print(s Screen, unreached bool) {
	shade := green
	if c.Reached < c.Possible {
		shade = plain
	}
	s.line(s.in(shade, fmt.Sprintf("%5.1f%%", c.Percent)), fmt.Sprintf("  %d of %d outcomes  ", c.Reached, c.Possible), c.Mapping)
	if !unreached {
		return
	}
	const indent = "        "
	places, rules := 0, 0
	for _, u := range c.Unreached {
		places, rules = max(places, utf8.RuneCountInString(u.place(false))), max(rules, utf8.RuneCountInString(u.Rule))
	}
	brief := s.Width > 0 && len(indent)+places+rules+4+len("never absent, null") > s.Width
	rows := make([][]cell, len(c.Unreached))
	for i, u := range c.Unreached {
		names := make([]string, len(u.Outcomes))
		for n, o := range u.Outcomes {
			names[n] = string(o)
		}
		rows[i] = []cell{{u.place(brief), faint}, {u.Rule, plain}, {"never " + strings.Join(names, ", "), yellow}}
	}
	s.table(indent, rows, 2)
}

func (u Unreached) place(brief bool) string {
	file := u.File
	if brief {
		file = path.Base(file)
	}
	return fmt.Sprintf("%s:%d", file, u.Line)
}
