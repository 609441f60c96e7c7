package mapping

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/vagus-health/vagus/internal/tree"
)

// A snapshot is what a mapping knows of an Odoo database: models and fields,
// as fields_get and default_get tell them.
type snapshot struct {
	Odoo    string                           `json:"odoo"`
	Extends string                           `json:"extends,omitempty"`
	Models  map[string]map[string]*odooField `json:"models"`
}

// An odooField is one field's facts. What is false is left out of the file.
type odooField struct {
	Type       string   `json:"type"`
	Title      string   `json:"string,omitempty"` // what people see of it
	Help       string   `json:"help,omitempty"`
	Relation   string   `json:"relation,omitempty"`
	Selection  []string `json:"selection,omitempty"`
	Required   bool     `json:"required,omitempty"`
	Default    bool     `json:"default,omitempty"`
	Compute    bool     `json:"compute,omitempty"`
	HasInverse bool     `json:"has_inverse,omitempty"`
	Related    string   `json:"related,omitempty"`
	Readonly   *bool    `json:"readonly,omitempty"`
	Store      *bool    `json:"store,omitempty"`
	PHI        []string `json:"phi,omitempty"` // what it may reveal to whom an outbound mapping writes
	// The rest is read so that an unknown key is a mistake, and not used yet.
	Inverse          string   `json:"inverse,omitempty"`
	Inherits         string   `json:"inherits,omitempty"`
	Module           string   `json:"module,omitempty"`
	CompanyDependent bool     `json:"company_dependent,omitempty"`
	SelectionAdd     []string `json:"selection_add,omitempty"`
}

// fixed says whether the field can be written on a new record only: Odoo's
// forms do not change it, and its own code relies on that.
func (f *odooField) fixed() bool { return f.Readonly != nil && *f.Readonly }

// writable says whether a value written to the field stays there.
func (f *odooField) writable() (ok bool, why string) {
	switch {
	case f.Readonly != nil && !*f.Readonly, f.HasInverse:
		return true, ""
	case f.Related != "":
		return false, "it shows " + f.Related
	case f.Compute:
		return false, "Odoo computes it"
	}
	return true, ""
}

const maxSnapshots = 8 // a site's, its group's, …, the base

// readSnapshot reads a snapshot and those it extends; content gets the bytes
// of all of them.
func readSnapshot(fsys fs.FS, name string, content func([]byte)) (*snapshot, error) {
	var merged *snapshot
	for range maxSnapshots {
		data, err := readFile(fsys, name)
		if err != nil {
			return nil, err
		}
		content(data)
		s, err := decodeSnapshot(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if merged == nil {
			merged = s
		} else {
			merged = merged.over(s)
		}
		if s.Extends == "" {
			return merged, merged.check()
		}
		name = path.Join(path.Dir(name), s.Extends)
	}
	return nil, fmt.Errorf("%s: more than %d snapshots extend each other", name, maxSnapshots)
}

// decoded has the snapshots that some mapping is still being loaded with, by the SHA-256 of their bytes: one has
// thousands of fields, and all mappings of a site have the same.
var decoded sync.Map

// decodeSnapshot reads one file. Others read what it returns at the same time: nobody changes it.
func decodeSnapshot(data []byte) (*snapshot, error) {
	key := sha256.Sum256(data)
	if p, ok := decoded.Load(key); ok {
		if s := p.(weak.Pointer[snapshot]).Value(); s != nil {
			return s, nil
		}
	}
	s := new(snapshot)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, err
	}
	decoded.Store(key, weak.Make(s))
	runtime.AddCleanup(s, func(key [sha256.Size]byte) { decoded.Delete(key) }, key)
	return s, nil
}

// over returns what the snapshot says and, of what it does not say itself, what the base says.
func (s *snapshot) over(base *snapshot) *snapshot {
	out := &snapshot{Odoo: cmp.Or(s.Odoo, base.Odoo), Models: maps.Clone(base.Models)}
	if out.Models == nil {
		out.Models = map[string]map[string]*odooField{}
	}
	for model, fields := range s.Models {
		all := maps.Clone(base.Models[model])
		if all == nil {
			all = map[string]*odooField{}
		}
		for name, f := range fields {
			if f != nil || all[name] == nil {
				all[name] = f
			}
		}
		out.Models[model] = all
	}
	return out
}

func (s *snapshot) check() error {
	for _, model := range slices.Sorted(maps.Keys(s.Models)) {
		for name, f := range s.Models[model] {
			if f == nil || f.Type == "" {
				return fmt.Errorf("snapshot: %s.%s has no type", model, name)
			}
			for _, label := range f.PHI {
				if _, ok := tree.ParseLabel(label); !ok {
					return fmt.Errorf("snapshot: %s.%s: phi is one of %s, not %q", model, name, strings.Join(tree.LabelNames(), ", "), label)
				}
			}
		}
	}
	return nil
}

// delegates says whether a model has its fields through the record that this
// field holds (_inherits): Odoo makes that record itself.
func (s *snapshot) delegates(model, field string) bool {
	for _, f := range s.Models[model] {
		if f.Inherits == field {
			return true
		}
	}
	return false
}

// field finds a field of a model, also by a dotted way through relations
// ("country_id.code"). What the snapshot does not hold is unknown, not wrong,
// beyond a relation to a model that it does not hold either.
func (s *snapshot) field(model, name string) (*odooField, error) {
	fields := s.Models[model]
	if fields == nil {
		return nil, fmt.Errorf("the snapshot has no model %q%s", model, didYouMean(model, slices.Collect(maps.Keys(s.Models))))
	}
	f := fields[name]
	if f == nil {
		return nil, fmt.Errorf("%s has no field %q%s", model, name, didYouMean(name, slices.Sorted(maps.Keys(fields))))
	}
	return f, nil
}
