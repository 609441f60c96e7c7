package workbench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Page documents one mapping: what it reads, what it writes, what may leave
// the hospital and why. It holds no value of any message.
type Page struct {
	ID          string
	Version     int
	Title       string
	Owner       string
	Description []string // paragraphs
	File        string
	Hash        string
	Facts       [][2]string // "messages", "hl7v2 2.5.1 where MSH-9.1 is ADT"
	Lets        []Row
	Guards      []GuardRow
	Operations  []OperationPage
	Segments    []Row
	Tables      []TableRow
	Allow       []string
	Register    []RegisterRow
	Declassify  []DeclassifyRow
	Decides     []DecidesRow
	Flow        Flow
}

// A Row is one rule of the data-flow table.
type Row struct {
	Target   string // "birthdate_date"
	Title    string // "Date of birth", the field's name in Odoo
	Type     string
	Help     string
	Sources  []SourceText
	How      []string
	Labels   []string
	Policies []string
	At       string // "adt-patient.map.yaml:56"
	Depth    int    // of lines in lines
}

// A SourceText is a path and what the standard calls it.
type SourceText struct{ Path, Title string }

// A GuardRow is a condition that ends a message's way.
type GuardRow struct{ When, Verdict, At string }

// An OperationPage is one operation with its rules.
type OperationPage struct {
	ID, Do, Model, Match, Each, When, At string
	Rows                                 []Row
}

// A TableRow is one code table.
type TableRow struct {
	Name, File string
	Rows       int
}

// A RegisterRow says by which fields a label leaves.
type RegisterRow struct {
	Label  string
	Fields []string
}

// A DeclassifyRow is a field that sheds a label, and the reason.
type DeclassifyRow struct {
	Field   string
	Dropped []string
	Because string
	At      string
}

// A DecidesRow is something whose being written depends on data that may not
// leave itself, and so tells something of it.
type DecidesRow struct {
	What   string // an operation or a field
	Labels []string
}

// Page documents a mapping.
func (b Bench) Page(file string) (Page, error) {
	m, err := b.load(file)
	if err != nil {
		return Page{}, err
	}
	doc, err := readDocument(b.FS, file)
	if err != nil {
		return Page{}, err
	}
	o := m.Outline()
	p := Page{ID: m.ID, Version: m.Version, Title: m.Title, Owner: m.Owner, File: b.show(file), Hash: m.Hash, Allow: o.Allow.Names(), Facts: facing(m, doc)}
	for para := range strings.SplitSeq(doc.get("description").text(), "\n\n") {
		if para = strings.Join(strings.Fields(para), " "); para != "" {
			p.Description = append(p.Description, para)
		}
	}
	p.Lets = b.rows(o.Lets, 0)
	for _, g := range o.Guards {
		row := GuardRow{When: strings.TrimPrefix(strings.Join(g.How, "; "), "CEL "), At: b.at(g.Place)}
		row.Verdict = strings.Join(g.Policies, "; ")
		p.Guards = append(p.Guards, row)
	}
	for _, op := range o.Operations {
		p.Operations = append(p.Operations, OperationPage{op.ID, op.Do, op.Model, op.Match, op.Each, op.When, b.at(op.Place), b.rows(op.Rules, 0)})
	}
	p.Segments = b.rows(o.Segments, 0)
	for _, t := range o.Tables {
		p.Tables = append(p.Tables, TableRow{t.Name, b.show(t.File), t.Rows})
	}
	b.register(&p, o)
	p.Flow = flowOf(o)
	return p, nil
}

const emits = "emits" // the fact that names a document

