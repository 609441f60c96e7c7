package workbench

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
)

// A Flow is the picture of a mapping: which parts of a message feed which
// operations, and which models these write.
type Flow struct {
	Sources, Operations, Models []FlowNode
	Edges                       []FlowEdge
}

// A FlowNode is a box of the picture.
type FlowNode struct{ Name, Note string }

// A FlowEdge joins box From of one column with box To of the next one; Rules is
// how many rules go along it.
type FlowEdge struct{ Column, From, To, Rules int }

func flowOf(o mapping.Outline) Flow {
	var f Flow
	lets := map[string][]mapping.SourceOutline{}
	for _, l := range o.Lets {
		lets[strings.TrimPrefix(l.ID, "let.")] = l.Sources
	}
	for _, op := range o.Operations {
		to := box(&f.Operations, op.ID, op.Do)
		rs := flat(op.Rules)
		f.edge(1, to, box(&f.Models, op.Model, ""), max(1, len(rs)))
		for _, r := range rs {
			f.feed(r, lets, op.Each, to)
		}
	}
	for _, r := range flat(o.Segments) {
		segment, _, _ := strings.Cut(r.ID, "-")
		to := box(&f.Operations, segment, "writes")
		f.feed(r, lets, "", to)
	}
	return f
}

// feed draws edges from what a rule reads, lets looked through.
func (f *Flow) feed(r mapping.RuleOutline, lets map[string][]mapping.SourceOutline, each string, to int) {
	for _, s := range r.Sources {
		from := []mapping.SourceOutline{s}
		if s.Let != "" {
			from = lets[s.Let]
		}
		for _, s := range from {
			name := firstStep(s.Path)
			if strings.Trim(name, "0123456789") == "" { // a part of the item of each
				name = firstStep(each)
			}
			note := ""
			if len(s.Titles) > 1 {
				note = s.Titles[0]
			}
			if name != "" {
				f.edge(0, box(&f.Sources, name, note), to, 1)
			}
		}
	}
}

func firstStep(path string) string {
	path = strings.TrimPrefix(path, "/")
	if rest, ok := strings.CutPrefix(path, "`"); ok {
		name, _, _ := strings.Cut(rest, "`")
		return name
	}
	if i := strings.IndexAny(path, "-.["); i >= 0 {
		return path[:i]
	}
	return path
}

func box(boxes *[]FlowNode, name, note string) int {
	for i, b := range *boxes {
		if b.Name == name {
			(*boxes)[i].Note = cmp.Or(b.Note, note)
			return i
		}
	}
	*boxes = append(*boxes, FlowNode{name, note})
	return len(*boxes) - 1
}

func (f *Flow) edge(column, from, to, n int) {
	for i, e := range f.Edges {
		if e.Column == column && e.From == from && e.To == to {
			f.Edges[i].Rules += n
			return
		}
	}
	f.Edges = append(f.Edges, FlowEdge{column, from, to, n})
}

const (
	boxWidth  = 200
	boxHeight = 40
	boxGap    = 14
	columnGap = 130
)

// SVG draws the flow from left to right; a line is as thick as the rules that
// go along it are many. Texts are cut to their boxes.
func (f Flow) SVG() template.HTML {
	columns := [][]FlowNode{f.Sources, f.Operations, f.Models}
	most := 1
	for _, c := range columns {
		most = max(most, len(c))
	}
	height := most*(boxHeight+boxGap) + boxGap
	width := 3*boxWidth + 2*columnGap
	top := func(column, i int) float64 {
		n := len(columns[column])
		return float64(height-n*(boxHeight+boxGap)+boxGap)/2 + float64(i*(boxHeight+boxGap))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="flow" viewBox="0 0 %d %d" role="img" aria-label="data flow">`, width, height)
	for _, e := range f.Edges {
		x1, x2 := float64(e.Column*(boxWidth+columnGap)+boxWidth), float64((e.Column+1)*(boxWidth+columnGap))
		y1, y2 := top(e.Column, e.From)+boxHeight/2, top(e.Column+1, e.To)+boxHeight/2
		fmt.Fprintf(&b, `<path d="M%.0f %.1fC%.0f %.1f %.0f %.1f %.0f %.1f" stroke-width="%.1f"><title>%s</title></path>`,
			x1, y1, x1+columnGap/2, y1, x2-columnGap/2, y2, x2, y2, 1+math.Sqrt(float64(e.Rules)), count(e.Rules, "rule"))
	}
	for column, nodes := range columns {
		for i, n := range nodes {
			x, y := column*(boxWidth+columnGap), top(column, i)
			fmt.Fprintf(&b, `<g class="c%d"><rect x="%d" y="%.1f" width="%d" height="%d" rx="6"/>`, column, x, y, boxWidth, boxHeight)
			line := y + 24
			if n.Note != "" {
				line = y + 17
				fmt.Fprintf(&b, `<text class="note" x="%d" y="%.1f">%s</text>`, x+10, y+32, cutText(n.Note, 34))
			}
			fmt.Fprintf(&b, `<text x="%d" y="%.1f">%s</text></g>`, x+10, line, cutText(n.Name, 26))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func cutText(s string, n int) string {
	if r := []rune(s); len(r) > n {
		s = string(r[:n-1]) + "…"
	}
	return template.HTMLEscapeString(s)
}
