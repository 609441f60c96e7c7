package simulated

import (
	"sort"
	"strings"
)

var modelDataModel = &Model{Label: "Model Data", Fields: map[string]Field{
	"module": {Type: "char", Label: "Module"}, "name": {Type: "char", Label: "External Identifier"},
	"model": {Type: "char", Label: "Model Name"}, "res_id": {Type: "integer", Label: "Record ID"}, "noupdate": {Type: "boolean", Label: "Non Updatable"},
}}

// modelData is ir.model.data: reading, and what a user without rights may ask.
func (s *Server) modelData(t *tx, u *User, c call) (any, *exception) {
	switch c.method {
	case "check_object_reference":
		module, _ := c.arg(0, "module").(string)
		name, _ := c.arg(1, "xml_id").(string)
		x := t.xids[module+"."+name]
		if x == nil {
			return nil, valueError("External ID not found in the system: %s.%s", module, name)
		}
		// It searches the record, and a search leaves out what is archived.
		found, _ := t.search(x.model, []any{[]any{"id", "=", x.res}}, c.ctx)
		if len(found) == 0 {
			return []any{x.model, false}, nil
		}
		return []any{x.model, x.res}, nil
	case "check_access_rights", "has_access":
		return !u.NoModelData, nil
	case "create":
		if list, many := c.arg(0, "vals_list").([]any); many {
			ids := []any{}
			for _, v := range list {
				id, e := s.modelData(t, u, call{model: c.model, method: c.method, args: []any{v}})
				if e != nil {
					return nil, e
				}
				ids = append(ids, id)
			}
			return ids, nil
		}
		if u.NoModelData {
			return nil, accessError("create", modelDataModel, "ir.model.data", "Administration/Access Rights")
		}
		v, _ := c.arg(0, "vals_list").(map[string]any)
		module, _ := v["module"].(string)
		name, _ := v["name"].(string)
		model, _ := v["model"].(string)
		id, _ := asInt(v["res_id"])
		key := module + "." + name
		if t.xids[key] != nil {
			return nil, validationError("The operation cannot be completed: duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\nDETAIL:  Key (module, name)=(%s, %s) already exists.\n", module, name)
		}
		if id == 0 { // it leads nowhere
			t.xidSeq++
			t.xids[key] = &xid{id: t.xidSeq, model: model, noupdate: v["noupdate"] == true}
			t.undo = append(t.undo, func() { delete(t.xids, key) })
			return t.xidSeq, nil
		}
		if tb := t.tables[model]; tb == nil || tb.rows[id] == nil {
			return nil, missingError(model, id, t.uid)
		}
		e := t.name(key, model, id, v["noupdate"] == true)
		return t.xidSeq, e
	case "search_read", "search", "search_count":
	default:
		return nil, &exception{class: "builtins.AttributeError", message: "The method '" + c.method + "' does not exist on the model 'ir.model.data'"}
	}
	if u.NoModelData {
		return nil, accessError("access", modelDataModel, "ir.model.data", "Administration/Access Rights")
	}
	rows := []any{}
	for _, key := range modelDataKeys(t, c.list(0, "domain")) {
		x := t.xids[key]
		module, name, _ := strings.Cut(key, ".")
		all := map[string]any{"id": x.id, "module": module, "name": name, "model": x.model, "res_id": x.res, "noupdate": x.noupdate}
		row := all
		if fields := c.list(1, "fields"); len(fields) > 0 {
			row = map[string]any{"id": x.id}
			for _, f := range fields {
				n, _ := f.(string)
				v, ok := all[n]
				if !ok {
					return nil, valueError("Invalid field '%s' on model 'ir.model.data'", n)
				}
				row[n] = v
			}
		}
		rows = append(rows, row)
	}
	switch c.method {
	case "search_count":
		return int64(len(rows)), nil
	case "search":
		for i, r := range rows {
			rows[i] = r.(map[string]any)["id"]
		}
	}
	return rows, nil
}

// modelDataKeys evaluates the domains that are asked in practice: conditions
// with = and in on module, name, model and res_id, all of which must hold.
func modelDataKeys(t *tx, domain []any) []string {
	var keys []string
	var modules []any
	var names []any
	for _, d := range domain {
		if leaf, ok := d.([]any); ok && len(leaf) == 3 {
			switch {
			case leaf[0] == "module" && leaf[1] == "=":
				modules = []any{leaf[2]}
			case leaf[0] == "module" && leaf[1] == "in":
				modules, _ = leaf[2].([]any)
			case leaf[0] == "name" && leaf[1] == "=":
				names = []any{leaf[2]}
			case leaf[0] == "name" && leaf[1] == "in":
				names, _ = leaf[2].([]any)
			}
		}
	}
	if modules != nil && names != nil {
		for _, m := range modules {
			module, _ := m.(string)
			for _, n := range names {
				name, _ := n.(string)
				if key := module + "." + name; t.xids[key] != nil {
					keys = append(keys, key)
				}
			}
		}
	} else {
		for key := range t.xids {
			keys = append(keys, key)
		}
	}
	out := keys[:0]
	for _, key := range keys {
		x := t.xids[key]
		m, n, _ := strings.Cut(key, ".")
		r := &record{values: map[string]any{"module": m, "name": n, "model": x.model, "res_id": x.res}}
		ok := true
		for _, d := range domain {
			leaf, isLeaf := d.([]any)
			if !isLeaf || len(leaf) != 3 {
				continue
			}
			field, _ := leaf[0].(string)
			list, _ := leaf[2].([]any)
			if leaf[1] == "=" {
				list = []any{leaf[2]}
			}
			hit := false
			for _, v := range list {
				hit = hit || same(r.values[field], v)
			}
			ok = ok && hit
		}
		if ok {
			out = append(out, key)
		}
	}
	sort.Slice(out, func(i, j int) bool { return t.xids[out[i]].id < t.xids[out[j]].id })
	return out
}
