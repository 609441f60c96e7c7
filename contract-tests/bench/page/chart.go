package page

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
)

// The drawing's sizes, in its own units.
const (
	width, height            = 760, 380
	left, right, top, bottom = 72, 20, 62, 54
	plotWidth, plotHeight    = width - left - right, height - top - bottom
)

// style has colours for a light page and a dark one; colours differ in lightness as well as in hue,
// and each line has its own marks.
const style = `text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}.bg{fill:#fff}.grid{stroke:#d8dee4}.axis{stroke:#57606a}` +
	`.s0{--c:#0a5fb4}.s1{--c:#c2570c}.s2{--c:#2f7d4f}.s3{--c:#8b3fa8}.s4{--c:#7a6a1f}.s5{--c:#b02a4c}` +
	`.line{fill:none;stroke:var(--c);stroke-width:2}.fill{fill:var(--c)}` +
	`@media(prefers-color-scheme:dark){text{fill:#d6dde5}.bg{fill:#14191f}.grid{stroke:#303942}.axis{stroke:#8b98a5}` +
	`.s0{--c:#6cb0f5}.s1{--c:#f29a55}.s2{--c:#6fcf97}.s3{--c:#cf95e8}.s4{--c:#d9c665}.s5{--c:#f28aa5}}`

// colours is how many series have one of their own.
const colours = 6

