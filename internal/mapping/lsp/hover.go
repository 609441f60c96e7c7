package lsp

import (
	"context"
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

func (s *server) hover(ctx context.Context, p positionParams) (any, *rpcError) {
	d := s.docs[p.TextDocument.URI]
	if d == nil || d.name == "" {
		return nil, nil
	}
	doc := d.read()
	spot, ok := doc.At(p.Position.Line, s.column(d, p.Position))
	if !ok || spot.Text == "" {
		return nil, nil
	}
	names := s.names(d, doc)
	var parts []string
	if spot.OnKey {
		parts = append(parts, hoverKey(names, spot))
	} else {
		parts = append(parts, hoverValue(names, spot))
	}
	parts = append(parts, s.hoverSample(ctx, d, spot))
	text := strings.Join(filled(parts), "\n\n---\n\n")
	if text == "" {
		return nil, nil
	}
	h := hover{Contents: markup{"markdown", text}}
	if spot.Line == p.Position.Line && spot.Quote != '|' {
		r := s.span(d, spot.Line, spot.Col, spot.End)
		h.Range = &r
	}
	return h, nil
}

func filled(parts []string) []string {
	out := parts[:0]
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

func hoverKey(names *mapping.Names, spot mapping.Spot) string {
	o := spot.Object
	if o == nil {
		return ""
	}
	if k := o.Key(spot.Text); k != nil {
		text := fmt.Sprintf("**%s** — %s", k.Name, k.Doc)
		if k.Required {
			text += " *Required.*"
		}
		if k.Default != "" {
			text += fmt.Sprintf(" Default: `%s`.", k.Default)
		}
		if t := grammar.Find(k.Forms, grammar.Text); t != nil {
			text += wordList(t.Words)
		}
		return text
	}
	if o.Free == nil {
		return ""
	}
	switch o.Free.Means {
	case grammar.Field, grammar.SearchField:
		model := names.Model(&spot)
		if f, ok := names.Field(model, spot.Text); ok {
			return fieldDoc(model, f)
		}
	case grammar.Condition:
		return hoverPath(names, spot, spot.Text)
	case grammar.Segment:
		return hoverStep(spot.Text, names.Segments(&spot), spot.Text)
	case grammar.Element:
		segment, elements := names.Elements(&spot)
		return hoverStep(segment+"-"+spot.Text, elements, spot.Text)
	}
	return o.Free.Doc
}

func hoverValue(names *mapping.Names, spot mapping.Spot) string {
	f := focusOf(spot)
	switch f.means {
	case grammar.Word:
		for _, w := range grammar.Find(spot.Forms, grammar.Text).Words {
			if w.Text == f.text {
				return fmt.Sprintf("**%s** — %s", w.Text, w.Doc)
			}
		}
	case grammar.Path, grammar.ListPath:
		return hoverPath(names, spot, f.pathTo())
	case grammar.Expression, grammar.Search:
		for _, fn := range mapping.Functions() {
			if fn.Name == f.text {
				return fmt.Sprintf("`%s` → %s\n\n%s", fn.Call, fn.Gives, fn.Doc)
			}
		}
		if _, ok := names.Path(&spot, f.text); ok {
			return hoverPath(names, spot, f.text)
		}
	case grammar.TableName:
		for _, t := range names.Tables() {
			if t.Name == f.text {
				return fmt.Sprintf("**%s** — code table, %s", t.Name, tableDetail(t))
			}
		}
	case grammar.Model:
		if fields := names.Fields(f.text); fields != nil {
			return fmt.Sprintf("**%s** — model with %d fields in the snapshot", f.text, len(fields))
		}
	case grammar.Field, grammar.Reference:
		model := names.Model(&spot)
		if field, ok := names.Field(model, f.text); ok {
			return fieldDoc(model, field)
		}
	case grammar.Operation:
		for _, o := range names.Operations(&spot) {
			if o.ID == f.text {
				return fmt.Sprintf("**%s** — %s %s", o.ID, o.Do, o.Model)
			}
		}
	}
	return ""
}

// hoverStep tells what the standard says of a segment or an element.
func hoverStep(title string, steps []mapping.StepOutline, name string) string {
	for _, s := range steps {
		if s.Name != name {
			continue
		}
		text := "**" + title + "**"
		if s.Title != "" {
			text += " — " + s.Title
		}
		return strings.Join(filled([]string{text, stepDetail(s), s.Doc}), "\n\n")
	}
	return ""
}

// hoverPath tells the standard's names on the way, the type, the code table
// and what the path may reveal.
func hoverPath(names *mapping.Names, spot mapping.Spot, path string) string {
	src, ok := names.Path(&spot, path)
	if !ok {
		return ""
	}
	var b strings.Builder
	if src.Let != "" {
		fmt.Fprintf(&b, "**%s** — let", src.Let)
	} else {
		fmt.Fprintf(&b, "**%s**", src.Path)
		if len(src.Titles) > 0 {
			fmt.Fprintf(&b, " — %s", strings.Join(src.Titles, " › "))
		}
		if src.Type != "" {
			fmt.Fprintf(&b, "\n\nType `%s`", src.Type)
		}
		if src.Table != "" {
			fmt.Fprintf(&b, ", table `%s`", src.Table)
		}
	}
	fmt.Fprintf(&b, "\n\nMay reveal: %s", src.Labels)
	if all := names.Within(&spot, path); all != src.Labels && src.Let == "" {
		fmt.Fprintf(&b, "\n\nAll of it may reveal: %s", all)
	}
	return b.String()
}

func wordList(words []grammar.Choice) string {
	var b strings.Builder
	if len(words) > 1 {
		b.WriteString("\n")
		for _, w := range words {
			fmt.Fprintf(&b, "\n- `%s`: %s", w.Text, w.Doc)
		}
	}
	return b.String()
}

func fieldType(f mapping.FieldOutline) string {
	t := f.Type
	if f.Relation != "" {
		t += " → " + f.Relation
	}
	if f.Required {
		t += ", required"
	}
	return t
}

func fieldDoc(model string, f mapping.FieldOutline) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s.%s**", model, f.Name)
	if f.Title != "" {
		fmt.Fprintf(&b, " — %s", f.Title)
	}
	fmt.Fprintf(&b, "\n\n%s", fieldType(f))
	if f.Locked != "" {
		fmt.Fprintf(&b, "; can not be written: %s", f.Locked)
	}
	if len(f.Selection) > 0 {
		fmt.Fprintf(&b, "\n\nOne of `%s`", strings.Join(f.Selection, "`, `"))
	}
	if f.Help != "" {
		fmt.Fprintf(&b, "\n\n%s", f.Help)
	}
	return b.String()
}

// hoverSample tells what the rule makes of the sample message.
func (s *server) hoverSample(ctx context.Context, d *document, spot mapping.Spot) string {
	line, col, ok := spot.RulePlace()
	if !ok {
		return ""
	}
	var events []mapping.Event
	for _, e := range s.trace(ctx, d) {
		if e.Place == (mapping.Place{File: d.name, Line: line + 1, Col: col + 1}) {
			events = append(events, e)
		}
	}
	if events == nil {
		return ""
	}
	sample, _ := sampleOf(d.name, d.text)
	return fmt.Sprintf("Of %s:\n\n```\n%s```", sample.file[strings.LastIndexByte(sample.file, '/')+1:], told(events))
}
