package workbench

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the page for code hosts and editors.
func (p Page) Markdown(w io.Writer) error {
	var b strings.Builder
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f("# %s\n", md(orID(p.Title, p.ID)))
	f("`%s@%d` · %s · content `%.12s`\n", p.ID, p.Version, md(p.File), p.Hash)
	if p.Owner != "" {
		f("Owner: %s\n", md(p.Owner))
	}
	for _, d := range p.Description {
		f("%s\n", md(d))
	}
	f("| | |\n|---|---|")
	for _, x := range p.Facts {
		f("| %s | %s |", md(x[0]), code(x[1]))
	}
	f("")
	if len(p.Guards) > 0 {
		f("## Guards\n\n| when | then |\n|---|---|")
		for _, g := range p.Guards {
			f("| %s | %s |", code(g.When), md(g.Verdict))
		}
		f("")
	}
	if len(p.Lets) > 0 {
		f("## Named values\n")
		rowsMarkdown(f, p.Lets)
	}
	if len(p.Operations) > 0 {
		f("## Operations, in order\n")
	}
	for i, op := range p.Operations {
		f("### %d. %s: %s %s\n", i+1, md(op.ID), md(op.Do), md(op.Model))
		for _, x := range [][2]string{{"for each", op.Each}, {"when", op.When}, {"identity", op.Match}} {
			if x[1] != "" {
				f("- %s %s", x[0], code(x[1]))
			}
		}
		f("")
		rowsMarkdown(f, op.Rows)
	}
	if len(p.Segments) > 0 {
		f("## What is written\n")
		rowsMarkdown(f, p.Segments)
	}
	if len(p.Tables) > 0 {
		f("## Code tables\n\n| table | file | rows |\n|---|---|---|")
		for _, t := range p.Tables {
			f("| %s | %s | %d |", md(t.Name), md(orID(t.File, "in the mapping")), t.Rows)
		}
		f("")
	}
	f("## What leaves the hospital\n\n`egress.allow` lets out: %s. Everything else stays.\n", md(orID(strings.Join(p.Allow, ", "), "nothing that has a label")))
	f("| label | leaves by |\n|---|---|")
	for _, r := range p.Register {
		f("| %s | %s |", md(r.Label), code(r.Fields...))
	}
	f("")
	if len(p.Declassify) > 0 {
		f("### Declassified\n\n| field | sheds | because |\n|---|---|---|")
		for _, d := range p.Declassify {
			f("| %s | %s | %s |", code(d.Field), md(strings.Join(d.Dropped, ", ")), md(d.Because))
		}
		f("")
	}
	if len(p.Decides) > 0 {
		f("### What decides, and may not leave\n\nThat one of these is written tells something of the data that its condition reads.\n\n| written, or not | reads |\n|---|---|")
		for _, d := range p.Decides {
			f("| %s | %s |", code(d.What), md(strings.Join(d.Labels, ", ")))
		}
		f("")
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func rowsMarkdown(f func(string, ...any), rows []Row) {
	if len(rows) == 0 {
		return
	}
	f("| target | source | how | labels | policies |\n|---|---|---|---|---|")
	for _, r := range rows {
		target := strings.Repeat("↳ ", r.Depth) + code(r.Target)
		if r.Title != "" {
			target += "<br>" + md(r.Title)
		}
		sources := make([]string, len(r.Sources))
		for i, s := range r.Sources {
			if sources[i] = code(s.Path); s.Title != "" {
				sources[i] += " " + md(s.Title)
			}
		}
		f("| %s | %s | %s | %s | %s |", target, strings.Join(sources, "<br>"), code(r.How...), md(strings.Join(r.Labels, ", ")), md(strings.Join(r.Policies, "; ")))
	}
	f("")
}

// IndexMarkdown writes the table of contents of several pages.
func IndexMarkdown(w io.Writer, pages []Page) error {
	var b strings.Builder
	b.WriteString("# Mappings\n\n| mapping | version | purpose | writes | lets out |\n|---|---|---|---|---|\n")
	for _, p := range pages {
		fmt.Fprintf(&b, "| [%s](%s.md) | %d | %s | %s | %s |\n", md(p.ID), p.ID, p.Version, md(p.Title), code(p.Writes()...), md(orID(strings.Join(p.Allow, ", "), "nothing that has a label")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Writes lists the models that the mapping writes, each once, or the document:
// "x12 850".
func (p Page) Writes() []string {
	var out []string
	for _, n := range p.Flow.Models {
		out = append(out, n.Name)
	}
	for _, f := range p.Facts {
		if f[0] == emits {
			out = append(out, f[1])
		}
	}
	return out
}

var markdown = strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", ">", "&gt;", "[", `\[`, "]", `\]`, "`", "\\`", "\n", " ")

// md escapes what Markdown would read.
func md(s string) string { return markdown.Replace(s) }

// code writes texts as code, in a table's cell.
func code(texts ...string) string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if t = strings.ReplaceAll(strings.ReplaceAll(t, "\n", " "), "|", `\|`); t == "" {
			continue
		}
		if strings.Contains(t, "`") {
			out = append(out, "`` "+t+" ``")
		} else {
			out = append(out, "`"+t+"`")
		}
	}
	return strings.Join(out, "<br>")
}

func orID(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
