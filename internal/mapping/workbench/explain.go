package workbench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping"
)

// Explain prints what each rule made of the message, operation by operation:
// the result, then where it came from and each step on the way; and in one
// faint line what did nothing, and why. only, when not empty, names the
// operations ("kin", "kin#2") to show; the error is for one that is not there.
func (r Run) Explain(s Screen, only []string) error {
	if err := r.named(only); err != nil {
		return err
	}
	s.line(s.in(bold, printable(r.Message)), " through ", s.in(bold, r.Unit.Mapping))
	file := ""
	for _, op := range grouped(r.Events) {
		if len(only) > 0 && !slices.ContainsFunc(only, func(o string) bool { return o == op.name || o == baseOf(op.name) }) {
			continue
		}
		s.line("")
		s.operation(op, &file, r.outline)
	}
	s.line("")
	verdict := s.in(green, string(r.Unit.Verdict))
	if r.Unit.Verdict != "apply" {
		verdict = s.in(red, string(r.Unit.Verdict)) + s.in(faint, " ["+r.Unit.Class+"] ") + printable(r.Unit.Reason)
	}
	s.line("verdict  ", verdict, fmt.Sprintf("  %s", count(len(r.Unit.Ops), "operation")))
	for _, w := range r.Unit.Warnings {
		s.line(s.in(yellow, "warning  "), printable(w))
	}
	return nil
}

// named says which operations there are when one is asked for that is not:
// those of the mapping, and what this message made of each.
func (r Run) named(only []string) error {
	var there []string
	for _, o := range r.outline.Operations {
		there = append(there, o.ID)
	}
	for _, e := range r.Events {
		if e.Op != "" && !slices.Contains(there, e.Op) {
			there = append(there, e.Op)
		}
	}
	for _, o := range only {
		if slices.Contains(there, o) {
			continue
		}
		if len(there) == 0 {
			return fmt.Errorf("no operation %q: %s has none", o, r.Unit.Mapping)
		}
		return fmt.Errorf("no operation %q of this message; there are: %s", o, strings.Join(there, ", "))
	}
	return nil
}

// An explainedOp is what belongs to one operation, or to none.
type explainedOp struct {
	name   string
	events []ExplainedAs
}

// grouped puts events under their operations, in the order of the run.
func grouped(events []ExplainedAs) []explainedOp {
	var out []explainedOp
	for _, e := range events {
		if n := len(out); n == 0 || out[n-1].name != e.Op {
			out = append(out, explainedOp{name: e.Op})
		}
		out[len(out)-1].events = append(out[len(out)-1].events, e)
	}
	return out
}

func baseOf(op string) string {
	id, _, _ := strings.Cut(op, "#")
	return id
}

func (s Screen) operation(op explainedOp, file *string, o mapping.Outline) {
	head, what := "before the operations", ""
	for _, d := range o.Operations {
		if op.name != "" && d.ID == baseOf(op.name) {
			head, what = op.name, "  "+d.Do+" "+d.Model
		}
	}
	s.line(s.in(bold, head), s.in(faint, what))
	width := 0
	for _, e := range op.events {
		width = max(width, utf8.RuneCountInString(title(e)))
	}
	width = min(width, 28)
	var idle []string
	for _, e := range op.events {
		at := e.At
		if name, line, ok := cutLast(at, ":"); ok && name == *file {
			at = "line " + line
		} else {
			*file = name
		}
		if why := idleBecause(e); why != "" {
			idle = append(idle, title(e)+" ("+why+")")
			continue
		}
		value, shade := inWords(e.Value), plain
		switch e.Outcome {
		case mapping.OutcomeNull:
			value, shade = "cleared", yellow
		case mapping.OutcomeDefault:
			value += "  for new records only"
		case mapping.OutcomeError:
			value, shade = "error: "+e.Reason, red
		case mapping.OutcomeSkipped:
			value, shade = "left out: "+cmp.Or(e.Reason, "see the warnings"), yellow
		}
		note := at
		if len(e.Labels) > 0 {
			note = strings.Join(e.Labels, ", ") + "  " + at
		}
		s.valueLine(width, title(e), value, shade, note)
		s.steps(width, e)
	}
	if len(idle) > 0 {
		for _, l := range wrap("nothing from "+strings.Join(idle, ", "), s.Width-4) {
			s.line("  ", s.in(faint, printable(l)))
		}
	}
}

