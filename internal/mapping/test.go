package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Report is what became of one test file.
type Report struct {
	File    string       `json:"file"`
	Mapping string       `json:"mapping,omitempty"` // the file that it tests
	Outline Outline      `json:"-"`                 // of that mapping, when it loads
	Issues  Issues       `json:"issues,omitempty"`  // the files are wrong; no case ran
	Cases   []CaseReport `json:"cases,omitempty"`
}

// A CaseReport is what became of one case. Diff holds values of the test
// message.
type CaseReport struct {
	Name    string       `json:"name"`
	Line    int          `json:"line"`
	OK      bool         `json:"ok"`
	Updated string       `json:"updated,omitempty"` // the golden file that was written
	Diff    []Difference `json:"diff,omitempty"`    // only what differs
	Events  []Event      `json:"-"`                 // what each rule did, for coverage
}

// A Difference is one place where what came out is not what is wanted.
type Difference struct {
	Path string `json:"path"`           // "ops[1].vals.name", "patient.name", "verdict", "input"
	Want string `json:"want,omitempty"` // as JSON; "" for nothing
	Got  string `json:"got,omitempty"`
	Note string `json:"note,omitempty"` // why, where the values do not say it
}

// String returns "path: - want + got (note)".
func (d Difference) String() string {
	s := d.Path + ":"
	if d.Want != "" || d.Got != "" {
		s += " - " + orNothing(d.Want) + " + " + orNothing(d.Got)
	}
	if d.Note != "" {
		s += " (" + d.Note + ")"
	}
	return s
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}

// OK says whether all cases passed.
func (r Report) OK() bool {
	for _, c := range r.Cases {
		if !c.OK {
			return false
		}
	}
	return !r.Issues.failed()
}

// An Update writes a golden file, by its path in the mapping tree.
type Update func(path string, data []byte) error

// Test runs the cases of one test file. With update, goldens that differ are
// written anew and their cases pass.
func Test(ctx context.Context, fsys fs.FS, name string, formats []tree.Format, update Update) Report {
	return TestCases(ctx, fsys, name, formats, update, func(string) bool { return true })
}

// TestCases is Test for the cases whose names are wanted.
func TestCases(ctx context.Context, fsys fs.FS, name string, formats []tree.Format, update Update, wanted func(name string) bool) Report {
	rep := Report{File: name}
	c := &collector{}
	data, err := readFile(fsys, name)
	if err != nil {
		c.errorf(place{file: &sourceFile{name: name}}, "file", "%v", err)
		rep.Issues = c.issues
		return rep
	}
	var t *testFile
	if doc := parseYAML(name, data, c); doc != nil {
		t = readTests(doc, c)
	}
	if c.issues.failed() {
		rep.Issues = c.issues.sorted()
		return rep
	}
	rep.Mapping = path.Join(path.Dir(name), t.mapping)
	l, issues := load(fsys, rep.Mapping, formats)
	if rep.Issues = issues; issues.failed() {
		return rep
	}
	m := l.m
	m.Warnings, rep.Issues = issues, nil
	if l.checkCases(t.cases, c); c.issues.failed() {
		rep.Issues = c.issues.sorted()
		return rep
	}
	rep.Outline = m.Outline()
	ct := caseTest{ctx: ctx, fsys: fsys, dir: path.Dir(name), m: m, update: update}
	for i := range t.cases {
		if wanted(t.cases[i].name) {
			rep.Cases = append(rep.Cases, ct.run(&t.cases[i]))
		}
	}
	return rep
}

// A caseTest runs the cases of one file.
type caseTest struct {
	ctx    context.Context
	fsys   fs.FS
	dir    string
	m      *Mapping
	update Update
}

func (t *caseTest) run(c *testCase) CaseReport {
	rep := CaseReport{Name: c.name, Line: c.at.line}
	fail := func(path, want, got, note string) { rep.Diff = append(rep.Diff, Difference{path, want, got, note}) }
	body := []byte(c.input)
	if c.file != "" {
		var err error
		if body, err = readFile(t.fsys, path.Join(t.dir, c.file)); err != nil {
			fail("file", "", "", c.file+": "+cause(err))
			return rep
		}
	}
	msg, err := t.decode(body, c.row)
	if err != nil {
		fail("input", "", "", err.Error())
		return rep
	}
	res, events := t.m.RunTraced(t.ctx, msg)
	rep.Events = events
	t.compareVerdict(c, res, fail)
	got := unitJSON(t.m, res)
	if c.golden != "" {
		t.compareGolden(c, got, &rep, fail)
	}
	plainOps, _ := got["ops"].([]any)
	if c.ops != nil {
		diff("ops", plain(c.ops), any(plainOps), fail)
	}
	for _, k := range c.check {
		v, sent := sentAt(plainOps, k.key)
		if !sent {
			fail(k.key, show(plain(k.val)), "", "not sent")
			continue
		}
		diff(k.key, plain(k.val), v, fail)
	}
	for _, k := range c.notSent {
		if v, sent := sentAt(plainOps, k.text); sent {
			fail(k.text, "", show(v), "sent")
		}
	}
	if c.document != nil {
		compareDocument(t.m, c, res, fail)
	}
	if c.warned {
		compareWarnings(c, res, fail)
	}
	rep.OK = len(rep.Diff) == 0
	return rep
}

