package mapping

import (
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// A FieldOutline is one field of an Odoo model.
type FieldOutline struct {
	Name, Type, Title, Help, Relation string
	Selection                         []string
	Required                          bool
	Locked                            string // why it can not be written, or ""
}

// Models returns the models of the snapshot, sorted.
func (n *Names) Models() []string {
	if n.l.snap == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(n.l.snap.Models))
}

// Fields returns the fields of a model, sorted.
func (n *Names) Fields(model string) []FieldOutline {
	if n.l.snap == nil {
		return nil
	}
	var out []FieldOutline
	fields := n.l.snap.Models[model]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		o := FieldOutline{Name: name, Type: f.Type, Title: f.Title, Help: f.Help, Relation: f.Relation, Selection: f.Selection, Required: f.Required && !f.Default && !f.Compute}
		if ok, why := f.writable(); !ok {
			o.Locked = why
		}
		out = append(out, o)
	}
	return out
}

// Field returns one field of a model, also by a dotted way through relations.
func (n *Names) Field(model, name string) (FieldOutline, bool) {
	head, rest, dotted := strings.Cut(name, ".")
	for _, f := range n.Fields(model) {
		if f.Name == head && dotted {
			return n.Field(f.Relation, rest)
		}
		if f.Name == head {
			return f, true
		}
	}
	return FieldOutline{}, false
}

// Model returns the model whose fields the spot names, or "".
func (n *Names) Model(s *Spot) string {
	model, field := "", ""
	if n.in != nil {
		model = n.in.model
	}
	relation := func() string {
		f, _ := n.Field(model, field)
		return f.Relation
	}
	for _, at := range s.chain {
		if at.object == nil {
			continue
		}
		switch at.object.Name {
		case "operation":
			if model = at.node.textOf("model"); model == "" {
				model = n.modelOf(at.node.textOf("on"))
			}
		case "changes":
			op, name, _ := strings.Cut(at.key, ".")
			model = n.modelOf(op)
			for head, rest, more := strings.Cut(name, "."); more; head, rest, more = strings.Cut(rest, ".") {
				field = head
				model, name = relation(), rest
			}
			field = name
		case "fields":
			if field != "" { // lines of the field around it
				model = relation()
			}
			field = at.key
		case "source":
			model = at.node.textOf("model")
		case "keys":
			if r := s.inner("ref").node.textOf("model"); r != "" {
				model = r
			} else {
				model = relation()
			}
			field = ""
		}
	}
	if s.Means == grammar.Reference {
		return relation()
	}
	return model
}

// FieldOf returns the field whose rule the spot is in.
func (n *Names) FieldOf(s *Spot) (FieldOutline, bool) {
	at := s.inner("fields")
	if at == nil {
		return FieldOutline{}, false
	}
	up := *s
	up.Means = grammar.Plain
	up.chain = nil
	for _, c := range s.chain {
		if up.chain = append(up.chain, c); c.node == at.node {
			break
		}
	}
	return n.Field(n.Model(&up), at.key)
}

func (n *Names) modelOf(operation string) string {
	for _, o := range n.doc.get("operations").items() {
		if o.textOf("id") == operation {
			return o.textOf("model")
		}
	}
	return ""
}
