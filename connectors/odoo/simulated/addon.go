package simulated

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The addon of deploy/odoo/addons/vagus: whole units, each under a savepoint of
// its own that also notes the unit's id.

// refusal is a unit that is not applied, by the addon's own judgement.
type refusal struct{ result, class, field string }

// applying is one unit.
type applying struct {
	*tx
	op      string
	done    map[string]int64 // by operation
	models  map[string]string
	records []any
	later   []deferral

	others    bool     // somebody else wrote the record in hand last
	newer     bool     // and did so after unchanged_since
	lost      []string // fields in which his values went
	overwrote []any
}

// deferral is a reference to be written when its record comes.
type deferral struct {
	model, field, xid string
	id                int64
}

func (s *Server) addon(t *tx, u *User, c call) (any, *exception) {
	switch c.method {
	case "version":
		return map[string]any{"protocol": int64(1), "policies": map[string]any{}}, nil
	case "apply":
	default:
		return nil, &exception{class: "builtins.AttributeError", message: "The method '" + c.method + "' does not exist on the model 'vagus.unit'"}
	}
	units := c.list(0, "units")
	if len(units) > 200 {
		return nil, validationError("units is a list of at most %d", 200)
	}
	answers := []any{}
	for _, it := range units {
		unit, _ := it.(map[string]any)
		id, _ := unit["id"].(string)
		answer := map[string]any{"unit": id, "records": []any{}}
		answers = append(answers, answer)
		if old, ok := t.units[id]; ok {
			answer["result"], answer["again"], answer["records"] = "applied", true, old
			continue
		}
		undo, effects := t.mark()
		a := &applying{tx: t, done: map[string]int64{}, models: map[string]string{}, records: []any{}}
		refused, e := a.run(unit)
		switch {
		case e != nil && strings.HasPrefix(e.class, "psycopg2.errors.Ser"):
			return nil, e
		case e != nil:
			class, result := "odoo.unknown", "retry"
			switch e.class {
			case "builtins.ValueError", "builtins.TypeError", "builtins.KeyError", "psycopg2.errors.InvalidTextRepresentation", "psycopg2.errors.NumericValueOutOfRange":
				class, result = "odoo.bad_value", "rejected"
			case "psycopg2.errors.CheckViolation":
				class, result = "odoo.constraint", "rejected"
			case "odoo.exceptions.MissingError":
				class, result = "odoo.missing_record", "retry"
			case "odoo.exceptions.ValidationError", "odoo.exceptions.UserError", "odoo.exceptions.AccessError":
				class, result = "odoo."+strings.TrimPrefix(e.class, "odoo.exceptions."), "rejected"
			}
			refused = &refusal{result, class, ""}
		case refused == nil:
			answer["result"], answer["records"] = "applied", a.records
			if len(a.overwrote) > 0 {
				answer["overwrote"] = a.overwrote
			}
			t.units[id] = a.records
			t.undo = append(t.undo, func() { delete(t.units, id) })
			continue
		}
		t.rollback(undo, effects)
		answer["result"], answer["class"], answer["op"] = refused.result, refused.class, a.op
		if refused.field != "" {
			answer["field"] = refused.field
		}
	}
	return answers, nil
}

// ForgetChanges deletes what the addon wrote down of changes, as it does with old ones.
func (s *Server) ForgetChanges() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.unknown, s.store.changes = s.store.noteSeq, nil
}

func (a *applying) run(unit map[string]any) (*refusal, *exception) {
	ops, _ := unit["ops"].([]any)
	for _, it := range ops {
		op, _ := it.(map[string]any)
		a.op, _ = op["op"].(string)
		if refused, e := a.one(op); refused != nil || e != nil {
			return refused, e
		}
	}
	return nil, nil
}

func text(m map[string]any, name string) string { s, _ := m[name].(string); return s }

func object(m map[string]any, name string) map[string]any {
	o, _ := m[name].(map[string]any)
	return o
}