// cause is an error of a file without the file's name in the tree: the test
// names it as it is written there.
func cause(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// decode reads the case's message: the input, or one of the many that it holds.
func (t *caseTest) decode(body []byte, row int) (*tree.Message, error) {
	if row > 0 {
		s, ok := t.m.Dialect.(tree.Splitter)
		if !ok {
			return nil, fmt.Errorf("row: a file of %s holds one message", t.m.Format)
		}
		parts, err := s.Split(body)
		if err != nil {
			return nil, err
		}
		if row > len(parts) {
			return nil, fmt.Errorf("row: %d of %d messages", row, len(parts))
		}
		body = parts[row-1]
	}
	return t.m.Dialect.Decode(body, t.m.Reads())
}

func (t *caseTest) compareVerdict(c *testCase, res Result, fail differs) {
	want, got := c.verdict, string(res.Verdict)
	if res.Class == ClassNotMine {
		got = "not_mine"
	}
	if want == "" {
		want = string(broker.Apply)
	}
	if want != got {
		fail("verdict", want, got, string(res.Detail))
	}
	if c.reason != "" && !strings.Contains(string(res.Detail), c.reason) && !strings.Contains(res.Reason, c.reason) {
		fail("reason", show(c.reason), show(string(res.Detail)), "")
	}
}

// compareWarnings wants every warning named once, in any order.
func compareWarnings(c *testCase, res Result, fail differs) {
	left := append([]Issue(nil), res.Warnings...)
next:
	for _, want := range c.warnings {
		for i, w := range left {
			if strings.Contains(string(w.Detail), want) || strings.Contains(w.Text, want) {
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		fail("warnings", show(want), "", "")
	}
	for _, w := range left {
		fail("warnings", "", show(string(w.Detail)), "")
	}
}

func (t *caseTest) compareGolden(c *testCase, got map[string]any, rep *CaseReport, fail differs) {
	name := path.Join(t.dir, c.golden)
	data, err := readFile(t.fsys, name)
	var want any
	if err == nil {
		want, err = decodeJSON(data)
	}
	var found []Difference
	if errors.Is(err, fs.ErrNotExist) {
		found = append(found, Difference{Path: "golden", Note: c.golden + " is not there: vagus mapping test --update writes it"})
	} else if err != nil {
		found = append(found, Difference{Path: "golden", Note: c.golden + ": " + cause(err)})
	} else {
		diff("", want, any(got), func(path, want, got, note string) { found = append(found, Difference{path, want, got, note}) })
	}
	if len(found) == 0 {
		return
	}
	if t.update != nil {
		if err := t.update(name, encodeJSON(got)); err == nil {
			rep.Updated = name
			return
		}
		fail("golden", "", "", name+" could not be written")
	}
	rep.Diff = append(rep.Diff, found...)
}

// unitJSON is a result as goldens have it.
func unitJSON(m *Mapping, res Result) map[string]any {
	out := map[string]any{"mapping": fmt.Sprintf("%s@%d", m.ID, m.Version), "verdict": string(res.Verdict)}
	set := func(k, v string) {
		if v != "" {
			out[k] = v
		}
	}
	set("ordering", res.Ordering)
	var others []any
	for _, k := range res.OtherOrdering {
		others = append(others, k)
	}
	if others != nil {
		out["other_ordering"] = others
	}
	set("idempotency", res.Idempotency)
	set("class", res.Class)
	set("reason", res.Reason)
	if res.Document != nil {
		out["document"] = documentJSON(m, res.Document)
	}
	if res.Ops != nil {
		ops, err := json.Marshal(res.Ops)
		if err == nil {
			out["ops"], _ = decodeJSON(ops)
		}
	}
	return out
}

func decodeJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// encodeCompact writes JSON on one line, without HTML escapes.
func encodeCompact(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return b.Bytes()
}

func encodeJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
	return b.Bytes()
}
