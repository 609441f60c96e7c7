package odoo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A FieldFacts is what Odoo tells of one field (fields_get), and whether a new
// record gets a value for it by itself (default_get). Compute says that Odoo
// computes it; Readonly is false for those that can be written all the same.
// Inverse is the field of its lines that leads back; Inherits the required field
// whose record has this one, and which Odoo makes by itself.
type FieldFacts struct {
	Type, Label, Help, Relation, Related string
	Inverse, Inherits                    string
	Selection                            []string // values, in Odoo's order
	Required, Readonly, Store            bool
	Compute, Default                     bool
}

// A Description is what a database has of some models.
type Description struct {
	Version string // "18.0"
	Models  map[string]map[string]FieldFacts
	// NoDefaults are models whose defaults Odoo would not tell, with the class
	// of its answer: some want a context that only their screens have.
	NoDefaults map[string]string
}

// describedAttributes are those of fields_get that a Description holds.
var describedAttributes = []any{"type", "string", "help", "relation", "relation_field", "related", "selection", "required", "readonly", "store", "depends"}

// Version asks for the server's, "18.0".
func (t *Target) Version(ctx context.Context) (string, error) {
	w, err := t.client.choose(ctx)
	if err != nil {
		return "", unwellFrom(err)
	}
	version, err := w.version(ctx)
	if err != nil {
		return "", unwellFrom(err)
	}
	return version, nil
}

// Describe asks Odoo for the fields of models, with texts in the configured
// language. tell, when not nil, hears how many models are done. An unknown
// model is an error that names it.
func (t *Target) Describe(ctx context.Context, models []string, tell func(done int)) (Description, error) {
	d := Description{Models: map[string]map[string]FieldFacts{}, NoDefaults: map[string]string{}}
	var err error
	if d.Version, err = t.Version(ctx); err != nil {
		return d, err
	}
	kw := map[string]any{"context": map[string]any{"lang": t.lang}}
	for i, model := range models {
		v, err := t.client.execute(ctx, model, "fields_get", nil, map[string]any{"attributes": describedAttributes, "context": kw["context"]})
		if err != nil {
			return d, fmt.Errorf("fields of %s: %w (is there such a model, and may the user read it?)", model, unwellFrom(err))
		}
		fields, ok := v.(map[string]any)
		if !ok || len(fields) == 0 {
			return d, fmt.Errorf("fields of %s: Odoo's answer has none", model)
		}
		names := []any{}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			names = append(names, name)
		}
		defaults, err := t.client.defaults(ctx, model, names, kw)
		var f *fault
		if errors.As(err, &f) && !isTransport(f) {
			d.NoDefaults[model] = token(f.class)
		} else if err != nil {
			return d, fmt.Errorf("defaults of %s: %w", model, unwellFrom(err))
		}
		given, _ := defaults.(map[string]any)
		d.Models[model] = map[string]FieldFacts{}
		for name, v := range fields {
			facts, _ := v.(map[string]any)
			_, isGiven := given[name]
			d.Models[model][name] = factsOf(facts, isGiven)
		}
		if err := t.delegated(ctx, d, model); err != nil {
			return d, err
		}
		if tell != nil {
			tell(i + 1)
		}
	}
	return d, nil
}

// delegated finds the fields that a model has through a record of another one
// (_inherits), which Odoo tells nobody: it has all fields of that model then, and
// not only some as a related field has.
func (t *Target) delegated(ctx context.Context, d Description, model string) error {
	fields := d.Models[model]
	through := map[string]bool{}
	for name, f := range fields {
		if via, rest, _ := strings.Cut(f.Related, "."); rest == name && fields[via].Required && fields[via].Type == "many2one" {
			through[via] = true
		}
	}
	for via := range through {
		v, err := t.client.execute(ctx, fields[via].Relation, "fields_get", nil, map[string]any{"attributes": []any{"type"}})
		if f := (*fault)(nil); errors.As(err, &f) && !isTransport(f) {
			continue // the user may not read that model
		} else if err != nil {
			return fmt.Errorf("fields of %s: %w", fields[via].Relation, unwellFrom(err))
		}
		all, _ := v.(map[string]any)
		for name := range all {
			if _, has := fields[name]; !has {
				all = nil
				break
			}
		}
		for name := range all {
			if f := fields[name]; f.Related == via+"."+name {
				f.Related, f.Inherits = "", via
				fields[name] = f
			}
		}
	}
	return nil
}

// isTransport tells what did not come from Odoo.
func isTransport(f *fault) bool {
	return len(f.class) > 3 && (f.class[:4] == "net." || len(f.class) > 4 && f.class[:5] == "http.")
}

func factsOf(facts map[string]any, given bool) FieldFacts {
	text := func(k string) string { s, _ := facts[k].(string); return s } // false where there is none
	flag := func(k string) bool { b, _ := facts[k].(bool); return b }
	depends, _ := facts["depends"].([]any)
	f := FieldFacts{Type: text("type"), Label: text("string"), Help: text("help"), Relation: text("relation"), Related: text("related"), Inverse: text("relation_field"),
		Required: flag("required"), Readonly: flag("readonly"), Store: flag("store"), Compute: len(depends) > 0, Default: given}
	if f.Type == "one2many" || f.Type == "many2many" {
		f.Required = false // on pages only: no column holds it
	}
	if f.Relation == "resource.resource" {
		f.Required = false // made with the record by every model that has one
	}
	options, _ := facts["selection"].([]any)
	for _, o := range options {
		if pair, ok := o.([]any); ok && len(pair) > 0 {
			if value, ok := pair[0].(string); ok {
				f.Selection = append(f.Selection, value)
			}
		}
	}
	return f
}
