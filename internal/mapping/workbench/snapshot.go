package workbench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// A Snapshot is what mappings know of an Odoo database: the form of the files
// under snapshots/.
type Snapshot struct {
	Odoo    string // "18.0"
	Extends string
	Models  map[string]map[string]Field
}

// A Field is one field's facts. What is false is left out of the file, readonly
// and store excepted when they are known.
type Field struct {
	Type       string   `json:"type"`
	Title      string   `json:"string,omitempty"`
	Help       string   `json:"help,omitempty"`
	Relation   string   `json:"relation,omitempty"`
	Selection  []string `json:"selection,omitempty"`
	Required   bool     `json:"required,omitempty"`
	Default    bool     `json:"default,omitempty"`
	Compute    bool     `json:"compute,omitempty"`
	HasInverse bool     `json:"has_inverse,omitempty"`
	Related    string   `json:"related,omitempty"`
	Inherits   string   `json:"inherits,omitempty"`
	Inverse    string   `json:"inverse,omitempty"`
	Readonly   *bool    `json:"readonly,omitempty"`
	Store      *bool    `json:"store,omitempty"`
}

// Write writes the file: models and fields sorted, a field on each line, so
// that a version control system shows what an upgrade changed.
func (s Snapshot) Write(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("{\n\"odoo\": " + compact(s.Odoo))
	if s.Extends != "" {
		b.WriteString(",\n\"extends\": " + compact(s.Extends))
	}
	b.WriteString(",\n\"models\": {")
	for i, model := range slices.Sorted(maps.Keys(s.Models)) {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n" + compact(model) + ": {")
		for i, name := range slices.Sorted(maps.Keys(s.Models[model])) {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n" + compact(name) + ": " + compact(s.Models[model][name]))
		}
		b.WriteString("\n}")
	}
	b.WriteString("\n}\n}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// Snapshot reads a snapshot with all that it extends.
func (b Bench) Snapshot(name string) (Snapshot, error) {
	var out Snapshot
	for range 8 {
		data, err := fs.ReadFile(b.FS, name)
		if err != nil {
			return out, err
		}
		var s struct {
			Odoo    string                      `json:"odoo"`
			Extends string                      `json:"extends"`
			Models  map[string]map[string]Field `json:"models"`
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return out, fmt.Errorf("%s is no snapshot: %w", b.show(name), err)
		}
		if out.Models == nil {
			out = Snapshot{Odoo: s.Odoo, Models: map[string]map[string]Field{}}
		}
		if out.Odoo == "" {
			out.Odoo = s.Odoo
		}
		for model, fields := range s.Models {
			if out.Models[model] == nil {
				out.Models[model] = map[string]Field{}
			}
			for field, f := range fields {
				if _, there := out.Models[model][field]; !there {
					out.Models[model][field] = f
				}
			}
		}
		if s.Extends == "" {
			if len(out.Models) == 0 {
				return out, fmt.Errorf("%s is no snapshot: it has no models", b.show(name))
			}
			return out, nil
		}
		name = path.Join(path.Dir(name), s.Extends)
	}
	return out, fmt.Errorf("%s: more than 8 snapshots extend each other", b.show(name))
}

// A SnapshotDiff says what another database, or another version of Odoo, has
// otherwise.
type SnapshotDiff struct {
	Old     string        `json:"old"` // version of Odoo
	New     string        `json:"new"`
	Changes []FieldChange `json:"changes"` // by kind, then model and field
}

// A FieldChange is one difference. Field is "" where a whole model differs.
type FieldChange struct {
	Kind  string `json:"kind"` // model_removed, removed, retyped, required, readonly, selection, model_added, added
	Model string `json:"model"`
	Field string `json:"field,omitempty"`
	Text  string `json:"text,omitempty"`
}

// changeKinds in the order of their weight, with what they are called.
var changeKinds = []struct {
	kind, title string
	breaks      bool
}{
	{"model_removed", "models that are gone", true},
	{"removed", "fields that are gone", true},
	{"retyped", "fields of another type", true},
	{"required", "fields that are now required and have no default", true},
	{"readonly", "fields that can no longer be written", true},
	{"selection", "selections that lost or won a value", true},
	{"model_added", "new models", false},
	{"added", "new fields", false},
}

// DiffSnapshots compares two snapshots.
func DiffSnapshots(was, is Snapshot) SnapshotDiff {
	d := SnapshotDiff{Old: was.Odoo, New: is.Odoo, Changes: []FieldChange{}}
	for _, model := range slices.Sorted(maps.Keys(was.Models)) {
		if is.Models[model] == nil {
			d.Changes = append(d.Changes, FieldChange{Kind: "model_removed", Model: model})
			continue
		}
		d.fields(model, was.Models[model], is.Models[model])
	}
	for _, model := range slices.Sorted(maps.Keys(is.Models)) {
		if was.Models[model] == nil {
			d.Changes = append(d.Changes, FieldChange{"model_added", model, "", count(len(is.Models[model]), "field")})
		}
	}
	rank := func(c FieldChange) int {
		for i, k := range changeKinds {
			if k.kind == c.Kind {
				return i
			}
		}
		return len(changeKinds)
	}
	slices.SortStableFunc(d.Changes, func(a, b FieldChange) int { return rank(a) - rank(b) })
	return d
}

func (d *SnapshotDiff) fields(model string, was, is map[string]Field) {
	add := func(kind, field, text string) {
		d.Changes = append(d.Changes, FieldChange{kind, model, field, text})
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		old := was[name]
		now, there := is[name]
		if !there {
			add("removed", name, renamed(name, old, was, is))
			continue
		}
		if old.Type != now.Type || old.Relation != now.Relation {
			add("retyped", name, typed(old)+" → "+typed(now))
		}
		if now.Required && !old.Required && !now.Default {
			add("required", name, typed(now))
		}
		if writes(old) && !writes(now) {
			add("readonly", name, "")
		}
		if lost, won := missing(old.Selection, now.Selection), missing(now.Selection, old.Selection); len(old.Selection) > 0 && len(lost)+len(won) > 0 {
			var parts []string
			if len(lost) > 0 {
				parts = append(parts, "lost "+strings.Join(lost, ", "))
			}
			if len(won) > 0 {
				parts = append(parts, "won "+strings.Join(won, ", "))
			}
			add("selection", name, strings.Join(parts, "; "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if _, there := was[name]; there {
			continue
		}
		add("added", name, typed(is[name]))
		if now := is[name]; now.Required && !now.Default && writes(now) {
			add("required", name, typed(now)+", new")
		}
	}
}

func typed(f Field) string { return strings.TrimSpace(f.Type + " " + f.Relation) }

func writes(f Field) bool {
	if f.Readonly != nil {
		return !*f.Readonly || f.HasInverse
	}
	return f.HasInverse || f.Related == "" && !f.Compute
}

func missing(from, in []string) []string {
	var out []string
	for _, v := range from {
		if !slices.Contains(in, v) {
			out = append(out, v)
		}
	}
	return out
}

// renamed guesses what a field that is gone is called now: one of the same type
// that is new and has the same title or nearly the same name.
func renamed(name string, old Field, was, is map[string]Field) string {
	stem := strings.NewReplacer("_ids", "", "_id", "", "_", "")
	for _, n := range slices.Sorted(maps.Keys(is)) {
		if _, there := was[n]; there || typed(is[n]) != typed(old) {
			continue
		}
		a, b := strings.TrimSuffix(stem.Replace(name), "s"), strings.TrimSuffix(stem.Replace(n), "s")
		if old.Title != "" && is[n].Title == old.Title || a == b || len(a) >= 4 && strings.HasPrefix(b, a) {
			return "now " + n + "?"
		}
	}
	return ""
}

// Breaks says whether something changed that a mapping may rely on.
func (d SnapshotDiff) Breaks() bool {
	return slices.ContainsFunc(d.Changes, func(c FieldChange) bool {
		return slices.ContainsFunc(changeKinds, func(k struct {
			kind, title string
			breaks      bool
		}) bool {
			return k.kind == c.Kind && k.breaks
		})
	})
}

// Print writes the changes by kind, those that break mappings first.
func (d SnapshotDiff) Print(s Screen) {
	s.line("Odoo ", s.in(bold, d.Old), " → ", s.in(bold, d.New))
	for _, k := range changeKinds {
		var rows [][]cell
		for _, c := range d.Changes {
			if c.Kind == k.kind {
				rows = append(rows, []cell{{strings.TrimSuffix(c.Model+"."+c.Field, "."), plain}, {c.Text, faint}})
			}
		}
		if len(rows) == 0 {
			continue
		}
		shade := plain
		if k.breaks {
			shade = yellow
		}
		s.line("")
		s.line(s.in(shade, fmt.Sprintf("%s (%d)", k.title, len(rows))))
		s.table("  ", rows, 1)
	}
	s.line("")
	if len(d.Changes) == 0 {
		s.line("no difference")
	} else {
		s.line(s.in(faint, "which mappings that breaks: vagus mapping lint --snapshot NEW"))
	}
}
