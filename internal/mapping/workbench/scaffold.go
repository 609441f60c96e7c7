package workbench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A ScaffoldPlan says what a new mapping is to be.
type ScaffoldPlan struct {
	Dir      string // where its files go, in the bench's tree
	ID       string
	Model    string // of Odoo
	Snapshot string // file of the tree
	Source   Source
	Message  broker.PHI
	Key      []byte // of the replacements in the test's input
}

// A Scaffold is a mapping to begin with, that lints clean, and a test of it
// that passes. No file holds a value of the message.
type Scaffold struct {
	Files      map[string][]byte // by name in the tree
	Rules      int               // proposed
	Candidates int               // elements of the message that no rule reads
}

// NewMapping makes a mapping from a message and a model: rules for what is well
// known of both, and everything else that the message has as comments.
func (b Bench) NewMapping(ctx context.Context, p ScaffoldPlan) (Scaffold, error) {
	dialect, format, version, declared, err := b.begin(&p)
	if err != nil {
		return Scaffold{}, err
	}
	snap, err := b.Snapshot(p.Snapshot)
	if err != nil {
		return Scaffold{}, err
	}
	fields := snap.Models[p.Model]
	if fields == nil {
		return Scaffold{}, fmt.Errorf("%s has no model %q; pull it with: vagus mapping snapshot pull --model %s", b.show(p.Snapshot), p.Model, p.Model)
	}
	scrubber := Scrubber{Dialect: dialect, Format: format, Key: p.Key, Keep: KeptLabels}
	input, err := scrubber.Scrub(p.Message)
	if err != nil {
		return Scaffold{}, fmt.Errorf("the test's input: %w", err)
	}
	msg, err := dialect.Decode(input.Body, nil)
	if err != nil {
		return Scaffold{}, err
	}
	s := &scaffold{plan: p, format: format, version: version, declared: declared, kind: cmp.Or(msg.Type, format), odoo: snap.Odoo, fields: fields, models: snap.Models, has: elementsOf(dialect, msg)}
	s.propose(msg)
	mapFile, testFile := path.Join(p.Dir, p.ID+".map.yaml"), path.Join(p.Dir, p.ID+".test.yaml")
	inFile, goldenFile := path.Join(p.Dir, "in", p.ID+extension(format)), path.Join(p.Dir, "golden", p.ID+".json")
	files := map[string][]byte{inFile: input.Body}
	for range len(s.rules) + 2 {
		if !slices.ContainsFunc(s.rules, func(r proposal) bool { return r.why == "" }) {
			s.rules = append(s.rules, s.anyRule())
		}
		files[mapFile] = s.mapping()
		issues := b.shown(mapping.Lint(b.With(files).FS, mapFile, b.Formats))
		if len(issues) == 0 {
			break
		}
		if !s.withdraw(issues) {
			return Scaffold{}, fmt.Errorf("no mapping of %s to %s can be begun from this message:\n%w", format, p.Model, mapping.Issues(issues))
		}
	}
	files[testFile] = s.test(path.Base(mapFile), "in/"+path.Base(inFile), "golden/"+path.Base(goldenFile), "")
	verdict, err := b.firstGolden(ctx, files, testFile)
	if err != nil {
		return Scaffold{}, err
	}
	if verdict != broker.Apply {
		files[testFile] = s.test(path.Base(mapFile), "in/"+path.Base(inFile), "golden/"+path.Base(goldenFile), string(verdict))
	}
	if rep := mapping.Test(ctx, b.With(files).FS, testFile, b.Formats, nil); !rep.OK() {
		return Scaffold{}, fmt.Errorf("the test of the new mapping does not pass, please report it: %v", rep.Cases)
	}
	out := Scaffold{Files: files, Candidates: len(s.candidates())}
	for _, r := range s.rules {
		if r.why == "" {
			out.Rules++
		}
	}
	return out, nil
}

// begin opens the message, and declares what it shows of a format that says
// nothing of itself. Of a file of several messages the first is taken.
func (b Bench) begin(p *ScaffoldPlan) (d tree.Dialect, format, version string, declared tree.Declaration, err error) {
	format = p.Source.Format
	if shows, _ := detect(p.Message); format == "" && shows == "" {
		format = guessFormat(p.Message)
	}
	if format != "csv" && format != "json" && format != "odoo" {
		d, format, version, err = b.Open(p.Source, p.Message)
		return d, format, version, declared, err
	}
	if declared, err = guessed(format, p.Message); err != nil {
		return nil, "", "", declared, fmt.Errorf("format %s: %w", format, err)
	}
	if d, err = b.dialect(format, declared); err != nil {
		return nil, "", "", declared, err
	}
	if s, ok := d.(tree.Splitter); ok {
		parts, err := s.Split(p.Message)
		if err != nil || len(parts) == 0 {
			return nil, "", "", declared, fmt.Errorf("format %s: no message in it: %w", format, err)
		}
		p.Message = parts[0]
	}
	return d, format, "", declared, nil
}