func (a *applying) one(op map[string]any) (*refusal, *exception) {
	model, do := text(op, "model"), text(op, "do")
	a.ctx = object(op, "context")
	if a.tx.models[model] == nil {
		return &refusal{"rejected", "odoo.missing_model", ""}, nil
	}
	if do == "call" && text(op, "on") != "" {
		for name, id := range a.done {
			if base, _, _ := strings.Cut(name, "#"); name == text(op, "on") || base == text(op, "on") {
				if refused, e := a.call(model, id, op); refused != nil || e != nil {
					return refused, e
				}
			}
		}
		return nil, nil
	}
	id, refused := a.find(model, text(op, "xid"), object(op, "by"))
	if refused != nil {
		return refused, nil
	}
	if id == 0 && do != "upsert" && do != "create" {
		switch text(op, "on_none") {
		case "skip":
			return nil, nil
		case "dead_letter":
			return &refusal{"rejected", "odoo.missing_record", ""}, nil
		}
		return &refusal{"retry", "odoo.missing_record", ""}, nil
	}
	if id != 0 && do != "create" && !a.holds(model, id, object(op, "only_if")) {
		a.touched(model, id, false)
		return nil, nil
	}
	a.writtenBy(model, id, text(op, "unchanged_since"))
	switch do {
	case "upsert", "create", "update":
		vals := maps.Clone(object(op, "vals"))
		if vals == nil {
			vals = map[string]any{}
		}
		switch {
		case id == 0:
			maps.Copy(vals, object(op, "on_create"))
			return a.write(model, 0, text(op, "xid"), vals)
		case do == "create":
			a.touched(model, id, false)
			return nil, nil
		}
		maps.Copy(vals, object(op, "on_update"))
		return a.write(model, id, "", vals)
	case "archive":
		if a.tables[model].rows[id].values["active"] == true {
			if refused := a.overwrites("active"); refused != nil {
				return refused, nil
			}
			if e := a.tx.write(model, id, map[string]any{"active": false}); e != nil {
				return nil, e
			}
		}
		a.touched(model, id, false)
		return nil, nil
	case "merge":
		into := a.done[text(op, "on")]
		if into != id && into != 0 {
			w, e := a.create(mergeWizard, map[string]any{"partner_ids": []int64{min(id, into), max(id, into)}, "dst_partner_id": into})
			if e != nil {
				return nil, e
			}
			if _, e := mergeContacts(a.tx, []int64{w}, nil); e != nil {
				return nil, e
			}
		}
		a.touched(model, into, false)
		return nil, nil
	case "call":
		return a.call(model, id, op)
	}
	return &refusal{"rejected", "odoo.invalid", ""}, nil
}

func (a *applying) call(model string, id int64, op map[string]any) (*refusal, *exception) {
	method := a.tx.models[model].workflow[text(op, "method")]
	if text(op, "method") == "action_archive" {
		method = func(t *tx, ids []int64, _ map[string]any) (any, *exception) {
			return true, t.write(model, ids[0], map[string]any{"active": false})
		}
	}
	if method == nil {
		return &refusal{"rejected", "odoo.not_allowed", ""}, nil
	}
	if a.holds(model, id, object(op, "only_if")) {
		answer, e := method(a.tx, []int64{id}, object(op, "context"))
		if e != nil {
			return nil, e
		}
		if action, ok := answer.(map[string]any); ok && action["type"] == "ir.actions.act_window" {
			return &refusal{"rejected", "odoo.asks_back", ""}, nil
		}
	}
	a.touched(model, id, false)
	return nil, nil
}

// writtenBy finds out whether somebody else wrote an existing record last.
func (a *applying) writtenBy(model string, id int64, since string) {
	a.lost = nil
	r := a.tables[model].rows[id]
	a.others = r != nil && a.plain(model, id, r, "write_uid") != any(a.uid)
	a.newer = a.others && since != "" && r.written.UTC().Format(dateTime) > since
	a.others = a.others && since == ""
}

// overwrites is asked before fields of an existing record get other values.
func (a *applying) overwrites(fields ...string) *refusal {
	if a.newer && len(fields) > 0 {
		return &refusal{"rejected", "odoo.changed_since", ""}
	}
	if a.others {
		a.lost = append(a.lost, fields...)
	}
	return nil
}

