package mapping

import (
	"fmt"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// maxLines bounds the lines and the references to many of one unit.
const maxLines = 5000

// many runs the blocks of a relation to many records.
func (r *run) many(x *rule, out *sink) *fault {
	list := []any{}
	var said, null, listed bool // the message has items; it clears them; there is a list at all
	keys := map[string]bool{}
	var all tree.Labels
	for _, b := range x.blocks {
		listed = listed || b.each != nil
		items, f := r.items(b)
		if f != nil {
			return f
		}
		for n, item := range items {
			v, state, f := r.blockItem(x, b, item, keys, out.do)
			all |= r.taint
			if f != nil {
				f = f.in(fmt.Sprintf("item %d", n+1))
				if f.skipped(b.onError) {
					r.warn(x, f.in(x.id()))
					continue
				}
				return f.under(b.onError)
			}
			said = said || item.node != nil || state != tree.Absent
			null = null || state == tree.Null
			if state == tree.Value {
				list = append(list, v)
			}
			if r.lines++; r.lines > maxLines {
				return &fault{class: ClassLimit, text: fmt.Sprintf("a unit has at most %d lines and references", maxLines)}
			}
		}
	}
	r.taint, r.left = all, ""
	// HL7 v2 leaves alone what it does not mention (chapter 2.5.3). Elsewhere a
	// list without items is an empty list.
	emptied := x.mode == "$replace" && !(null && x.keepNull) && (null || listed && (said || r.m.Format != "hl7v2"))
	switch {
	case len(list) == 0 && x.required:
		return &fault{class: ClassRequired, text: "required, but there is none"}
	case len(list) > 0, emptied:
		out.put(x, map[string]any{x.mode: list})
	}
	return nil
}

// once is the list of a block that repeats over none.
var once = []item{{}}

func (r *run) items(b *block) ([]item, *fault) {
	if b.each == nil {
		return once, nil
	}
	items, more := b.each.items(r.frames[b.each.depth])
	if more {
		return nil, &fault{class: ClassLimit, text: fmt.Sprintf("%s repeats more than %d times", b.each.text, maxRepetitions)}
	}
	return items, nil
}

// blockItem makes the line or the reference of one item.
func (r *run) blockItem(x *rule, b *block, item item, keys map[string]bool, do string) (v any, state tree.State, f *fault) {
	if item.node != nil {
		if item.node.State == tree.Absent {
			return nil, tree.Absent, nil
		}
		outer := r.enter(item)
		defer func() { r.frames = r.frames[:outer] }()
	}
	r.taint, r.left = 0, ""
	if !x.lines {
		if v, state, f = r.value(b.item); f == nil && state != tree.Absent {
			f = r.leaves(b.item.drop)
		}
		return v, state, f
	}
	if item.node != nil && item.node.State == tree.Null {
		return nil, tree.Null, nil
	}
	if b.when != nil {
		yes, f := r.test(b.when, nil)
		if r.trace != nil && (!yes || f != nil) {
			r.trace.condition(x.id(), x.at, yes, f, b.when.labels)
		}
		if f != nil {
			return nil, tree.Absent, f.in("when")
		}
		if !yes {
			return nil, tree.Absent, nil
		}
	}
	line, f := r.line(b, keys, do)
	return line, tree.Value, f
}

// line makes one line of a one2many field.
func (r *run) line(b *block, keys map[string]bool, do string) (map[string]any, *fault) {
	r.taint = 0
	key, missing, valued := b.key.fill(r, nil)
	switch {
	case valued == 0 && missing != "":
		return nil, &fault{class: ClassIdentity, text: "the line has no key: " + missing}
	case keys[key]:
		return nil, &fault{class: ClassIdentity, text: "two lines have one key", detail: fmt.Sprintf("two lines have the key %q", key)}
	}
	keys[key] = true
	if f := r.leaves(0); f != nil {
		return nil, f.in("key")
	}
	if f := r.count(key); f != nil {
		return nil, f
	}
	taint := r.taint
	if do == "update" {
		do = "upsert" // of a record that is there the lines may be new
	}
	s := sink{do: do, vals: make(broker.Values, len(b.rules))}
	if r.trace != nil {
		defer func(was string) { r.trace.line = was }(r.trace.line)
		r.trace.line = key
	}
	for _, x := range b.rules {
		f := r.field(x, &s)
		taint |= r.taint
		if r.trace != nil {
			r.trace.field(r, x, &s, f)
		}
		if f == nil {
			continue
		}
		f = f.in(x.field).of(x.at)
		if !x.skips(f) {
			return nil, x.stops(f)
		}
		r.warn(x, f)
	}
	r.taint = taint
	line := map[string]any{"key": key, "vals": map[string]any(s.vals)}
	if s.onCreate != nil {
		line["on_create"] = map[string]any(s.onCreate)
	}
	if s.onUpdate != nil {
		line["on_update"] = map[string]any(s.onUpdate)
	}
	return line, nil
}