// facing lists what the mapping says of itself as a whole.
func facing(m *mapping.Mapping, doc *node) [][2]string {
	var out [][2]string
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	messages := strings.TrimSpace(m.Format + " " + m.Source.Version + doc.get("source").get("model").text())
	when := doc.get("source").get("when")
	for i := 0; when != nil && i < len(when.keys); i++ {
		word := " where "
		if i > 0 {
			word = " and "
		}
		is := " is " + listed(when.values[i], " or ")
		if there := when.values[i].get("present"); there != nil {
			is = map[string]string{"true": " is there", "false": " is not there"}[there.text()]
		}
		messages += word + when.keys[i] + is
	}
	add("messages", messages)
	add("time zone", doc.get("source").get("zone").text())
	target := doc.get("target").get("odoo").text()
	if target != "" {
		target = "Odoo " + target
	}
	add("target", target)
	add("ordered by", listed(doc.get("ordering"), " and "))
	add("known by", listed(doc.get("idempotency"), ", "))
	add("unit", m.Unit)
	add("when it fails", doc.get("on_error").text())
	add(emits, strings.TrimSpace(doc.get("emit").get("format").text()+" "+doc.get("emit").get("set").text()))
	return out
}

func listed(n *node, sep string) string {
	if n == nil {
		return ""
	}
	if !n.isList {
		return n.text()
	}
	parts := make([]string, len(n.list))
	for i, v := range n.list {
		parts[i] = v.text()
	}
	return strings.Join(parts, sep)
}

func (b Bench) at(p mapping.Place) string { return fmt.Sprintf("%s:%d", b.show(p.File), p.Line) }

func (b Bench) rows(rs []mapping.RuleOutline, depth int) []Row {
	var out []Row
	for _, r := range rs {
		row := Row{Target: r.Field, Title: r.FieldTitle, Type: r.FieldType, Help: r.Help, How: r.How, Labels: r.Labels.Names(), Policies: r.Policies, At: b.at(r.Place), Depth: depth}
		if row.Target == "" {
			row.Target = strings.TrimPrefix(r.ID, "let.")
		}
		if r.Relation != "" {
			row.Type += " " + r.Relation
		}
		for _, s := range r.Sources {
			row.Sources = append(row.Sources, sourceText(s))
		}
		out = append(out, row)
		out = append(out, b.rows(r.Lines, depth+1)...)
	}
	return out
}

func sourceText(s mapping.SourceOutline) SourceText {
	if s.Let != "" {
		return SourceText{Path: s.Let, Title: "named value"}
	}
	titles := s.Titles
	if len(titles) > 1 { // the segment's name is in every row
		titles = titles[1:]
	}
	title := strings.Join(titles, " › ")
	if s.Table != "" {
		title += " (table " + s.Table + ")"
	}
	return SourceText{s.Path, strings.TrimSpace(title)}
}

// register fills in what leaves: for each label the fields that carry it, and
// each field that shed one with the reason.
func (b Bench) register(p *Page, o mapping.Outline) {
	fields := map[string][]string{}
	carry := func(labels tree.Labels, field string) {
		names := labels.Names()
		if len(names) == 0 {
			names = []string{"none"}
		}
		for _, l := range names {
			if !slices.Contains(fields[l], field) {
				fields[l] = append(fields[l], field)
			}
		}
	}
	decides := func(labels tree.Labels, what string) {
		if over := labels &^ o.Allow; over != 0 {
			p.Decides = append(p.Decides, DecidesRow{what, over.Names()})
		}
	}
	visit := func(rs []mapping.RuleOutline, leaves bool) {
		for _, r := range rs {
			if leaves {
				decides(r.Decides, r.ID)
			}
			if leaves {
				carry(r.Labels, r.ID)
			}
			if r.Dropped != 0 {
				p.Declassify = append(p.Declassify, DeclassifyRow{r.ID, r.Dropped.Names(), r.Because, b.at(r.Place)})
			}
		}
	}
	visit(o.Lets, false)
	for _, op := range o.Operations {
		carry(op.Labels, op.ID+" (identity)")
		decides(op.Decides, op.ID)
		visit(flat(op.Rules), true)
	}
	visit(flat(o.Segments), true)
	for _, l := range append(tree.LabelNames()[1:], "none") {
		if len(fields[l]) > 0 {
			p.Register = append(p.Register, RegisterRow{l, fields[l]})
		}
	}
}

// flat lists rules with those of their lines.
func flat(rs []mapping.RuleOutline) []mapping.RuleOutline {
	var out []mapping.RuleOutline
	for _, r := range rs {
		out = append(append(out, r), flat(r.Lines)...)
	}
	return out
}
