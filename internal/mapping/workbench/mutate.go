package workbench

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// A MutationReport says which parts of a mapping its tests would miss.
type MutationReport struct {
	Mapping   string     `json:"mapping"` // its file
	Tests     []string   `json:"tests"`
	Removed   int        `json:"removed"` // parts that were removed, one at a time, and left a mapping that loads
	Noticed   int        `json:"noticed"` // removals that made a test fail
	Score     float64    `json:"score"`   // percent of Removed
	Unnoticed []Mutation `json:"unnoticed"`
}

// A Mutation is one part of a mapping that was removed.
type Mutation struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"` // "rule patient.phone", "required of patient.name", "guard 1"

	doc  *node
	name string // of File in the tree
	part *node
}

// Mutate removes each rule, each policy of a rule (required, default, on_error,
// on_null, only_on, when), each operation's when and each guard of a mapping
// and of the fragments that it includes, one at a time, and runs the mapping's
// tests: what can be removed and no test notices, no test proves. A removal
// that leaves a mapping that does not load, or one that says the same, does
// not count. The tests must pass to begin with.
func (b Bench) Mutate(ctx context.Context, file string, tests []string, tell Progress) (MutationReport, error) {
	rep := MutationReport{Mapping: b.show(file), Tests: []string{}, Unnoticed: []Mutation{}, Score: 100}
	m, err := b.load(file)
	if err != nil {
		return rep, err
	}
	for _, t := range tests {
		rep.Tests = append(rep.Tests, b.show(t))
		if f := b.testFile(ctx, t, TestOptions{}); !f.OK() {
			return rep, fmt.Errorf("%s does not pass as it is: run vagus mapping test first", b.show(t))
		}
	}
	if len(tests) == 0 {
		return rep, fmt.Errorf("%s has no tests: a file that ends in .test.yaml, beside it, names it under the key mapping", b.show(file))
	}
	outline := m.Outline()
	all, err := b.mutations(file, outline)
	if err != nil {
		return rep, err
	}
	type outcome struct{ counts, noticed bool }
	onError := "on_error dead_letter"
	if doc, err := readDocument(b.FS, file); err == nil && doc.get("on_error") != nil {
		onError = "on_error " + doc.get("on_error").text()
	}
	whole := essence(outline, onError)
	err = inOrder(ctx, len(all), func(i int) outcome {
		with := b.With(map[string][]byte{all[i].name: all[i].doc.yaml(all[i].part)})
		changed, err := mapping.Load(with.FS, file, b.Formats)
		if err != nil || reflect.DeepEqual(essence(changed.Outline(), onError), whole) {
			return outcome{}
		}
		for _, t := range tests {
			if !mapping.Test(ctx, with.FS, t, b.Formats, nil).OK() {
				return outcome{true, true}
			}
		}
		return outcome{counts: true}
	}, func(i int, o outcome) {
		if o.counts {
			rep.Removed++
		}
		if o.noticed {
			rep.Noticed++
		} else if o.counts {
			rep.Unnoticed = append(rep.Unnoticed, all[i])
		}
		tell.tell(i+1, len(all))
	})
	if rep.Removed > 0 {
		rep.Score = 100 * float64(rep.Noticed) / float64(rep.Removed)
	}
	return rep, err
}

// essence is an outline without places and without the policy that rules have
// anyway: two that are equal do the same.
func essence(o mapping.Outline, anyway string) any {
	type said struct {
		ID, When, Match string
		How, Policies   []string
		Sources         []string
		Outcomes        []mapping.Outcome
		Labels          string
	}
	var out []said
	for _, r := range rules(o) {
		policies := slices.DeleteFunc(slices.Clone(r.Policies), func(p string) bool { return p == anyway })
		s := said{ID: r.ID, How: r.How, Policies: append([]string{}, policies...), Outcomes: r.Outcomes, Labels: r.Labels.String()}
		for _, src := range r.Sources {
			s.Sources = append(s.Sources, src.Path+src.Let)
		}
		out = append(out, s)
	}
	for _, op := range o.Operations {
		out = append(out, said{ID: op.ID, When: op.When, Match: op.Match + op.Each})
	}
	return out
}

