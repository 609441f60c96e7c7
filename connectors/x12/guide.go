package x12

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// guidesText holds the loops of the transaction sets; its head explains its form.
//
//go:embed guides.txt
var guidesText string

// A guide is one transaction set as one implementation guide has it.
type guide struct {
	version  string // "005010X221A1"; "004010" of a set without a guide
	set      string // ST-01
	title    string
	release  release
	standard map[string]bool // segments that the set has in the standard, of an implementation guide
	root     *loop
	rules    map[string][]rule      // by segment
	calls    map[string][]situation // by the segment whose value calls for something
	schema   func() *tree.Type
	begins   func() map[string]bool // ids of the segments that begin its loops
	has      func() map[string]*used
}

// A used segment is one that a guide has somewhere, with what it says of it everywhere.
type used struct {
	def   *segmentDef
	rules []rule
	calls []situation
}

func newGuide(version, set, title string, root *loop) *guide {
	g := &guide{version: version, set: set, title: title, root: root, rules: map[string][]rule{}, calls: map[string][]situation{}}
	if !strings.HasPrefix(version, "004010") {
		g.release = release5010
	}
	g.schema = sync.OnceValue(func() *tree.Type { return schemaOf(g) })
	g.has = sync.OnceValue(func() map[string]*used {
		ids, has := map[string]bool{}, map[string]*used{}
		root.segmentIDs(ids, map[*loop]bool{})
		for id, def := range dictionaries[g.release]().segments {
			if ids[id] {
				has[id] = &used{def, g.rules[id], g.calls[id]}
			}
		}
		return has
	})
	g.begins = sync.OnceValue(func() map[string]bool {
		ids, seen := map[string]bool{}, map[*loop]bool{}
		root.beginnings(ids, seen)
		return ids
	})
	return g
}

// A loop is a group of segments and loops, in the guide's order.
type loop struct {
	name, title string
	items       []item
	level       bool // one of levelLoops
}

// An item is a place in a loop where a segment or a loop stands.
type item struct {
	segment  string // or
	loop     *loop
	title    string
	required bool
	max      int // 0 is no bound
	whom     subject
	when     qualifier
	labels   map[int]tree.Labels // of single elements, in place of the dictionary's
	usage    usage
}

// A subject is of whom a segment speaks.
type subject uint8

const (
	nobody subject = iota
	ofPatient
	ofStaff
)

// A qualifier is what a segment must say to stand in its place.
type qualifier struct {
	element, component int // element 0: nothing
	values             []string
}

// starts returns the segment that begins what stands here.
func (it *item) starts() *item {
	if it.loop == nil {
		return it
	}
	return it.loop.items[0].starts()
}

// beginnings collects the ids of the segments that begin loops.
func (l *loop) beginnings(ids map[string]bool, seen map[*loop]bool) {
	if seen[l] {
		return
	}
	seen[l] = true
	for i := range l.items {
		if it := &l.items[i]; it.loop != nil {
			ids[it.starts().segment] = true
			it.loop.beginnings(ids, seen)
		}
	}
}

// takes says whether a segment may stand here, or begin the loop here.
func (it *item) takes(s *segment) bool {
	first := it.starts()
	if first.segment != s.id {
		return false
	}
	if first.when.element == 0 {
		return true
	}
	got := s.qualifier(first.when.element, first.when.component)
	for _, v := range first.when.values {
		if string(got) == v {
			return true
		}
	}
	return false
}

// levels says whether the set's loops are levels that stand in each other as
// the sender likes.
func (g *guide) levels() bool {
	return slices.ContainsFunc(g.root.items, func(it item) bool { return it.loop != nil && it.loop.level })
}

var guides = sync.OnceValue(func() []*guide {
	all, err := readGuides(guidesText)
	if err != nil {
		panic("x12: guides.txt: " + err.Error())
	}
	return all
})

// A guideReader reads the file, line by line.
type guideReader struct {
	all   []*guide
	sets  map[string]map[string]bool // segments of a set in the standard, by release and set
	open  []openLoop                 // innermost last
	named map[string]*loop
}

// An openLoop is a loop whose lines are being read.
type openLoop struct {
	loop   *loop
	whom   subject
	levels []string // codes of HL-03, when it stands for one loop each
	item   item     // of the loop in its parent
}

func readGuides(text string) ([]*guide, error) {
	r := guideReader{sets: map[string]map[string]bool{}}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return r.all, r.close(0)
}

