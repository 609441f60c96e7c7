package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// What may leave is checked three times. When the file loads, by the labels of
// all that a rule can read (loader.checkEgress). When a rule runs, by the
// labels of what it did read (leaves). And on the finished operations, which
// may hold nothing but what the mapping names (checkEgress). The last two can
// fail only when this package is wrong.

// leaves checks the labels read since r.taint was cleared.
func (r *run) leaves(drop tree.Labels) *fault {
	if over := r.taint &^ drop &^ r.m.allow; over != 0 {
		return &fault{class: ClassEgress, text: "it carries " + over.String() + " data, which egress.allow does not let out"}
	}
	return nil
}

// checkEgress walks the finished operations.
func (r *run) checkEgress() *fault {
	for i := range r.ops {
		op := &r.ops[i]
		id, _, _ := strings.Cut(op.ID, "#")
		source := r.m.operation(id)
		if source == nil || source.labels&^r.m.allow != 0 || !source.matches(op) {
			return &fault{class: ClassEgress, text: op.ID + " is not an operation that the mapping lets out"}
		}
		for _, vals := range [...]broker.Values{op.Vals, op.OnCreate, op.OnUpdate} {
			if field := r.outside(vals, source.allowed); field != "" {
				return &fault{class: ClassEgress, text: op.ID + "." + field + " is not a field that the mapping lets out"}
			}
		}
		for name := range op.Args {
			if labels, named := source.argument[name]; !named || labels&^r.m.allow != 0 {
				return &fault{class: ClassEgress, text: op.ID + ".args." + name + " is not an argument that the mapping lets out"}
			}
		}
	}
	return nil
}

// outside returns a field that may not leave, or "".
func (r *run) outside(vals map[string]any, allowed map[string]permit) string {
	for field, v := range vals {
		p, named := allowed[field]
		if !named || p.labels&^r.m.allow != 0 {
			return field
		}
		if p.lines == nil {
			continue
		}
		many, _ := v.(map[string]any)
		for _, list := range many {
			lines, _ := list.([]any)
			for _, line := range lines {
				l, _ := line.(map[string]any)
				for part, fields := range l {
					if part == "key" {
						continue
					}
					f, _ := fields.(map[string]any)
					if inner := r.outside(f, p.lines); inner != "" {
						return field + "." + inner
					}
				}
			}
		}
	}
	return ""
}

// matches says whether an operation is matched, and called, by what the
// mapping says and nothing else.
func (op *operation) matches(out *broker.Operation) bool {
	for field := range out.By {
		if !slices.Contains(op.byFields, field) && !slices.ContainsFunc(op.by, func(k searchKey) bool { return k.field == field }) {
			return false
		}
	}
	for key := range out.Context {
		if !slices.ContainsFunc(op.context, func(c contextValue) bool { return c.key == key }) {
			return false
		}
	}
	return (out.XID == "" || op.xid != nil) && len(out.OnlyIf) <= len(op.onlyIf) && (out.UnchangedSince == "" || op.since != nil)
}

func (m *Mapping) operation(id string) *operation {
	for _, op := range m.ops {
		if op.id == id {
			return op
		}
	}
	return nil
}

// checkEgress refuses what carries a label that may not leave.
func (l *loader) checkEgress(at place, what string, labels tree.Labels) {
	if over := labels &^ l.m.allow; over != 0 {
		var from []string
		hint := ""
		for _, r := range l.reads {
			if r.labels&over != 0 && !slices.Contains(from, r.text) {
				from = append(from, r.text)
			}
			if r.labels&over != 0 && r.choose != "" && over == tree.NationalID {
				hint = "; choose with " + r.choose + ", so that it is known which number it is"
			}
		}
		source := ""
		if len(from) > 0 {
			source = fmt.Sprintf(" (from %s)", strings.Join(from, ", "))
		}
		l.c.errorf(at, "egress", "%s carries %s data%s, which egress.allow does not let out%s", what, over, source, hint)
	}
}
