package workbench

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed docs.html.tmpl
var pageTemplate string

var pages = template.Must(template.New("docs").Funcs(template.FuncMap{
	"join":  strings.Join,
	"arrow": func(depth int) string { return strings.Repeat("↳ ", depth) },
	"inc":   func(i int) int { return i + 1 },
}).Parse(pageTemplate))

// HTML writes the page as one file that needs no other, with a picture of the
// data flow.
func (p Page) HTML(w io.Writer) error { return pages.ExecuteTemplate(w, "page", p) }

// IndexHTML writes the table of contents of several pages.
func IndexHTML(w io.Writer, ps []Page) error { return pages.ExecuteTemplate(w, "index", ps) }