// mutations lists what can be removed, in the order of the files.
func (b Bench) mutations(file string, o mapping.Outline) ([]Mutation, error) {
	files := []string{file}
	for _, r := range rules(o) {
		if r.From != "" && !slices.Contains(files, r.From) {
			files = append(files, r.From)
		}
	}
	var out []Mutation
	for _, name := range files {
		doc, err := readDocument(b.FS, name)
		if err != nil {
			return nil, err
		}
		add := func(part *node, format string, args ...any) {
			if part != nil {
				out = append(out, Mutation{File: b.show(name), Line: part.line, What: fmt.Sprintf(format, args...), doc: doc, name: name, part: part})
			}
		}
		rulesOf("let.", doc.get("let"), add)
		if guards := doc.get("guards"); guards != nil {
			for i, g := range guards.list {
				add(g, "guard %d", i+1)
			}
		}
		if ops := doc.get("operations"); ops != nil {
			for _, op := range ops.list {
				id := op.get("id").text()
				add(op.get("when"), "when of operation %s", id)
				add(op.get("only_if"), "only_if of operation %s", id)
				rulesOf(id+".", op.get("fields"), add)
			}
		}
		rulesOf("", doc.get("fields"), add) // of a fragment
		rulesOf("set ", doc.get("set"), add)
		rulesOf("add ", doc.get("add"), add)
		segmentsOf(doc.get("segments"), add)
	}
	return out, nil
}

// rulePolicies are the keys of a rule that it has a meaning without.
var rulePolicies = []string{"required", "default", "on_error", "on_null", "only_on", "when"}

func rulesOf(prefix string, fields *node, add func(part *node, format string, args ...any)) {
	if fields == nil {
		return
	}
	for i, name := range fields.keys {
		rule := fields.values[i]
		add(rule, "rule %s", prefix+name)
		bodies := []*node{rule}
		if rule.isList { // lines that come from several places
			bodies = rule.list
		}
		for _, body := range bodies {
			for _, p := range rulePolicies {
				add(body.get(p), "%s of %s", p, prefix+name)
			}
			rulesOf(prefix+name+".", body.get("fields"), add)
		}
	}
}

func segmentsOf(segments *node, add func(part *node, format string, args ...any)) {
	if segments == nil {
		return
	}
	for _, s := range segments.list {
		for i, k := range s.keys {
			if grammar.Get("segment").Key(k) == nil {
				rulesOf(k+"-", s.values[i], add)
				add(s.get("when"), "when of segment %s", k)
			}
		}
		segmentsOf(s.get("segments"), add)
	}
}

// TestsOf returns the test files beside a mapping that name it.
func (b Bench) TestsOf(file string) ([]string, error) {
	names, err := fs.Glob(b.FS, path.Join(path.Dir(file), "*.test.yaml"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range names {
		if doc, err := readDocument(b.FS, t); err == nil && path.Join(path.Dir(t), doc.get("mapping").text()) == file {
			out = append(out, t)
		}
	}
	return out, nil
}

// Print writes what no test notices, and the score.
func (r MutationReport) Print(s Screen) {
	s.line(s.in(bold, r.Mapping), s.in(faint, "  "+strings.Join(r.Tests, ", ")))
	rows := make([][]cell, len(r.Unnoticed))
	for i, m := range r.Unnoticed {
		rows[i] = []cell{{fmt.Sprintf("%s:%d", m.File, m.Line), faint}, {m.What, yellow}}
	}
	if len(rows) > 0 {
		s.line("  no test notices when these are removed")
		s.table("    ", rows, 1)
	}
	shade := green
	if r.Noticed < r.Removed {
		shade = plain
	}
	s.line("  ", s.in(shade, fmt.Sprintf("%.1f%%", r.Score)), fmt.Sprintf("  %d of %d removals noticed", r.Noticed, r.Removed))
}