// firstGolden writes the golden of the test into files, and returns the verdict
// that is in it.
func (b Bench) firstGolden(ctx context.Context, files map[string][]byte, testFile string) (broker.Verdict, error) {
	with := b.With(files)
	runs, err := with.Run(ctx, strings.TrimSuffix(testFile, ".test.yaml")+".map.yaml", files[inputOf(files)])
	if err != nil || len(runs) != 1 {
		return "", fmt.Errorf("run the new mapping: %w", err)
	}
	rep := mapping.Test(ctx, with.FS, testFile, b.Formats, func(name string, data []byte) error { files[name] = data; return nil })
	if len(rep.Issues) > 0 {
		return "", rep.Issues
	}
	return runs[0].Unit.Verdict, nil
}

func inputOf(files map[string][]byte) string {
	for name := range files {
		if path.Base(path.Dir(name)) == "in" {
			return name
		}
	}
	return ""
}

func extension(format string) string {
	switch format {
	case "hl7v2":
		return ".hl7"
	case "x12":
		return ".edi"
	case "csv":
		return ".csv"
	}
	return ".json"
}

// An element is one leaf that the message has.
type element struct {
	path   string
	titles []string
	typ    string
	table  string
	labels tree.Labels
}

// elementsOf lists the leaves of a message that its schema knows, each path
// once, in the message's order.
func elementsOf(d tree.Dialect, msg *tree.Message) []element {
	schema, err := schemaOf(d, msg)
	if err != nil {
		return nil
	}
	var out []element
	seen := map[string]bool{}
	at := map[int]bool{}
	var walk func(n *tree.Node, t *tree.Type, up element, depth int)
	walk = func(n *tree.Node, t *tree.Type, up element, depth int) {
		for _, k := range n.Kids {
			e := t.Element(k.Name)
			if e == nil {
				continue
			}
			el := element{path: joined(up.path, e, depth), titles: up.titles, typ: e.Type.Name, table: e.Table, labels: up.labels | e.Labels}
			if e.Title != "" {
				el.titles = append(slices.Clone(up.titles), e.Title)
			}
			if len(k.Kids) > 0 {
				walk(k, e.Type, el, depth+1)
			} else if k.State == tree.Value && !seen[el.path] && !at[k.Pos.Offset] && k.Text != "" {
				seen[el.path], at[k.Pos.Offset] = true, true
				out = append(out, el)
			}
		}
	}
	walk(msg.Root, schema, element{}, 0)
	return out
}

var plainStep = regexp.MustCompile(`^[A-Za-z0-9_:@$#]+$`)

// joined appends a step to a path; of what repeats it takes the first.
func joined(up string, e *tree.Element, depth int) string {
	step := e.Name
	if !plainStep.MatchString(step) {
		step = "`" + step + "`"
	}
	if e.Repeats {
		step += "[first]"
	}
	switch {
	case up == "":
		return step
	case depth == 1 && strings.Trim(e.Name, "0123456789") == "": // a segment's field
		return up + "-" + step
	}
	return up + "." + step
}

// A scaffold is a mapping in the making.
type scaffold struct {
	plan            ScaffoldPlan
	format, version string
	declared        tree.Declaration // what the mapping itself has to say of the format
	kind            string           // "ADT^A08^ADT_A01"
	odoo            string
	fields          map[string]Field
	models          map[string]map[string]Field
	has             []element
	key             string // path of the identity
	when            string
	idempotency     string
	allow           tree.Labels
	rules           []proposal
}

// A proposal is one rule; why says what is wrong with one that was withdrawn.
type proposal struct {
	field, text, why string
	placeholder      bool
	line             int // in the mapping as it was last written
}

// present says whether the message has something below these paths.
func (s *scaffold) present(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool {
		return !slices.ContainsFunc(s.has, func(e element) bool { return strings.HasPrefix(bare(e.path), p) })
	})
}

// firstSegment finds where a path of HL7 begins.
var firstSegment = regexp.MustCompile(`\b[A-Z][A-Z0-9]{2}-`)

var selectors = regexp.MustCompile(`\[[^\]]*\]`)

// bare is a path without what chooses a repetition.
func bare(path string) string { return selectors.ReplaceAllString(path, "") }

// ofKind chooses a patient's number by its kind: the first of the list may be
// any, a social security number too.
func ofKind(path string, msg *tree.Message) string {
	list, part, ok := strings.Cut(path, "[first]")
	if kind := msg.Root.First("PID").First("3").First("5"); ok && list == "PID-3" && kind != nil && plainStep.MatchString(kind.Text) {
		return list + "[5=" + kind.Text + "]" + part
	}
	return path
}