// title names a rule within its operation.
func title(e ExplainedAs) string {
	id := e.Rule
	if e.Op != "" {
		if id = strings.TrimPrefix(strings.TrimPrefix(id, baseOf(e.Op)), "."); id == "" {
			id = "match"
			if _, condition := e.Value.(bool); condition || e.Outcome == mapping.OutcomeWhenFalse {
				id = "when"
			}
		}
	}
	if e.Line != "" {
		id += " [" + e.Line + "]"
	}
	return id
}

// idleBecause says why a rule did nothing, "" when it did something.
func idleBecause(e ExplainedAs) string {
	guard := strings.HasPrefix(e.Rule, "guards[")
	switch {
	case e.Outcome == mapping.OutcomeWhenFalse && guard:
		return "does not hold"
	case e.Outcome == mapping.OutcomeWhenFalse:
		return "when is false"
	case e.Outcome != mapping.OutcomeAbsent:
		return ""
	}
	var absent []string
	for _, in := range e.Inputs {
		if in.State != "value" {
			name := in.Path
			if name == "" {
				name = in.Name
			}
			absent = append(absent, name)
		}
	}
	switch {
	case len(absent) == 1:
		return absent[0] + " is absent"
	case len(absent) == 2:
		return absent[0] + " and " + absent[1] + " are absent"
	case len(absent) > 2:
		return fmt.Sprintf("%s and %d more are absent", absent[0], len(absent)-1)
	}
	return "the result is empty"
}

// valueLine prints a name, its value and, at the right, a note; below, where
// the value leaves no room for it.
func (s Screen) valueLine(width int, name, value string, shade ink, note string) {
	value, size := printable(value), utf8.RuneCountInString
	pad := func(text string, to int) string { return text + strings.Repeat(" ", max(0, to-size(text))) }
	room := s.Width - width - 4
	if s.Width <= 0 || size(value)+2+size(note) <= room {
		s.line("  ", s.in(bold, pad(name, width)), "  ", s.in(shade, pad(value, room-size(note)-2)), "  ", s.in(faint, note))
		return
	}
	for i, l := range wrap(value, max(room, minFolded)) {
		if i > 0 {
			name = ""
		}
		s.line("  ", s.in(bold, pad(name, width)), "  ", s.in(shade, l))
	}
	s.line(strings.Repeat(" ", width+4), s.in(faint, pad("", room-size(note))+note))
}

// steps prints where a value came from and what each step made of it.
func (s Screen) steps(width int, e ExplainedAs) {
	var rows [][]cell
	for _, in := range e.Inputs {
		what := in.Path
		switch {
		case what == "":
			what = "let " + in.Name
		case in.Name != "":
			what = in.Name + " = " + what
		}
		text, shade, at := compact(in.Text), plain, ""
		if in.State != "value" {
			text, shade = in.State, faint
		}
		if in.Line > 0 {
			at = fmt.Sprintf("segment %d, byte %d", in.Line, in.Offset)
		}
		rows = append(rows, []cell{{"from", faint}, {what, cyan}, {text, shade}, {at, faint}})
	}
	for i, st := range e.Steps {
		value := compact(st.Value)
		if i == len(e.Steps)-1 && e.Outcome == mapping.OutcomeValue { // the line above has it
			value = ""
		}
		rows = append(rows, []cell{{"then", faint}, {st.What, cyan}, {value, plain}, {"", faint}})
	}
	s.table(strings.Repeat(" ", width+4), rows, 1, 2)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
