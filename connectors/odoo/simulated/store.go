package simulated

import (
	"math"
	"slices"
	"strings"
	"time"
)

// store is the database. One lock guards all of it: a transaction is what runs
// under it, with an undo log for what fails.
type store struct {
	models   map[string]*Model
	tables   map[string]*table
	xids     map[string]*xid // by complete external id
	units    map[string]any  // by id: what the addon answered
	deferred []deferral      // references that the addon is to write later
	xidSeq   int64
	effects  []Effect
	keep     bool  // effects are kept
	addon    bool  // changes are written down
	major    int64 // of the version
	changes  []note
	noteSeq  int64
	unknown  int64 // changes up to this one were forgotten
	seq      int64
	now      func() time.Time
}

type table struct {
	rows map[int64]*record
	ids  []int64 // ascending
	next int64
	// index[field][value] are the ids of the records with this text: char fields only, made at the first search.
	index map[string]map[string]map[int64]bool
	// inverse[field][id] are the ids of the records whose field this is: of parent_id, and of what one2many fields show.
	inverse map[string]map[int64]map[int64]bool
}

type record struct {
	values           map[string]any // string, bool, int64, float64, []int64; what is empty is absent
	created, written time.Time
	writes           int
	writer           int64
	xids             []string
	fresh            bool // made by the transaction at hand, whose undo takes all of it away
}

type xid struct {
	id       int64 // of the ir.model.data row
	model    string
	res      int64
	noupdate bool
}

func newStore(models map[string]*Model, keep bool) *store {
	s := &store{models: models, tables: map[string]*table{}, xids: map[string]*xid{}, units: map[string]any{}, keep: keep, now: time.Now}
	for name := range models {
		s.tables[name] = &table{rows: map[int64]*record{}, next: 1, index: map[string]map[string]map[int64]bool{}, inverse: map[string]map[int64]map[int64]bool{"parent_id": {}}}
	}
	for _, m := range models {
		for _, f := range m.Fields {
			if f.Type == "one2many" && s.tables[f.Relation].inverse[f.Inverse] == nil {
				s.tables[f.Relation].inverse[f.Inverse] = map[int64]map[int64]bool{}
			}
		}
	}
	return s
}

// A tx is one transaction.
type tx struct {
	*store
	uid     int64
	ctx     map[string]any
	allowed []int64 // the companies of the call, the one of new records first; nil: all
	undo    []func()
	effects []Effect
	notes   []note
	made    []*record
}

// mark and rollback are a savepoint.
func (t *tx) mark() (int, int) { return len(t.undo), len(t.effects) }

func (t *tx) rollback(undo, effects int) {
	for i := len(t.undo) - 1; i >= undo; i-- {
		t.undo[i]()
	}
	t.undo, t.effects = t.undo[:undo], t.effects[:effects]
}

func (t *tx) commit() {
	for _, r := range t.made {
		r.fresh = false
	}
	t.keepNotes(t.notes)
	for _, e := range t.effects {
		t.seq++
		e.Seq = t.seq
		if t.keep {
			t.store.effects = append(t.store.effects, e)
		}
	}
}

func (t *tx) effect(kind, model string, id int64, r *record, values map[string]any) {
	if t.addon {
		t.note(kind, model, id)
	}
	if t.keep {
		t.effects = append(t.effects, Effect{At: t.now(), Kind: kind, Model: model, ID: id, XIDs: append([]string(nil), r.xids...), Values: values})
	}
}

// create makes a record. Values are those of write: checked and typed.
func (t *tx) create(model string, values map[string]any) (int64, *exception) {
	m, tb := t.models[model], t.tables[model]
	if m.make != nil {
		if id, done, e := m.make(t, values); done || e != nil {
			return id, e
		}
	}
	for _, d := range m.defaults {
		if _, given := values[d.name]; !given {
			values[d.name] = d.value
		}
	}
	if _, given := values["company_id"]; !given && m.Fields["company_id"].Required {
		values["company_id"] = t.company()
	}
	id := tb.next
	tb.next++ // a sequence does not roll back
	now := t.now()
	r := &record{values: make(map[string]any, len(values)), created: now, written: now, writer: t.uid, fresh: true}
	t.made = append(t.made, r)
	tb.rows[id] = r
	tb.ids = append(tb.ids, id)
	t.undo = append(t.undo, func() {
		for name := range r.values {
			t.put(model, id, r, name, nil) // out of the indexes
		}
		delete(tb.rows, id)
		for i := len(tb.ids) - 1; i >= 0; i-- {
			if tb.ids[i] == id {
				tb.ids = append(tb.ids[:i], tb.ids[i+1:]...)
				break
			}
		}
	})
	if e := t.assign(model, id, r, values, true); e != nil {
		return 0, e
	}
	t.effect("create", model, id, r, values)
	return id, nil
}