func (a *applying) touched(model string, id int64, made bool) {
	if len(a.lost) > 0 {
		slices.Sort(a.lost)
		fields := []any{}
		for _, name := range slices.Compact(a.lost) {
			fields = append(fields, name)
		}
		a.overwrote = append(a.overwrote, map[string]any{"op": a.op, "model": model, "fields": fields})
		a.lost = nil
	}
	a.done[a.op], a.models[a.op] = id, model
	a.records = append(a.records, map[string]any{"op": a.op, "model": model, "id": id, "made": made})
}

func (a *applying) find(model, xid string, by map[string]any) (int64, *refusal) {
	if xid != "" {
		if x := a.xids[xid]; x != nil && a.tables[x.model].rows[x.res] != nil {
			if x.model != model {
				return 0, &refusal{"rejected", "odoo.other_model", ""}
			}
			return x.res, nil
		}
		return 0, nil
	}
	if len(by) == 0 {
		return 0, nil
	}
	domain := []any{}
	for name, v := range by {
		if v == nil {
			v = false
		}
		domain = append(domain, []any{name, "=", v})
	}
	ids, e := a.search(model, domain, map[string]any{"active_test": false})
	switch {
	case e != nil:
		return 0, &refusal{"rejected", "odoo.bad_value", ""}
	case len(ids) > 1:
		return 0, &refusal{"rejected", "odoo.ambiguous", ""}
	case len(ids) == 1:
		return ids[0], nil
	}
	return 0, nil
}

func (a *applying) holds(model string, id int64, want map[string]any) bool {
	for name, v := range want {
		have := a.plain(model, id, a.tables[model].rows[id], name)
		if !same(have, v) && (have != false || v != nil && v != "") {
			return false
		}
	}
	return true
}

// write makes a record, or changes the one of the id, with its lines.
func (a *applying) write(model string, id int64, xid string, vals map[string]any) (*refusal, *exception) {
	a.later = nil
	values, lines, refused := a.values(model, id, vals)
	if refused != nil {
		return refused, nil
	}
	n, e := a.natives(model, id, values)
	if e != nil {
		return nil, e
	}
	made := id == 0
	if made {
		if id, e = a.create(model, n); e == nil && xid != "" {
			e = a.name(xid, model, id, true)
		}
	} else {
		a.unchanged(model, id, n)
		if refused := a.overwrites(slices.Collect(maps.Keys(n))...); refused != nil {
			return refused, nil
		}
		e = a.change(model, id, n)
	}
	if e == nil {
		e = a.wait(model, id, vals, xid)
	}
	if e != nil {
		return nil, e
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if refused, e := a.lines(model, id, name, lines[name]); refused != nil || e != nil {
			return refused, e
		}
	}
	a.touched(model, id, made)
	return nil, nil
}

// wait notes the references of a record that are still to come, in the place of what
// its fields waited for before, and writes those that waited for the record itself.
func (a *applying) wait(model string, id int64, vals map[string]any, xid string) (e *exception) {
	old := a.deferred
	a.undo = append(a.undo, func() { a.deferred = old })
	a.deferred = nil
	for _, d := range old {
		_, named := vals[d.field]
		switch {
		case xid != "" && d.xid == xid:
			if e == nil && a.tables[d.model].rows[d.id] != nil {
				e = a.change(d.model, d.id, map[string]any{d.field: id})
			}
		case d.model != model || d.id != id || !named:
			a.deferred = append(a.deferred, d)
		}
	}
	for _, d := range a.later {
		d.id = id
		a.deferred = append(a.deferred, d)
	}
	a.later = nil
	return e
}

// unchanged takes out what the record holds already.
func (a *applying) unchanged(model string, id int64, values map[string]any) {
	r := a.tables[model].rows[id]
	for name, v := range values {
		if have := r.values[name]; fmt.Sprint(have) == fmt.Sprint(v) || have == nil && v == false {
			delete(values, name)
		}
	}
}

// change writes what the record does not hold yet.
func (a *applying) change(model string, id int64, values map[string]any) *exception {
	if a.unchanged(model, id, values); len(values) == 0 {
		return nil
	}
	return a.tx.write(model, id, values)
}
