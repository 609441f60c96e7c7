package simulated

import "strings"

// uniques are fields that no two records may have the same value of.
var uniques = map[string]map[string]*exception{
	"res.users":   {"login": sqlConstraint("You can not have two users with the same login!")},
	"hr.employee": {"barcode": sqlConstraint("The Badge ID must be unique, this one is already assigned to another employee.")},
	// Python checks these: two transactions at once get past it.
	"product.product":  {"barcode": validationError("Barcode(s) already assigned:\n\n- Barcode already assigned to another product")},
	"product.template": {"barcode": validationError("Barcode(s) already assigned:\n\n- Barcode already assigned to another product")},
}

func sqlConstraint(text string) *exception {
	e := validationError("The operation cannot be completed: %s", text)
	e.row = text
	return e
}

// unique checks what a record has just been given.
func (t *tx) unique(model string, id int64, values map[string]any) *exception {
	for name, e := range uniques[model] {
		v, _ := values[name].(string)
		if v == "" {
			continue
		}
		for other := range t.tables[model].texts(name)[v] {
			if other != id {
				return e
			}
		}
	}
	return nil
}

// texts is the index of a char field, made when it is first asked for.
func (tb *table) texts(name string) map[string]map[int64]bool {
	ix := tb.index[name]
	if ix == nil {
		ix = map[string]map[int64]bool{}
		for id, r := range tb.rows {
			if s, ok := r.values[name].(string); ok {
				insert(ix, s, id)
			}
		}
		tb.index[name] = ix
	}
	return ix
}

// restrict refuses to delete a record that another one cannot be without, and
// one that its state protects.
func (t *tx) restrict(model string, id int64, r *record) *exception {
	move := r
	if model == "account.move.line" {
		id, _ := r.values["move_id"].(int64)
		move = t.tables["account.move"].rows[id]
	}
	if strings.HasPrefix(model, "account.move") && move != nil && move.values["state"] == "posted" {
		return userError("You can't delete a posted journal item. Reset the entry to draft first.")
	}
	for other, m := range t.models {
		for name, f := range m.Fields {
			if f.Type != "many2one" || f.Relation != model || !f.Required || owned(t.models[model], other, name) {
				continue
			}
			for _, o := range t.tables[other].rows {
				if o.values[name] == any(id) {
					return validationError("The operation cannot be completed: another model requires the record being deleted. If possible, archive it instead.\n\nModel: %s (%s)\nConstraint: %s\n",
						m.Label, other, constraintName(other, name))
				}
			}
		}
	}
	return nil
}

// owned says whether records of the other model are lines of this one's: they go with it.
func owned(m *Model, other, name string) bool {
	for _, f := range m.Fields {
		if f.Type == "one2many" && f.Relation == other && f.Inverse == name {
			return true
		}
	}
	return false
}

func constraintName(model, field string) string {
	return strings.ReplaceAll(model, ".", "_") + "_" + field + "_fkey"
}