func (r *guideReader) line(line string) error {
	if rest, ok := strings.CutPrefix(line, "standard "); ok {
		f := strings.Fields(rest)
		if len(f) < 3 {
			return fmt.Errorf("a set of the standard is RELEASE SET SEGMENTS")
		}
		all := map[string]bool{}
		for _, id := range f[2:] {
			all[id] = true
		}
		r.sets[f[0]+" "+f[1]] = all
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "guide "); ok {
		if err := r.close(0); err != nil {
			return err
		}
		f := strings.SplitN(rest, " ", 3)
		if len(f) < 3 {
			return fmt.Errorf("a guide is VERSION SET Title")
		}
		g := newGuide(f[0], f[1], f[2], &loop{})
		if len(g.version) > 6 {
			g.standard = r.sets[g.version[:6]+" "+g.set]
		}
		r.all = append(r.all, g)
		r.open, r.named = []openLoop{{loop: g.root}}, map[string]*loop{}
		return nil
	}
	text := strings.TrimLeft(line, " ")
	depth := len(line) - len(text)
	if depth >= len(r.open) {
		return fmt.Errorf("it is indented deeper than any open loop")
	}
	if err := r.close(depth + 1); err != nil {
		return err
	}
	word, rest, _ := strings.Cut(text, " ")
	in := &r.open[len(r.open)-1]
	switch word {
	case "need", "codes":
		if len(r.all) == 0 {
			return fmt.Errorf("a rule of no guide")
		}
		rules := r.all[len(r.all)-1].rules
		texts, err := ruleTexts(word, rest)
		if err != nil {
			return err
		}
		for _, text := range texts {
			segment, rule, err := readRule(text)
			if err != nil {
				return err
			}
			rules[segment] = append(rules[segment], rule)
		}
		return nil
	case "when", "unless":
		if len(r.all) == 0 {
			return fmt.Errorf("a situation of no guide")
		}
		c, err := readSituation(word, rest)
		calls := r.all[len(r.all)-1].calls
		calls[c.segment] = append(calls[c.segment], c)
		return err
	case "like":
		l := r.named[rest]
		if l == nil {
			return fmt.Errorf("no loop %s stands above", rest)
		}
		in.loop.items = append(in.loop.items, item{loop: l, title: l.title})
		return nil
	case "loop":
		name, rest, _ := strings.Cut(rest, " ")
		it, err := readItem(rest, nobody)
		it.loop = &loop{name: name, title: it.title}
		r.named[name] = it.loop
		r.open = append(r.open, openLoop{loop: it.loop, whom: it.whom, item: it})
		return err
	case "levels":
		f := strings.SplitN(rest, " ", 4)
		if len(f) < 4 {
			return fmt.Errorf("levels are R or S, MAX, CODES and Title")
		}
		it, err := readItem(f[0]+" "+f[1]+" "+f[3], nobody)
		it.loop = &loop{title: it.title}
		r.open = append(r.open, openLoop{loop: it.loop, levels: strings.Split(f[2], "|"), item: it})
		return err
	}
	it, err := readItem(rest, in.whom)
	it.segment = word
	in.loop.items = append(in.loop.items, it)
	return err
}

// close ends the loops that are open deeper than depth.
func (r *guideReader) close(depth int) error {
	for len(r.open) > max(depth, 1) {
		o := r.open[len(r.open)-1]
		r.open = r.open[:len(r.open)-1]
		in := r.open[len(r.open)-1].loop
		if len(o.loop.items) == 0 {
			return fmt.Errorf("loop %s is empty", o.loop.name)
		}
		if o.levels == nil {
			in.items = append(in.items, o.item)
			continue
		}
		in.items = append(in.items, levelLoops(o)...)
	}
	return nil
}

// levelLoops makes a loop for each code of HL-03, each of which may hold all
// of them: which level stands in which is the sender's choice, told by HL-02.
func levelLoops(o openLoop) []item {
	var out []item
	for _, code := range o.levels {
		it := o.item
		it.loop = &loop{name: "HL_" + code, title: o.loop.title, items: slices.Clone(o.loop.items), level: true}
		it.loop.items[0].when = qualifier{element: 3, values: []string{code}}
		out = append(out, it)
	}
	for _, it := range out {
		it.loop.items = append(it.loop.items, out...)
	}
	return out
}

// readItem reads "R 1 01=PR|PE {2=identifier} +3,8:9 -4:7 Title" and "S * @patient Title".
func readItem(text string, whom subject) (item, error) {
	it := item{whom: whom}
	f := strings.SplitN(text, " ", 3)
	if len(f) < 3 || f[0] != "R" && f[0] != "S" {
		return it, fmt.Errorf("expected R or S, MAX and Title")
	}
	it.required = f[0] == "R"
	if f[1] != "*" {
		n, err := strconv.Atoi(f[1])
		if err != nil || n < 1 {
			return it, fmt.Errorf("%q is not how often", f[1])
		}
		it.max = n
	}
	rest := f[2]
	for {
		word, after, _ := strings.Cut(rest, " ")
		place, values, isWhen := strings.Cut(word, "=")
		switch {
		case word == "@patient":
			it.whom = ofPatient
		case word == "@staff":
			it.whom = ofStaff
		case strings.HasPrefix(word, "{"):
			n, list, _ := strings.Cut(strings.Trim(word, "{}"), "=")
			element, err := strconv.Atoi(n)
			if err != nil {
				return it, fmt.Errorf("%q is no override", word)
			}
			labels, _, err := readLabels(list)
			if err != nil {
				return it, err
			}
			it.labels = map[int]tree.Labels{element: labels}
		case len(word) > 1 && (word[0] == '+' || word[0] == '-') && word[1] >= '0' && word[1] <= '9':
			if err := it.usage.read(word); err != nil {
				return it, err
			}
		case isWhen:
			element, component, parts := strings.Cut(place, ".")
			var err error
			if it.when.element, err = strconv.Atoi(element); err == nil && parts {
				it.when.component, err = strconv.Atoi(component)
			}
			if err != nil {
				return it, fmt.Errorf("%q is no qualifier", word)
			}
			it.when.values = strings.Split(values, "|")
		default:
			it.title = rest
			return it, nil
		}
		rest = after
	}
}
