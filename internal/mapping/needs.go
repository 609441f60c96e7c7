package mapping

import (
	"fmt"
	"maps"
	"slices"
)

// A Need is one thing that a mapping asks of its Odoo: of a model as a whole
// where Field and Method are empty, else of the field, or that the model has
// the method.
type Need struct {
	Model, Field, Method        string // Field leads through relations where it has dots: "country_id.code"
	Read, Write, Create, Delete bool
	Type, Relation              string   // of a field, as the snapshot has it; "" where it was not looked up
	Values                      []string // of a selection: those that the mapping may write
	Readonly                    bool     // the snapshot says that the field is
	Line                        bool     // of a line: it is written together with the record that it belongs to
	Mapping                     string   // its id
}

// mergeWizard is what merges contacts in Odoo.
const mergeWizard = "base.partner.merge.automatic.wizard"

// Needs lists what the mapping asks of its Odoo, in the order of the file: the
// rights of the user that it takes, and the facts that Load took from the
// snapshot. It may name a thing twice.
func (m *Mapping) Needs() []Need {
	var n needs
	for _, op := range m.ops {
		n.operation(op)
	}
	if r := m.record; r != nil {
		n.add(Need{Model: r.Model, Read: true})
		for _, f := range slices.Concat(r.Fields, slices.Sorted(maps.Keys(r.Becomes))) {
			n.add(Need{Model: r.Model, Field: f, Read: true})
		}
	}
	for i := range n {
		n[i].Mapping = m.ID
	}
	return n
}

type needs []Need

func (n *needs) add(x Need) { *n = append(*n, x) }

func (n *needs) operation(op *operation) {
	model := op.model
	if model == "" && op.on != nil {
		model = op.on.model
	}
	need := Need{Model: model}
	switch op.do {
	case "upsert":
		need.Read, need.Write, need.Create = true, true, true
	case "create":
		need.Create = true
	case "update", "archive", "merge":
		need.Read, need.Write = true, true
	case "call":
		need.Read = true
	}
	n.add(need)
	switch op.do {
	case "archive":
		n.add(Need{Model: model, Field: "active", Write: true})
	case "merge":
		n.add(Need{Model: mergeWizard, Create: true})
		n.add(Need{Model: mergeWizard, Method: "action_merge"})
	case "call":
		n.add(Need{Model: model, Method: op.method})
	}
	n.keys(model, op.by)
	for _, f := range slices.Concat(op.byFields, slices.Sorted(maps.Keys(op.onlyIf))) {
		n.add(Need{Model: model, Field: f, Read: true})
	}
	for _, r := range op.rules {
		n.rule(r)
	}
	for _, r := range op.args { // their types are the method's, and Odoo does not tell them
		n.reference(r)
	}
}

func (n *needs) rule(r *rule) {
	if f := r.conv.field; f != nil && r.model != "" {
		need := Need{Model: r.model, Field: r.field, Write: true, Type: f.Type, Relation: f.Relation, Readonly: f.fixed()}
		if f.Type == "selection" {
			need.Values = r.selected(f.Selection)
		}
		n.add(need)
	}
	n.reference(r)
	for _, b := range r.blocks {
		if b.item != nil {
			n.reference(b.item)
		}
		if r.lines {
			n.add(Need{Model: r.conv.field.Relation, Read: true, Write: true, Create: true, Delete: r.mode == "$replace", Line: true})
		}
		from := len(*n)
		for _, x := range b.rules {
			n.rule(x)
		}
		for i := range (*n)[from:] {
			(*n)[from+i].Line = true
		}
	}
}

// selected are the values that the rule may write to a selection: those that it
// names, or all when they come from the message.
func (r *rule) selected(all []string) []string {
	var out []string
	if r.table != nil {
		out = slices.AppendSeq(out, maps.Values(r.table.rows))
		if r.table.catch {
			out = append(out, r.table.other)
		}
	}
	if r.constant == nil && r.table == nil {
		out = slices.Clone(all)
	}
	for _, c := range []*constant{r.constant, r.fallback} {
		if c != nil && !c.null {
			out = append(out, fmt.Sprint(c.value))
		}
	}
	out = slices.DeleteFunc(out, func(v string) bool { return v == "" }) // nothing is written
	slices.Sort(out)
	return slices.Compact(out)
}

func (n *needs) reference(r *rule) {
	if r.ref == nil {
		return
	}
	n.add(Need{Model: r.ref.model, Read: true})
	n.keys(r.ref.model, r.ref.by)
}

func (n *needs) keys(model string, keys []searchKey) {
	for _, k := range keys {
		n.add(Need{Model: model, Field: k.field, Read: true})
	}
}