// write changes a record.
func (t *tx) write(model string, id int64, values map[string]any) *exception {
	r, ok := t.tables[model].rows[id]
	if !ok {
		return missingError(model, id, t.uid)
	}
	if guard := t.models[model].guard; guard != nil {
		if e := guard(t, id, values); e != nil {
			return e
		}
	}
	if e := t.assign(model, id, r, values, false); e != nil {
		return e
	}
	written, writer := r.written, r.writer
	r.written, r.writer = t.now(), t.uid
	r.writes++
	t.undo = append(t.undo, func() { r.written, r.writer = written, writer; r.writes-- })
	t.effect("write", model, id, r, values)
	return nil
}

// assign sets values and checks the record as a whole.
func (t *tx) assign(model string, id int64, r *record, values map[string]any, made bool) *exception {
	m := t.models[model]
	for name, v := range values {
		t.put(model, id, r, name, v)
	}
	if m.derive != nil {
		m.derive(t, id, r, values)
	}
	if model == "res.partner" {
		if e := t.partner(id, r, values, made); e != nil {
			return e
		}
	}
	for _, name := range m.required {
		if _, has := r.values[name]; !has {
			f := m.Fields[name]
			return &exception{class: "odoo.exceptions.ValidationError", field: name,
				message: "The operation cannot be completed:\n- Create/update: a mandatory field is not set.\n- Delete: another model requires the record being deleted. If possible, archive it instead.\n\nModel: " +
					m.Label + " (" + model + ")\nField: " + f.Label + " (" + name + ")\n",
				row: "Missing required value for the field '" + f.Label + "' (" + name + ")"}
		}
	}
	if e := t.unique(model, id, values); e != nil {
		return e
	}
	if m.Rule != nil {
		if text := m.Rule(r.values); text != "" {
			return validationError("%s", text)
		}
	}
	return nil
}

// put sets one field of one record, keeping the indexes. Empty is absent.
func (t *tx) put(model string, id int64, r *record, name string, v any) {
	switch e := v.(type) {
	case bool:
		if !e {
			v = nil
		}
	case []int64:
		if len(e) == 0 {
			v = nil
		}
	}
	tb := t.tables[model]
	old := r.values[name]
	v = stored(t.models[model].Fields[name], v)
	tb.set(id, r, name, v)
	if !r.fresh {
		t.undo = append(t.undo, func() { tb.set(id, r, name, old) })
	}
}

// stored is what Odoo keeps of a value: formatted text is cleaned, and a number is
// rounded to the field's digits.
func stored(f Field, v any) any {
	switch v := v.(type) {
	case string:
		if f.Type == "html" {
			return cleaned(v)
		}
	case float64:
		if f.Digits > 0 {
			unit := math.Pow10(f.Digits)
			return math.Copysign(math.Floor(math.Abs(v)*unit+0.5+1e-6), v) / unit
		}
	}
	return v
}

func (tb *table) set(id int64, r *record, name string, v any) {
	if ix := tb.index[name]; ix != nil {
		if s, ok := r.values[name].(string); ok {
			remove(ix, s, id)
		}
		if s, ok := v.(string); ok {
			insert(ix, s, id)
		}
	}
	if of := tb.inverse[name]; of != nil {
		if p, ok := r.values[name].(int64); ok {
			remove(of, p, id)
		}
		if p, ok := v.(int64); ok {
			insert(of, p, id)
		}
	}
	if v == nil {
		delete(r.values, name)
	} else {
		r.values[name] = v
	}
}

func insert[K comparable](index map[K]map[int64]bool, key K, id int64) {
	if index[key] == nil {
		index[key] = map[int64]bool{}
	}
	index[key][id] = true
}

// remove leaves nothing behind of a key that no record has any more: values
// that change with every message would pile up.
func remove[K comparable](index map[K]map[int64]bool, key K, id int64) {
	if delete(index[key], id); len(index[key]) == 0 {
		delete(index, key)
	}
}

// addressFields follow the parent.
var addressFields = []string{"street", "street2", "zip", "city", "state_id", "country_id"}

