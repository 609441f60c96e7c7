package mapping

import (
	"encoding/json"
	"fmt"

	"github.com/vagus-health/vagus/internal/tree"
)

// reference builds the symbolic form of the record that the keys find. A key
// without a value finds nothing: the rule is absent.
func (r *run) reference(x *rule, d datum) (any, tree.State, *fault) {
	r.it = d
	var out map[string]any
	var f *fault
	if x.ref.xid != nil {
		out, f = r.referenceXID(x.ref)
	} else {
		out, f = r.referenceBy(x.ref, d)
	}
	if out == nil || f != nil {
		return nil, tree.Absent, f
	}
	if x.share {
		out = map[string]any{"$distribution": []any{map[string]any{"account": out, "percent": json.Number("100")}}}
	}
	if r.trace != nil {
		r.trace.step(x.ref.how(), out)
	}
	return out, tree.Value, nil
}

func (r *run) referenceXID(ref *reference) (map[string]any, *fault) {
	escape := escapeXID
	if ref.whole {
		escape = nil
	}
	xid, missing := ref.xid.expand(r, escape)
	if missing != "" {
		return nil, nil
	}
	if ref.whole && !xidPattern.MatchString(xid) {
		return nil, &fault{class: ClassConvert, text: "the record's external identifier is not of the form module.name"}
	}
	return ref.form("$xid", xid), r.count(xid)
}

// form is a reference as the target reads it.
func (ref *reference) form(how, what string) map[string]any {
	out := map[string]any{how: what}
	if ref.onNone != "" {
		out["on_none"] = ref.onNone
	}
	if ref.onMany != "" {
		out["on_many"] = ref.onMany
	}
	return out
}

// A sought is the form of a reference by one text. Many messages in a row have the
// same country. It is never modified.
type sought struct {
	text string
	form map[string]any
}

func (r *run) referenceBy(ref *reference, it datum) (map[string]any, *fault) {
	var by map[string]any
	for i := range ref.by {
		k := &ref.by[i]
		d := it
		if k.cel != nil {
			out, f := r.eval(k.cel, r.inBuf, it)
			if f != nil {
				return nil, f
			}
			d = datum{state: tree.Value, cel: out}
		} else if k.input != itIndex {
			d = r.inBuf[k.input]
		}
		v, f := r.keyValue(k, d)
		if f != nil || v == nil {
			return nil, f
		}
		if s, ok := v.(string); ok && len(ref.by) == 1 {
			if last := ref.last.Load(); last != nil && last.text == s {
				return last.form, nil
			}
			form := ref.form("$ref", ref.model)
			form["by"] = map[string]any{k.field: v}
			ref.last.Store(&sought{s, form})
			return form, nil
		}
		if by == nil {
			by = make(map[string]any, len(ref.by))
		}
		by[k.field] = v
	}
	form := ref.form("$ref", ref.model)
	form["by"] = by
	return form, nil
}

// keyValue is a datum as a search key, in the field's own type; nil when it is
// missing.
func (r *run) keyValue(k *searchKey, d datum) (any, *fault) {
	s, err := d.asText()
	if err == nil && (d.state != tree.Value || isBlank(s)) {
		return nil, nil
	}
	if err == nil && k.conv == nil {
		return s, r.count(s)
	}
	var v any
	if err == nil {
		v, err = k.conv.convert(d)
	}
	if err != nil {
		return nil, &fault{class: ClassConvert, text: "the key " + k.field + " " + err.Error(), detail: fmt.Sprintf("the key %s %q %v", k.field, s, err)}
	}
	return v, nil
}
