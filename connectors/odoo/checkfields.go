package odoo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// field compares one field with what the mappings take it for.
func (x *examiner) field(name string, f FieldFacts, need *Need, mayWrite bool) (wrong bool) {
	switch {
	case need.Type != "" && f.Type != need.Type && need.Relation != f.Relation:
		x.find(Broken, name, fmt.Sprintf("it is %s here, and %s in the mappings' snapshot", typeOf(f.Type, f.Relation), typeOf(need.Type, need.Relation)), "pull a snapshot of this database (vagus mapping snapshot pull) and correct what lint says of it")
	case need.Type != "" && f.Type != need.Type:
		x.find(Attention, name, fmt.Sprintf("it is %s here, and %s in the mappings' snapshot", token(f.Type), need.Type), "pull a snapshot of this database (vagus mapping snapshot pull) and see what lint says of it")
	case need.Relation != "" && f.Relation != need.Relation:
		x.find(Broken, name, fmt.Sprintf("it leads to %s here, and to %s in the mappings' snapshot", token(f.Relation), need.Relation), "pull a snapshot of this database (vagus mapping snapshot pull) and correct what lint says of it")
	case need.Write && f.Type == "selection" && f.Selection != nil && lacking(need.Values, f.Selection) != nil:
		fix := "install the module that adds the value, or correct the mapping or its table"
		if strings.HasSuffix(name, ".lang") {
			fix = "activate the languages in Odoo (Settings / Languages), or take them out of the mapping or its table"
		}
		x.find(Broken, name, "it has no value "+strings.Join(lacking(need.Values, f.Selection), ", ")+", which "+need.Mapping+" may write", fix)
	case need.Write && need.Type != "" && f.Readonly && !need.Readonly && mayWrite:
		x.find(Attention, name, "it is read-only here, and not in the mappings' snapshot: what is written to it may not stay", "pull a snapshot of this database (vagus mapping snapshot pull) and see what lint says of it")
	default:
		return false
	}
	return true
}

func typeOf(typ, relation string) string {
	if relation == "" {
		return token(typ)
	}
	return token(typ) + " of " + token(relation)
}

func lacking(want, have []string) (out []string) {
	for _, v := range want {
		if !slices.Contains(have, v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// missing tells fields that are not there from those that only some groups see,
// where the user may read that.
func (x *examiner) missing(ctx context.Context, model string, names []string) {
	if len(names) == 0 {
		return
	}
	hidden := map[string]bool{}
	list := make([]any, len(names))
	for i, n := range names {
		list[i] = n
	}
	res, v := x.ask(ctx, "ir.model.fields", "search_read", []arg{{"domain", []any{[]any{"model", "=", model}, []any{"name", "in", list}}}, {"fields", []any{"name"}}}, nil)
	rows, _ := res.([]any)
	for _, row := range rows {
		m, _ := row.(map[string]any)
		name, _ := m["name"].(string)
		hidden[name] = true
	}
	var gone, covered []string
	for _, n := range names {
		if hidden[n] {
			covered = append(covered, n)
		} else {
			gone = append(gone, n)
		}
	}
	if len(gone) > 0 {
		what := "the model has no field "
		if v != nil {
			what = "the model has none that this user may see of "
		}
		by := map[string]bool{}
		for _, n := range gone {
			for name, f := range x.models[model].fields {
				if first, _, _ := strings.Cut(name, "."); first == n {
					by[f.Mapping] = true
				}
			}
		}
		x.find(Broken, model, what+strings.Join(gone, ", "), "install the module that adds them, or leave them out of: "+some(by))
	}
	if len(covered) > 0 {
		x.find(Broken, model, "the user is in none of the groups that see "+strings.Join(covered, ", "), "give the user a group that sees them, such as that of the feature")
	}
}

// required finds fields that Odoo wants of a new record, that have no default
// and that a mapping which makes records does not fill: a module adds such.
// Odoo's own word on it is not the last one.
func (x *examiner) required(ctx context.Context, model string, need *modelNeed, answer map[string]any) {
	var wanted []any
	through := map[string]bool{} // fields that the model has its own through: Odoo fills them
	for _, name := range slices.Sorted(maps.Keys(answer)) {
		facts, _ := answer[name].(map[string]any)
		f := factsOf(facts, false)
		if first, _, ok := strings.Cut(f.Related, "."); ok {
			through[first] = true
		}
		if f.Required && f.Store && !f.Readonly && !f.Compute && f.Related == "" && x.models[f.Relation] == nil {
			wanted = append(wanted, name)
		}
	}
	if !need.Create || len(wanted) == 0 {
		return
	}
	res, err := x.t.client.defaults(ctx, model, wanted, nil)
	if err != nil {
		return
	}
	given, _ := res.(map[string]any)
	for _, w := range wanted {
		name, _ := w.(string)
		if _, ok := given[name]; ok || through[name] {
			continue
		}
		var without []string
		for _, mapping := range slices.Sorted(maps.Keys(need.writers)) {
			if fills := need.writers[mapping]; fills[""] && !fills[name] {
				without = append(without, mapping)
			}
		}
		if len(without) > 0 {
			x.find(Attention, model+"."+name, "new records need it here, and no rule fills it in "+strings.Join(without, ", "), "add a rule or a default for it, or make the field optional in Odoo")
		}
	}
}

// modules are those of stock Odoo that bring a model, by the beginning of its
// name; the longest counts.
var modules = map[string]string{
	"account.": "account (Invoicing)", "account.analytic.": "analytic (Analytic Accounting)", "hr.": "hr (Employees)", "hr.attendance": "hr_attendance (Attendances)",
	"hr.leave": "hr_holidays (Time Off)", "product.": "product (Sales, Purchase or Inventory bring it)", "purchase.": "purchase (Purchase)", "sale.": "sale (Sales)",
	"stock.": "stock (Inventory)", "project.": "project (Project)", "uom.": "uom (Sales, Purchase or Inventory bring it)", "mail.": "mail (Discuss)",
	"resource.": "resource (Employees brings it)", "calendar.": "calendar (Calendar)",
}

func moduleOf(model string) string {
	best := ""
	for prefix := range modules {
		if strings.HasPrefix(model, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best == "" {
		return "that brings it"
	}
	return modules[best]
}