// partner is what res.partner adds: company_type is is_company in other words,
// a contact needs a name, hierarchies have no loops, and the address of a child
// of type contact is its parent's.
func (t *tx) partner(id int64, r *record, values map[string]any, made bool) *exception {
	if ct, ok := values["company_type"]; ok {
		t.put("res.partner", id, r, "is_company", ct == "company")
		t.put("res.partner", id, r, "company_type", nil) // computed
	}
	if _, has := r.values["name"]; !has && r.values["type"] == "contact" {
		return &exception{class: "odoo.exceptions.ValidationError", message: "The operation cannot be completed: Contacts require a name",
			row: "'Contacts require a name'"}
	}
	rows := t.tables["res.partner"].rows
	parent, _ := r.values["parent_id"].(int64)
	for p, n := parent, 0; p != 0; n++ {
		if p == id || n > 100 {
			return validationError("You cannot create recursive Partner hierarchies.")
		}
		if rows[p] == nil {
			break
		}
		p, _ = rows[p].values["parent_id"].(int64)
	}
	_, moved := values["parent_id"]
	if p := rows[parent]; p != nil && r.values["type"] == "contact" && (made || moved) && hasAddress(p) {
		for _, f := range addressFields {
			t.put("res.partner", id, r, f, p.values[f])
		}
	}
	for _, f := range addressFields {
		if _, ok := values[f]; ok && !made {
			t.childrenFollow(id, r)
			break
		}
	}
	return nil
}

func hasAddress(r *record) bool {
	for _, f := range addressFields {
		if _, ok := r.values[f]; ok {
			return true
		}
	}
	return false
}

func (t *tx) childrenFollow(id int64, r *record) {
	tb := t.tables["res.partner"]
	for child := range tb.inverse["parent_id"][id] {
		if c := tb.rows[child]; c.values["type"] == "contact" {
			for _, f := range addressFields {
				t.put("res.partner", child, c, f, r.values[f])
			}
		}
	}
}

// unlink deletes a record and its external ids. Its lines go by the database's
// own cascade, which leaves their external ids behind.
func (t *tx) unlink(model string, id int64) *exception {
	r, ok := t.tables[model].rows[id]
	if !ok {
		return missingError(model, id, t.uid)
	}
	if e := t.restrict(model, id, r); e != nil {
		return e
	}
	for _, x := range r.xids {
		x, old := x, t.xids[x]
		delete(t.xids, x)
		t.undo = append(t.undo, func() { t.xids[x] = old })
	}
	return t.remove(model, id, r)
}

func (t *tx) remove(model string, id int64, r *record) *exception {
	tb := t.tables[model]
	for _, f := range t.models[model].Fields {
		if f.Type != "one2many" || !t.models[f.Relation].Fields[f.Inverse].Required {
			continue
		}
		for _, line := range sorted(t.tables[f.Relation].inverse[f.Inverse][id]) {
			if e := t.remove(f.Relation, line, t.tables[f.Relation].rows[line]); e != nil {
				return e
			}
		}
	}
	for name := range r.values {
		t.put(model, id, r, name, nil)
	}
	delete(tb.rows, id)
	if i, ok := slices.BinarySearch(tb.ids, id); ok {
		tb.ids = slices.Delete(slices.Clone(tb.ids), i, i+1)
	}
	t.undo = append(t.undo, func() {
		tb.rows[id] = r
		tb.ids = append(tb.ids, id)
		slices.Sort(tb.ids)
	})
	t.effect("unlink", model, id, r, nil)
	return nil
}

// name gives a record an external id.
func (t *tx) name(key, model string, id int64, noupdate bool) *exception {
	_, name, _ := strings.Cut(key, ".")
	if strings.Contains(name, " ") {
		return &exception{class: "psycopg2.errors.CheckViolation",
			message: "new row for relation \"ir_model_data\" violates check constraint \"ir_model_data_name_nospaces\"\nDETAIL:  Failing row contains (" + key + ").\n"}
	}
	t.xidSeq++
	x := &xid{id: t.xidSeq, model: model, res: id, noupdate: noupdate}
	t.xids[key] = x
	r := t.tables[model].rows[id]
	r.xids = append(r.xids, key)
	t.undo = append(t.undo, func() {
		delete(t.xids, key)
		r.xids = r.xids[:len(r.xids)-1]
	})
	// The effect of the creation was noted before the name was given.
	if n := len(t.effects); n > 0 && t.effects[n-1].ID == id && t.effects[n-1].Model == model {
		t.effects[n-1].XIDs = append([]string(nil), r.xids...)
	}
	return nil
}