// SVG draws the chart. The same chart gives the same bytes.
func (c *Chart) SVG() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s"><style>%s</style><rect class="bg" width="%d" height="%d"/>`+"\n",
		width, height, html.EscapeString(c.Title), style, width, height)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="24">%s</text>`+"\n", left, html.EscapeString(c.Title))
	x, y := c.axes()
	for _, v := range y.ticks {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%s" y2="%s"/><text x="%d" y="%s" text-anchor="end">%s</text>`+"\n",
			left, width-right, at(y.place(v)), at(y.place(v)), left-8, at(y.place(v)+4), Number(v))
	}
	for i, v := range x.ticks {
		label := Number(v)
		if len(c.Labels) > 0 {
			label = c.Labels[i]
		}
		fmt.Fprintf(&b, `<text x="%s" y="%d" text-anchor="middle">%s</text>`+"\n", at(x.place(v)), height-bottom+20, html.EscapeString(label))
	}
	fmt.Fprintf(&b, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d" text-anchor="middle">%s</text><text x="%d" y="46">%s</text>`+"\n",
		left, width-right, height-bottom, height-bottom, left+plotWidth/2, height-12, html.EscapeString(c.X), 12, html.EscapeString(c.Y))
	c.legend(&b)
	if len(c.Labels) > 0 {
		c.bars(&b, x, y)
	} else {
		c.lines(&b, x, y)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// An axis places values.
type axis struct {
	low, high float64
	log       bool
	from, to  float64 // where low and high are drawn
	ticks     []float64
}

func (a *axis) place(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log(max(v, a.low)), math.Log(low), math.Log(high)
	}
	if high == low {
		return (a.from + a.to) / 2
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

func (c *Chart) axes() (x, y axis) {
	x, y = axis{low: math.Inf(1), high: math.Inf(-1), log: c.LogX, from: left, to: left + plotWidth}, axis{low: math.Inf(1), log: c.LogY, from: height - bottom, to: top}
	stacked := make([]float64, len(c.Labels))
	seen := map[float64]bool{}
	for _, s := range c.Series {
		for i, p := range s.Points {
			x.low, x.high, y.low, y.high = min(x.low, p[0]), max(x.high, p[0]), min(y.low, p[1]), max(y.high, p[1])
			if i < len(stacked) {
				stacked[i] += p[1]
				y.high = max(y.high, stacked[i])
			}
			if c.LogX && !seen[p[0]] {
				seen[p[0]] = true
				x.ticks = append(x.ticks, p[0])
			}
		}
	}
	switch {
	case len(c.Labels) > 0:
		x.low, x.high = -0.5, float64(len(c.Labels))-0.5
		for i := range c.Labels {
			x.ticks = append(x.ticks, float64(i))
		}
	case !c.LogX:
		x.ticks = slices.DeleteFunc(steps(x.low, x.high), func(v float64) bool { return v > x.high })
	}
	if c.LogY && y.low > 0 {
		y.low, y.high = math.Pow(10, math.Floor(math.Log10(y.low))), math.Pow(10, math.Ceil(math.Log10(y.high)))
		for v := y.low; v <= y.high*1.001; v *= 10 {
			y.ticks = append(y.ticks, v)
		}
	} else {
		y.log, y.low = false, 0
		y.ticks = steps(0, y.high)
		y.high = max(y.high, y.ticks[len(y.ticks)-1])
	}
	return x, y
}

// steps are round values from low on, about five, the last at or after high.
func steps(low, high float64) (all []float64) {
	if !(high > low) { // also what is not a number
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if step*m*5 >= high-low {
			step *= m
			break
		}
	}
	for i := math.Ceil(low / step); (i-1)*step < high && len(all) < 20; i++ {
		all = append(all, i*step)
	}
	return all
}

func (c *Chart) legend(b *bytes.Buffer) {
	x := left + 150
	if len(c.Series) < 2 {
		return
	}
	for i, s := range c.Series {
		fmt.Fprintf(b, `<g class="s%d"><rect class="fill" x="%d" y="36" width="11" height="11"/></g><text x="%d" y="46">%s</text>`+"\n", i%colours, x, x+16, html.EscapeString(s.Name))
		x += 34 + 7*len([]rune(s.Name))
	}
}

func (c *Chart) bars(b *bytes.Buffer, x, y axis) {
	under := make([]float64, len(c.Labels))
	wide := float64(plotWidth) / float64(len(c.Labels)) * 0.55
	for i, s := range c.Series {
		for _, p := range s.Points {
			n := int(p[0])
			if n < 0 || n >= len(under) {
				continue
			}
			low, high := y.place(under[n]), y.place(under[n]+p[1])
			under[n] += p[1]
			fmt.Fprintf(b, `<g class="s%d"><rect class="fill" x="%s" y="%s" width="%s" height="%s"><title>%s, %s: %s</title></rect></g>`+"\n",
				i%colours, at(x.place(p[0])-wide/2), at(high), at(wide), at(low-high), html.EscapeString(c.Labels[n]), html.EscapeString(s.Name), Number(p[1]))
		}
	}
	for n, sum := range under {
		fmt.Fprintf(b, `<text x="%s" y="%s" text-anchor="middle">%s</text>`+"\n", at(x.place(float64(n))), at(y.place(sum)-6), Number(sum))
	}
}

// marked is up to how many points each has a mark.
const marked = 20

func (c *Chart) lines(b *bytes.Buffer, x, y axis) {
	for i, s := range c.Series {
		fmt.Fprintf(b, `<g class="s%d"><polyline class="line" points="`, i%colours)
		for _, p := range s.Points {
			fmt.Fprintf(b, "%s,%s ", at(x.place(p[0])), at(y.place(p[1])))
		}
		b.WriteString(`"/>`)
		for _, p := range s.Points {
			if len(s.Points) > marked {
				break
			}
			px, py := x.place(p[0]), y.place(p[1])
			title := fmt.Sprintf("<title>%s, %s: %s</title>", html.EscapeString(s.Name), Number(p[0]), Number(p[1]))
			switch i % 3 {
			case 0:
				fmt.Fprintf(b, `<circle class="fill" cx="%s" cy="%s" r="4">%s</circle>`, at(px), at(py), title)
			case 1:
				fmt.Fprintf(b, `<rect class="fill" x="%s" y="%s" width="8" height="8">%s</rect>`, at(px-4), at(py-4), title)
			default:
				fmt.Fprintf(b, `<path class="fill" d="M%s %sl5 9h-10z">%s</path>`, at(px), at(py-5), title)
			}
		}
		b.WriteString("</g>\n")
	}
}

// at formats a place in the drawing.
func at(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
