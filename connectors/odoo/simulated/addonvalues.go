package simulated

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

func (a *applying) values(model string, id int64, vals map[string]any) (out, lines map[string]any, _ *refusal) {
	out, lines = map[string]any{}, map[string]any{}
	for name, v := range vals {
		f, ok := a.tx.models[model].Fields[name]
		if !ok {
			return nil, nil, &refusal{"rejected", "odoo.unknown_field", name}
		}
		m, symbolic := v.(map[string]any)
		switch {
		case f.Type == "one2many":
			lines[name] = v
		case f.Type == "many2many" && symbolic:
			key := "$replace"
			ids := []any{}
			if list, ok := m["$add"]; ok {
				key = "$add"
				_ = list
				if r := a.tables[model].rows[id]; r != nil {
					have, _ := r.values[name].([]int64)
					for _, x := range have {
						ids = append(ids, x)
					}
				}
			}
			list, _ := m[key].([]any)
			for _, it := range list {
				one, refused := a.ref(name, f.Relation, it)
				if refused != nil {
					return nil, nil, refused
				}
				if one != 0 {
					ids = append(ids, one)
				}
			}
			out[name] = []any{[]any{int64(6), int64(0), ids}}
		case symbolic && m["$distribution"] != nil:
			shares := map[string]any{}
			list, _ := m["$distribution"].([]any)
			for _, it := range list {
				share, _ := it.(map[string]any)
				account, refused := a.ref(name, "account.analytic.account", share["account"])
				if refused != nil {
					return nil, nil, refused
				}
				shares[fmt.Sprint(account)], _ = asFloat(share["percent"])
			}
			out[name] = shares
		case symbolic:
			one, refused := a.ref(name, f.Relation, v)
			if refused != nil {
				return nil, nil, refused
			}
			if one != 0 {
				out[name] = one
			} else if text(m, "on_none") == "defer" {
				a.later = append(a.later, deferral{model: model, field: name, xid: text(m, "$xid")})
			}
		default:
			out[name] = v
		}
	}
	return out, lines, nil
}

// ref is the record of a reference, which has to be of the model relation.
func (a *applying) ref(name, relation string, v any) (int64, *refusal) {
	m, _ := v.(map[string]any)
	var id int64
	var refused *refusal
	model := text(m, "$ref")
	if op, ok := m["$op"].(string); ok {
		id, model = a.done[op], a.models[op]
	} else if xid, ok := m["$xid"].(string); ok {
		if x := a.xids[xid]; x != nil {
			id, model = x.res, x.model
		}
	} else if a.tx.models[model] != nil {
		if id, refused = a.find(model, "", object(m, "by")); refused != nil {
			if text(m, "on_many") == "skip" {
				return 0, nil
			}
			return 0, &refusal{refused.result, refused.class, name}
		}
	}
	switch {
	case id != 0 && relation != "" && model != relation:
		return 0, &refusal{"rejected", "odoo.other_model", name}
	case id != 0 || m["$op"] != nil:
		return id, nil
	}
	switch text(m, "on_none") {
	case "skip", "defer":
		return 0, nil
	case "retry":
		return 0, &refusal{"retry", "odoo.missing_reference", name}
	}
	return 0, &refusal{"rejected", "odoo.missing_reference", name}
}

func (a *applying) lines(model string, id int64, name string, v any) (*refusal, *exception) {
	f := a.tx.models[model].Fields[name]
	m, _ := v.(map[string]any)
	items, _ := m["$merge"].([]any)
	replace, replaces := m["$replace"].([]any)
	if replaces {
		items = replace
	}
	keep := map[int64]bool{}
	for _, it := range items {
		item, _ := it.(map[string]any)
		key, _ := json.Marshal(item["key"])
		digest := sha256.Sum256(key)
		xid := fmt.Sprintf("vagus_line.%s_%d_%s_%s", strings.ReplaceAll(model, ".", "_"), id, name, hex.EncodeToString(digest[:12]))
		line, _ := a.find(f.Relation, xid, nil)
		vals := map[string]any{}
		maps.Copy(vals, object(item, "vals"))
		if line == 0 {
			maps.Copy(vals, object(item, "on_create"))
			vals[f.Inverse] = id
		}
		values, _, refused := a.values(f.Relation, line, vals)
		if refused != nil {
			return refused, nil
		}
		n, e := a.natives(f.Relation, line, values)
		if e != nil {
			return nil, e
		}
		if guard := a.tx.models[model].guard; guard != nil && line == 0 {
			if e := guard(a.tx, id, map[string]any{name: true}); e != nil {
				return nil, e
			}
		}
		if line == 0 {
			if refused := a.overwrites(name); refused != nil {
				return refused, nil
			}
			if line, e = a.create(f.Relation, n); e == nil {
				e = a.name(xid, f.Relation, line, true)
			}
		} else {
			if a.unchanged(f.Relation, line, n); len(n) > 0 {
				if refused := a.overwrites(name); refused != nil {
					return refused, nil
				}
			}
			e = a.change(f.Relation, line, n)
		}
		if e != nil {
			return nil, e
		}
		keep[line] = true
	}
	if replaces || v == nil {
		for _, line := range sorted(a.tables[f.Relation].inverse[f.Inverse][id]) {
			if !keep[line] {
				if refused := a.overwrites(name); refused != nil {
					return refused, nil
				}
				if e := a.unlink(f.Relation, line); e != nil {
					return nil, e
				}
			}
		}
	}
	return nil, nil
}
