package simulated

import (
	"fmt"
	"strconv"
	"strings"
)

// signature is what a method takes. Those of the model itself take no ids.
type signature struct {
	needs, takes string
	ofModel      bool
}

var signatures = map[string]signature{
	"create":      {needs: "vals_list", ofModel: true},
	"write":       {needs: "ids vals"},
	"unlink":      {takes: "ids"},
	"read":        {takes: "ids fields load"},
	"load":        {needs: "fields data", ofModel: true},
	"search":      {needs: "domain", takes: "offset limit order", ofModel: true},
	"search_read": {takes: "domain fields offset limit order", ofModel: true},
	"has_access":  {needs: "operation", takes: "ids"},
}

// fits checks the parameters of a call against the method's.
func (c *call) fits() *exception {
	sig, known := signatures[c.method]
	if !known {
		return nil
	}
	names := strings.Fields(sig.needs + " " + sig.takes)
	if c.named && !sig.ofModel && c.kw["ids"] == nil {
		c.kw["ids"] = []any{}
	}
	for name := range c.kw {
		if name == "ids" && c.named && sig.ofModel {
			return typeError("cannot call %s.%s with ids", c.model, c.method)
		}
		if name != "context" && !strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ") {
			return typeError("BaseModel.%s() got an unexpected keyword argument '%s'", c.method, name)
		}
	}
	for i, name := range strings.Fields(sig.needs) {
		if _, given := c.kw[name]; !given && i >= len(c.args) {
			return typeError("BaseModel.%s() missing 1 required positional argument: '%s'", c.method, name)
		}
	}
	return nil
}

// generic are methods that every model has and mappings seldom call; has is
// false for any other.
func generic(t *tx, u *User, c call) (res any, e *exception, has bool) {
	m := t.models[c.model]
	ids := ints(c.arg(0, "ids"))
	switch c.method {
	case "name_create":
		id, e := t.createWithLines(c.model, map[string]any{"name": c.arg(0, "name")})
		return []any{id, t.display(c.model, id)}, e, true
	case "web_save":
		values, _ := c.arg(1, "vals").(map[string]any)
		specification, _ := c.arg(2, "specification").(map[string]any)
		if len(ids) == 0 {
			id, e := t.createWithLines(c.model, values)
			if e != nil {
				return nil, e, true
			}
			ids = []int64{id}
		} else if e := t.writeAll(c.model, ids, values); e != nil {
			return nil, e, true
		}
		var fields []any
		for name := range specification {
			fields = append(fields, name)
		}
		res, e := read(t, c.model, ids, fields, false)
		return res, e, true
	case "get_external_id":
		out := map[string]any{}
		for _, id := range ids {
			out[strconv.FormatInt(id, 10)] = t.xidOf(c.model, id)
		}
		return out, nil, true
	case "export_data":
		if u.NoModelData {
			return nil, userError("You don't have the rights to export data. Please contact an Administrator."), true
		}
		rows := []any{}
		for _, id := range ids {
			row := []any{}
			for _, f := range c.list(1, "fields_to_export") {
				row = append(row, t.exported(c.model, id, fmt.Sprint(f)))
			}
			rows = append(rows, row)
		}
		return map[string]any{"datas": rows}, nil, true
	case "toggle_active":
		for _, id := range ids {
			if r := t.tables[c.model].rows[id]; r != nil {
				if e := t.write(c.model, id, map[string]any{"active": r.values["active"] != true}); e != nil {
					return nil, e, true
				}
			}
		}
		return nil, nil, true
	case "message_subscribe":
		return true, nil, true
	case "message_unsubscribe":
		return nil, nil, true
	case "button_draft", "button_cancel", "action_lock":
		if m.workflow == nil {
			return nil, nil, false
		}
		for _, id := range ids {
			to := map[string]string{"button_draft": "draft", "button_cancel": "cancel"}[c.method]
			if r := t.tables[c.model].rows[id]; r != nil && to != "" {
				t.put(c.model, id, r, "state", to)
			}
		}
		return nil, nil, true
	}
	return nil, nil, false
}

func (t *tx) writeAll(model string, ids []int64, values map[string]any) *exception {
	for _, id := range ids {
		v, e := t.natives(model, id, values)
		if e == nil {
			e = t.write(model, id, v)
		}
		if e != nil {
			return e
		}
	}
	return nil
}

// xidOf is the first external id of a record, or "".
func (t *tx) xidOf(model string, id int64) string {
	if r := t.tables[model].rows[id]; r != nil && len(r.xids) > 0 {
		return r.xids[0]
	}
	return ""
}

// exported is a cell of an export: "id" is the external id, ".id" the number.
func (t *tx) exported(model string, id int64, path string) any {
	name, _, deep := strings.Cut(path, "/")
	r := t.tables[model].rows[id]
	switch {
	case path == "id":
		return t.xidOf(model, id)
	case path == ".id":
		return strconv.FormatInt(id, 10)
	case r == nil:
		return ""
	case deep:
		other, _ := r.values[name].(int64)
		f := t.models[model].Fields[name]
		if other == 0 || f.Relation == "" {
			return ""
		}
		return t.xidOf(f.Relation, other)
	}
	if v := t.plain(model, id, r, name); v != false {
		return v
	}
	return ""
}
