package x12

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// envelopeSegments stand before a guide's own at the root of a message. They,
// and SE, are not required of what a mapping writes: the partner's profile has
// them.
var envelopeSegments = []item{{segment: "ISA", max: 1}, {segment: "GS", max: 1}, {segment: "ST", max: 1}}

// acknowledgment is the schema of what Split makes of a TA1.
var acknowledgment = newGuide("TA1", "TA1", "Interchange Acknowledgment", &loop{items: []item{{segment: "TA1", required: true, max: 1}}})

// schemaOf builds the root type of a guide's messages.
func schemaOf(g *guide) *tree.Type {
	b := schemaBuilder{dictionary: dictionaries[g.release](), loops: map[*loop]*tree.Type{}, segments: map[string]*tree.Type{}}
	root := tree.NewType(g.set, tree.Composite)
	head := envelopeSegments
	if g.set == "TA1" {
		head = head[:1]
	}
	b.fill(root, append(slices.Clone(head), g.root.items...))
	return root
}

type schemaBuilder struct {
	dictionary *dictionary
	loops      map[*loop]*tree.Type
	segments   map[string]*tree.Type // by name and labels: most loops have the same N3
}

func (b *schemaBuilder) loop(l *loop) *tree.Type {
	if t := b.loops[l]; t != nil {
		return t
	}
	t := tree.NewType(l.name, tree.Composite)
	b.loops[l] = t // before its kids: levels contain each other
	b.fill(t, l.items)
	return t
}

// fill adds an element for each segment and loop. The places of one segment
// in a loop become one element, which carries the labels of them all.
func (b *schemaBuilder) fill(t *tree.Type, items []item) {
	for i := range items {
		it := &items[i]
		if it.loop != nil {
			if t.Element(it.loop.name) == nil {
				t.Add(&tree.Element{Name: it.loop.name, Title: it.title, Type: b.loop(it.loop), Repeats: it.max != 1, Required: it.required})
			}
			continue
		}
		if t.Element(it.segment) != nil {
			continue
		}
		def := b.dictionary.segments[it.segment]
		if def == nil {
			panic(fmt.Sprintf("x12: guides.txt: segment %s is not in dictionary.txt", it.segment))
		}
		e := &tree.Element{Name: it.segment, Title: it.title, Repeats: it.max != 1, Required: it.required && it.segment != "SE", Codings: def.codings}
		labels := make([]tree.Labels, len(def.elements))
		for j := i; j < len(items); j++ {
			same := &items[j]
			if same.segment != it.segment {
				continue
			}
			if j > i {
				e.Title, e.Repeats, e.Required = def.title, true, e.Required || same.required
			}
			for n := range labels {
				labels[n] |= def.elements[n].labelsAt(n+1, same)
			}
		}
		if e.Title == "" {
			e.Title = def.title
		}
		e.Type = b.segment(def, labels)
		t.Add(e)
	}
}

// labelsAt returns what an element may reveal in one place of a guide.
func (e *elementDef) labelsAt(n int, it *item) tree.Labels {
	if l, ok := it.labels[n]; ok {
		return l
	}
	switch {
	case it.whom == ofPatient:
		return e.labels | e.personal
	case it.whom == ofStaff && e.personal != tree.None:
		return e.labels | tree.Staff
	}
	return e.labels
}

func (b *schemaBuilder) segment(def *segmentDef, labels []tree.Labels) *tree.Type {
	key := fmt.Sprint(def.id, labels)
	if t := b.segments[key]; t != nil {
		return t
	}
	t := tree.NewType(def.id, tree.Composite)
	for i := range def.elements {
		e := &def.elements[i]
		el := &tree.Element{Name: e.name, Title: e.title, Type: e.typ, Repeats: e.repeats, Labels: labels[i], Table: e.table, Required: e.required, Max: e.max}
		if def.id == "ISA" && e.name == "09" || def.id == "TA1" && e.name == "02" {
			el.Type = sixDigits
		}
		t.Add(el)
	}
	b.segments[key] = t
	return t
}

// sixDigits is a date without its century: a text, to which a mapping gives one.
var sixDigits = tree.NewType("AN", tree.Text)

// A versionError is about the version that a mapping declares.
func versionError(format string, args ...any) error {
	return fmt.Errorf("x12: "+format, args...)
}

// baseVersion leaves out the addenda of a guide: "005010X221A1" is
// "005010X221" with a correction, and what guides.txt has is the last one.
func baseVersion(version string) string {
	base, addenda, ok := cutLast(version, 'A')
	if ok && strings.Contains(base, "X") && addenda != "" && strings.Trim(addenda, "0123456789") == "" {
		return base
	}
	return version
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// guidesOf returns the guides that a version has, by transaction set: those
// of a guide's own version, or all of a release.
func guidesOf(version string) (map[string][]*guide, error) {
	out := map[string][]*guide{}
	names := map[string]bool{}
	isRelease := version == "004010" || version == "005010"
	for _, g := range guides() {
		names[g.version] = true
		if baseVersion(g.version) == baseVersion(version) || isRelease && strings.HasPrefix(g.version, version) {
			if of := out[g.set]; len(of) > 0 && of[0].version == version {
				continue // the release's own set stands for it, not a guide's
			}
			out[g.set] = append(out[g.set], g)
		}
	}
	switch {
	case version == "":
		return nil, versionError("a mapping says its version: one of %s", strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	case len(out) == 0:
		return nil, versionError("no version %q: use one of %s", version, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	return out, nil
}
