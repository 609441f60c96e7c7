package lsp

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A comment of a mapping names a sample message, and which one of a file that
// holds many:
//
//	# sample: in/a08.hl7
//	# sample: in/hr.csv 3
var sampleLine = regexp.MustCompile(`(?m)^\s*#\s*sample:[ \t]*(\S+)(?:[ \t]+([0-9]{1,6}))?[ \t]*\r?$`)

const (
	maxSample  = 4 << 20 // bytes
	traceLimit = 5 * time.Second
)

type sample struct {
	file string // in the tree
	n    int    // from 1
	line int    // of the comment, from 0
}

func sampleOf(name, text string) (s sample, ok bool) {
	m := sampleLine.FindStringSubmatchIndex(text)
	if m == nil {
		return sample{}, false
	}
	s = sample{file: path.Join(path.Dir(name), text[m[2]:m[3]]), n: 1, line: strings.Count(text[:m[2]], "\n")}
	if m[4] >= 0 {
		s.n, _ = strconv.Atoi(text[m[4]:m[5]])
	}
	return s, true
}

// message reads the sample. Its errors name places, never values.
func (s sample) message(files fs.FS, m *mapping.Mapping) (*tree.Message, error) {
	info, err := fs.Stat(files, s.file)
	if err != nil {
		return nil, fmt.Errorf("%s can not be read", s.file)
	}
	if info.Size() > maxSample {
		return nil, fmt.Errorf("%s has more than %d bytes", s.file, maxSample)
	}
	body, err := fs.ReadFile(files, s.file)
	if err != nil {
		return nil, fmt.Errorf("%s can not be read", s.file)
	}
	if split, ok := m.Dialect.(tree.Splitter); ok {
		parts, err := split.Split(body)
		if err != nil {
			return nil, err
		}
		if s.n < 1 || s.n > len(parts) {
			return nil, fmt.Errorf("the file has messages 1 to %d", len(parts))
		}
		body = parts[s.n-1]
	}
	return m.Dialect.Decode(body, m.Reads())
}

// lintSample reports a sample that can not be read, or that the mapping does
// not take.
func lintSample(ctx context.Context, files fs.FS, name string, formats []tree.Format) []mapping.Issue {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil
	}
	sample, ok := sampleOf(name, string(text))
	if !ok {
		return nil
	}
	_, why := sample.run(ctx, files, name, formats)
	if why == "" {
		return nil
	}
	return []mapping.Issue{{File: name, Line: sample.line + 1, Col: 1, Severity: mapping.Warning, Code: "sample", Text: why}}
}

// run traces a mapping on the sample; why is the reason that there is nothing
// to show for it, "" also when the mapping does not load, which Lint says.
func (s sample) run(ctx context.Context, files fs.FS, name string, formats []tree.Format) (events []mapping.Event, why string) {
	m, err := mapping.Load(files, name, formats)
	if err != nil {
		return nil, ""
	}
	msg, err := s.message(files, m)
	if err != nil {
		return nil, "the sample: " + err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, traceLimit)
	defer cancel()
	res, events := m.RunTraced(ctx, msg)
	if res.Class == mapping.ClassNotMine {
		return nil, "the sample is not for this mapping: source.when does not let it in"
	}
	return events, ""
}

// trace runs a document on its sample. It is nil when the document does not
// load, names no sample, or the sample is not for it.
func (s *server) trace(ctx context.Context, d *document) []mapping.Event {
	sample, ok := sampleOf(d.name, d.text)
	if !ok {
		return nil
	}
	events, _ := sample.run(ctx, s.tree(), d.name, s.cfg.Formats)
	return events
}

// inlayHints shows behind each rule what it makes of the sample.
func (s *server) inlayHints(ctx context.Context, p inlayHintParams) (any, *rpcError) {
	hints := []inlayHint{}
	d := s.docs[p.TextDocument.URI]
	if d == nil || d.name == "" {
		return hints, nil
	}
	doc := d.read()
	byPlace := map[mapping.Place][]mapping.Event{}
	var order []mapping.Place
	for _, e := range s.trace(ctx, d) {
		if e.Place.File != d.name || !strings.Contains(e.Rule, ".") || e.Place.Line-1 < p.Range.Start.Line || e.Place.Line-1 > p.Range.End.Line {
			continue
		}
		if byPlace[e.Place] == nil {
			order = append(order, e.Place)
		}
		byPlace[e.Place] = append(byPlace[e.Place], e)
	}
	for _, at := range order {
		line, col, ok := doc.ValueEnd(at.Line-1, at.Col-1)
		if !ok {
			continue
		}
		events := byPlace[at]
		label := "→ " + made(events[0])
		if len(events) > 1 {
			label += fmt.Sprintf(" (and %d more)", len(events)-1)
		}
		hints = append(hints, inlayHint{Position: s.position(d.lines, line, col), Label: label, Tooltip: told(events), PaddingLeft: true})
	}
	return hints, nil
}

const maxShown = 60 // characters of a value in a hint

// made is what a rule made of the sample, short.
func made(e mapping.Event) string {
	switch e.Outcome {
	case mapping.OutcomeValue:
		return short(e.Value)
	case mapping.OutcomeDefault:
		return short(e.Value) + " for a new record"
	case mapping.OutcomeNull:
		return "cleared"
	case mapping.OutcomeAbsent:
		return "not sent"
	case mapping.OutcomeWhenFalse:
		return "not sent: when is false"
	}
	return string(e.Outcome) + ": " + e.Reason
}

func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if r := []rune(string(b)); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return string(b)
}

// told tells of each item what the rule read and each step made of it.
func told(events []mapping.Event) string {
	var b strings.Builder
	for i, e := range events {
		if i == 10 {
			fmt.Fprintf(&b, "… and %d more\n", len(events)-i)
			break
		}
		if e.Op != "" {
			fmt.Fprintf(&b, "%s: ", strings.TrimSpace(e.Op+" "+e.Line))
		}
		fmt.Fprintln(&b, made(e))
		for _, in := range e.Inputs {
			fmt.Fprintf(&b, "  %s = %s\n", strings.TrimSpace(in.Name+" "+in.Path), [...]string{"absent", "null", short(string(in.Text))}[in.State])
		}
		for _, s := range e.Steps {
			fmt.Fprintf(&b, "  %s: %s\n", s.What, short(string(s.Value)))
		}
	}
	return b.String()
}