// propose chooses the identity and the rules.
func (s *scaffold) propose(msg *tree.Message) {
	known := wellKnown[s.format]
	repeats := func(path string) string { // where the message's structure repeats a segment that most do not
		return firstSegment.ReplaceAllStringFunc(path, func(m string) string {
			name := strings.TrimSuffix(m, "-")
			if slices.ContainsFunc(s.has, func(e element) bool { return strings.HasPrefix(e.path, name+"[first]-") }) {
				return name + "[first]-"
			}
			return m
		})
	}
	for _, k := range known.keys {
		if s.present(bare(k)) {
			s.key = repeats(ofKind(k, msg))
			break
		}
	}
	if s.key == "" {
		for _, e := range s.has {
			if s.key == "" || e.labels&tree.Identifier != 0 {
				if s.key = e.path; e.labels&tree.Identifier != 0 {
					break
				}
			}
		}
	}
	s.idempotency = known.idempotency
	if s.idempotency == "" {
		s.idempotency = `["{key}"]`
	}
	if known.when != nil {
		s.when = known.when(msg)
	}
	for _, pair := range known.pairs {
		if !s.present(pair.needs...) {
			continue
		}
		for _, f := range pair.fields {
			if s.fields[f].Type != "" && !s.taken(f) && writes(s.fields[f]) && (f != "name" || s.isPerson()) {
				s.rules = append(s.rules, proposal{field: f, text: repeats(pair.rule)})
				break
			}
		}
	}
	if f, ok := s.fields["company_type"]; ok && slices.Contains(f.Selection, "person") && s.taken("name") {
		s.rules = append(s.rules, proposal{field: "company_type", text: "{ value: person }"})
	}
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		if f := s.fields[name]; f.Required && !f.Default && !s.taken(name) && writes(f) {
			s.rules = append(s.rules, proposal{field: name, text: s.placeholder(f), placeholder: true})
		}
	}
}

// anyRule is one for a mapping that would have none: it fills a text with the
// identity.
func (s *scaffold) anyRule() proposal {
	for _, f := range append([]string{"name", "ref", "code", "default_code", "note"}, slices.Sorted(maps.Keys(s.fields))...) {
		if s.fields[f].Type == "char" && writes(s.fields[f]) && !slices.ContainsFunc(s.rules, func(r proposal) bool { return r.field == f }) {
			return proposal{field: f, text: "{ from: key, required: true }", placeholder: true}
		}
	}
	return proposal{field: "active", text: "{ value: true }", placeholder: true}
}

// isPerson says whether the model's name is a person's.
func (s *scaffold) isPerson() bool {
	return slices.ContainsFunc([]string{"email", "private_email", "login"}, func(f string) bool { return s.fields[f].Type != "" })
}

func (s *scaffold) taken(field string) bool {
	return slices.ContainsFunc(s.rules, func(r proposal) bool { return r.field == field && r.why == "" })
}

// placeholder is a rule for a field that Odoo requires and nothing is known of.
func (s *scaffold) placeholder(f Field) string {
	switch f.Type {
	case "boolean":
		return "{ value: false }"
	case "integer", "float", "monetary":
		return "{ value: 0 }"
	case "selection":
		if len(f.Selection) > 0 {
			return "{ value: " + quoted(f.Selection[0]) + " }"
		}
	case "date", "datetime":
		for _, e := range s.has {
			if e.typ == "TS" || e.typ == "DT" || e.typ == "DTM" || e.typ == "date" || e.typ == "dateTime" || e.typ == "instant" {
				return "{ from: " + quoted(e.path) + ", required: true }"
			}
		}
	case "many2one", "many2many":
		for _, by := range []string{"ref", "code", "default_code", "login", "name"} {
			if _, ok := s.models[f.Relation][by]; ok {
				return "{ from: key, ref: { by: { " + by + ": it } } }"
			}
		}
	}
	return "{ from: key, required: true }"
}

// withdraw turns the rules that issues are about into comments, and fills what
// is required then. It says whether anything changed.
func (s *scaffold) withdraw(issues []mapping.Issue) bool {
	changed := false
	for _, i := range issues {
		for n := range s.rules {
			if r := &s.rules[n]; r.why == "" && r.line == i.Line {
				r.why, changed = i.Text, true
			}
		}
		for _, l := range tree.LabelNames() {
			if label, _ := tree.ParseLabel(l); i.Code == "egress" && slices.Contains(carried(i.Text), l) && s.allow&label == 0 {
				s.allow, changed = s.allow|label, true
			}
		}
		if i.Code == "egress" { // a label that may leave is no fault of the rule's
			for n := range s.rules {
				if s.rules[n].why == i.Text {
					s.rules[n].why = ""
				}
			}
		}
	}
	return changed
}

// carried are the words of an egress issue that name what a rule carries; a
// field may be called name, too.
func carried(text string) []string {
	_, rest, _ := strings.Cut(text, " carries ")
	labels, _, _ := strings.Cut(rest, " data (from ")
	return strings.FieldsFunc(labels, func(r rune) bool { return r == ',' || r == ' ' })
}

// candidates are the elements that no rule reads.
func (s *scaffold) candidates() []element {
	var used strings.Builder
	for _, r := range s.rules {
		if r.why == "" {
			used.WriteString(selectors.ReplaceAllString(r.text, "") + "\n")
		}
	}
	used.WriteString(bare(s.key) + "\n" + s.idempotency + s.when)
	var out []element
	for _, e := range s.has {
		if !regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(bare(e.path)) + `(\.1)?($|[^\w.-])`).MatchString(used.String()) {
			out = append(out, e)
		}
	}
	return out
}
