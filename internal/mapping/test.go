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
	File   string       `json:"file"`
	Issues Issues       `json:"issues,omitempty"` // the files are wrong; no case ran
	Cases  []CaseReport `json:"cases,omitempty"`
}

// A CaseReport is what became of one case. The lines of Diff hold values of
// the test message.
type CaseReport struct {
	Name    string   `json:"name"`
	Line    int      `json:"line"`
	OK      bool     `json:"ok"`
	Updated string   `json:"updated,omitempty"` // the golden file that was written
	Diff    []string `json:"diff,omitempty"`    // "path: - want + got", only what differs
	Events  []Event  `json:"-"`                 // what each rule did, for coverage
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
	m, err := Load(fsys, path.Join(path.Dir(name), t.mapping), formats)
	if err != nil {
		if !errors.As(err, &rep.Issues) {
			c.errorf(t.at, "file", "%v", err)
			rep.Issues = c.issues
		}
		return rep
	}
	ct := caseTest{ctx: ctx, fsys: fsys, dir: path.Dir(name), m: m, update: update}
	for i := range t.cases {
		rep.Cases = append(rep.Cases, ct.run(&t.cases[i]))
	}
	return rep
}

// TestCommand runs test files and prints the result. It returns whether all
// passed; no files at all is not a pass.
func TestCommand(ctx context.Context, out Output, fsys fs.FS, formats []tree.Format, paths []string, update Update) (ok bool) {
	passed, failed := 0, 0
	ok = len(paths) > 0
	for _, name := range paths {
		rep := Test(ctx, fsys, path.Clean(name), formats, update)
		ok = ok && rep.OK()
		for _, c := range rep.Cases {
			if c.OK {
				passed++
			} else {
				failed++
			}
		}
		if out.JSON {
			writeJSON(out.W, rep)
			continue
		}
		rep.write(out)
	}
	if !out.JSON {
		verdict := paint(out.Colour, green, "ok")
		if !ok {
			verdict = paint(out.Colour, red, "FAIL")
		}
		fmt.Fprintf(out.W, "%s  %d files, %d cases passed, %d failed\n", verdict, len(paths), passed, failed)
	}
	return ok
}

func (r Report) write(out Output) {
	for _, i := range r.Issues {
		i.write(out.W, out.Colour)
	}
	for _, c := range r.Cases {
		switch {
		case c.Updated != "":
			fmt.Fprintf(out.W, "%s:%d: %s  %s: wrote %s\n", r.File, c.Line, paint(out.Colour, yellow, "new "), c.Name, c.Updated)
		case c.OK:
			fmt.Fprintf(out.W, "%s:%d: %s  %s\n", r.File, c.Line, paint(out.Colour, green, "ok  "), c.Name)
		default:
			fmt.Fprintf(out.W, "%s:%d: %s  %s\n", r.File, c.Line, paint(out.Colour, red, "FAIL"), c.Name)
			for _, d := range c.Diff {
				fmt.Fprintf(out.W, "    %s\n", d)
			}
		}
	}
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
	fail := func(format string, args ...any) { rep.Diff = append(rep.Diff, fmt.Sprintf(format, args...)) }
	body := []byte(c.input)
	if c.file != "" {
		var err error
		if body, err = readFile(t.fsys, path.Join(t.dir, c.file)); err != nil {
			fail("file: %v", err)
			return rep
		}
	}
	msg, err := t.m.Dialect.Decode(body, t.m.Reads())
	if err != nil {
		fail("input: %v", err)
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
			fail("%s: - %s + (not sent)", k.key, show(plain(k.val)))
			continue
		}
		diff(k.key, plain(k.val), v, fail)
	}
	for _, k := range c.notSent {
		if v, sent := sentAt(plainOps, k); sent {
			fail("%s: - (not sent) + %s", k, show(v))
		}
	}
	if c.warned {
		compareWarnings(c, res, fail)
	}
	rep.OK = len(rep.Diff) == 0
	return rep
}

func (t *caseTest) compareVerdict(c *testCase, res Result, fail func(string, ...any)) {
	want, got := c.verdict, string(res.Verdict)
	if res.Class == ClassNotMine {
		got = "not_mine"
	}
	if want == "" {
		want = string(broker.Apply)
	}
	if want != got {
		fail("verdict: - %s + %s (%s)", want, got, string(res.Detail))
	}
	if c.reason != "" && !strings.Contains(string(res.Detail), c.reason) && !strings.Contains(res.Reason, c.reason) {
		fail("reason: - %q + %q", c.reason, string(res.Detail))
	}
}

// compareWarnings wants every warning named once, in any order.
func compareWarnings(c *testCase, res Result, fail func(string, ...any)) {
	left := append([]Issue(nil), res.Warnings...)
next:
	for _, want := range c.warnings {
		for i, w := range left {
			if strings.Contains(string(w.Detail), want) || strings.Contains(w.Text, want) {
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		fail("warnings: - %q + (nothing)", want)
	}
	for _, w := range left {
		fail("warnings: - (nothing) + %q", string(w.Detail))
	}
}

func (t *caseTest) compareGolden(c *testCase, got map[string]any, rep *CaseReport, fail func(string, ...any)) {
	name := path.Join(t.dir, c.golden)
	data, err := readFile(t.fsys, name)
	var want any
	if err == nil {
		want, err = decodeJSON(data)
	}
	var lines []string
	if err != nil {
		lines = append(lines, fmt.Sprintf("golden: %v", err))
	} else {
		diff("", want, any(got), func(f string, args ...any) { lines = append(lines, fmt.Sprintf(f, args...)) })
	}
	if len(lines) == 0 {
		return
	}
	if t.update != nil {
		if err := t.update(name, encodeJSON(got)); err == nil {
			rep.Updated = name
			return
		}
		fail("golden: %s could not be written", name)
	}
	for _, l := range lines {
		fail("%s", l)
	}
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
	set("idempotency", res.Idempotency)
	set("class", res.Class)
	set("reason", res.Reason)
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

func encodeJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
	return b.Bytes()
}
