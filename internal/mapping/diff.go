package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// differs is told of one [Difference].
type differs func(path, want, got, note string)

// diff compares two JSON values and reports, by path, only what differs.
func diff(at string, want, got any, report differs) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for _, k := range slices.Sorted(maps.Keys(merge(w, g))) {
			below := strings.TrimPrefix(at+"."+k, ".")
			wv, inWant := w[k]
			gv, inGot := g[k]
			switch {
			case !inGot:
				report(below, show(wv), "", "")
			case !inWant:
				report(below, "", show(gv), "")
			default:
				diff(below, wv, gv, report)
			}
		}
		return
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		for i := range max(len(w), len(g)) {
			below := fmt.Sprintf("%s[%d]", at, i+1)
			switch {
			case i >= len(g):
				report(below, show(w[i]), "", "")
			case i >= len(w):
				report(below, "", show(g[i]), "")
			default:
				diff(below, w[i], g[i], report)
			}
		}
		return
	}
	if !same(want, got) {
		report(at, show(want), show(got), "")
	}
}

func merge(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]any{}
	}
	maps.Copy(out, b)
	return out
}

// same compares scalars; numbers by their value.
func same(a, b any) bool {
	x, aNumber := a.(json.Number)
	y, bNumber := b.(json.Number)
	if aNumber && bNumber {
		p, ok := new(big.Rat).SetString(x.String())
		q, also := new(big.Rat).SetString(y.String())
		return ok && also && p.Cmp(q) == 0
	}
	switch a.(type) {
	case nil, string, bool, json.Number:
		switch b.(type) {
		case nil, string, bool, json.Number:
			return a == b
		}
	}
	return false
}

// show writes a value as JSON, bounded: a report is for people.
func show(v any) string {
	s := strings.TrimSpace(string(encodeCompact(v)))
	if cut := firstRunes(s, maxShown); len(cut) < len(s) {
		return cut + "…"
	}
	return s
}

const maxShown = 4000 // characters of a value in a report

// plain turns a YAML value into what JSON would have given.
func plain(v *value) any {
	switch v.kind {
	case yamlString:
		return v.text
	case yamlBool:
		return v.bool
	case yamlNumber:
		return json.Number(v.text)
	case yamlList:
		out := make([]any, len(v.list))
		for i, x := range v.list {
			out[i] = plain(x)
		}
		return out
	case yamlMap:
		out := make(map[string]any, len(v.keys))
		for _, e := range v.keys {
			out[e.key] = plain(e.val)
		}
		return out
	}
	return nil
}

// sentAt finds "operation.field" in a unit: what an operation writes, or a
// part of it such as xid or args.reason. "kin" is any operation of that id, and
// "kin#2" one of them; "order.lines.qty" is a field of any line.
func sentAt(ops []any, key string) (any, bool) {
	id, field, _ := strings.Cut(key, ".")
	for _, o := range ops {
		op, _ := o.(map[string]any)
		name, _ := op["op"].(string)
		if whole, _, _ := strings.Cut(name, "#"); name != id && whole != id {
			continue
		}
		if v, sent := written(op, field); sent {
			return v, true
		}
		part, inner, dotted := strings.Cut(field, ".")
		if !slices.Contains(operationParts, part) {
			continue
		}
		v, ok := op[part]
		if dotted {
			of, _ := v.(map[string]any)
			v, ok = of[inner]
		}
		if ok {
			return v, true
		}
	}
	return nil, false
}

// written finds a field in what an operation or a line writes.
func written(op map[string]any, field string) (any, bool) {
	first, rest, dotted := strings.Cut(field, ".")
	for _, part := range []string{"vals", "on_create", "on_update"} {
		vals, _ := op[part].(map[string]any)
		v, sent := vals[first]
		if !sent {
			continue
		}
		if !dotted {
			return v, true
		}
		commands, _ := v.(map[string]any)
		for _, c := range commands {
			lines, _ := c.([]any)
			for _, l := range lines {
				line, _ := l.(map[string]any)
				if v, sent := written(line, rest); sent {
					return v, true
				}
			}
		}
	}
	return nil, false
}
