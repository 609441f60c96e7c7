package odoo

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
)

// watched returns what is remembered of the watched fields, "" if there are none.
func (w *watch) watched(rec map[string]any) (string, error) {
	if len(w.watches) == 0 {
		return "", nil
	}
	was := make(map[string]any, len(w.watches))
	for _, f := range w.watches {
		was[f] = rec[f]
	}
	b, err := encodeRecord(was)
	return string(b), err
}

// sayBefore writes into a record what its watched fields were: an object of them, or
// null of a record that is new. It writes nothing where that is not known: when
// the records are read for the first time, or what was sent has been forgotten. So what was there
// before anybody watched is no change.
func (r *reading) sayBefore(rec map[string]any, old version, known bool) {
	switch {
	case len(r.watches) == 0:
	case known && old.was != "":
		rec["_was"] = json.RawMessage(old.was)
	case !known && r.memory.about.Reconciled != 0:
		rec["_was"] = nil
	}
}

// A Trigger says which changes of records an outbound mapping takes.
type Trigger struct {
	Model string
	On    string // "create" or "write"
	// Becomes are fields and the values that they have after the change, and of
	// which one at least was another before it: string, bool or json.Number.
	Becomes map[string]any
}

// Fires says whether a message of a [Source] is such a change. Without Becomes
// every version that is written is one; what is there when the source begins is neither
// created nor does it become anything.
func (t Trigger) Fires(body []byte) bool {
	var head struct {
		Model  string          `json:"_model"`
		Change string          `json:"_change"`
		Was    json.RawMessage `json:"_was"`
	}
	if json.Unmarshal(body, &head) != nil || head.Model != t.Model || head.Change != "write" {
		return false
	}
	isNew := string(head.Was) == "null"
	switch {
	case t.On == "create":
		return isNew && t.holds(body)
	case len(t.Becomes) == 0:
		return true
	case len(head.Was) == 0 || !t.holds(body):
		return false
	}
	return isNew || !t.holds(head.Was)
}

// holds says whether an object has all values.
func (t Trigger) holds(object []byte) bool {
	if len(t.Becomes) == 0 {
		return true
	}
	var values map[string]any
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	if dec.Decode(&values) != nil {
		return false
	}
	for f, want := range t.Becomes {
		got, has := values[f]
		if !has || !sameValue(got, want) {
			return false
		}
	}
	return true
}

// Covers returns those of the fields that a mapping reads which the model's
// settings do not bring, and those of its trigger that are not watched.
func (m SourceModel) Covers(reads []string, t Trigger) (fields, watch []string) {
	for _, f := range reads {
		if !m.brings(f) {
			fields = append(fields, f)
		}
	}
	for f := range t.Becomes {
		if !slices.Contains(m.Watch, f) {
			watch = append(watch, f)
		}
	}
	slices.Sort(watch)
	return fields, watch
}

// brings says whether a field that a mapping reads comes with the model's fields: each
// relation brings the id of its records, and one that ends there their name.
func (m SourceModel) brings(field string) bool {
	if field == "id" || field == "write_date" || slices.Contains(m.Fields, field) {
		return true
	}
	i := strings.LastIndexByte(field, '.')
	if i < 0 {
		return false
	}
	way, last := field[:i], field[i+1:]
	if last == "display_name" {
		return slices.Contains(m.Fields, way)
	}
	return last == "id" && slices.ContainsFunc(m.Fields, func(f string) bool { return f == way || strings.HasPrefix(f, way+".") })
}

func sameValue(got, want any) bool {
	a, isNumber := got.(json.Number)
	if b, ok := want.(json.Number); ok && isNumber {
		x, okX := new(big.Rat).SetString(a.String())
		y, okY := new(big.Rat).SetString(b.String())
		return okX && okY && x.Cmp(y) == 0
	}
	switch got.(type) {
	case string, bool:
		return got == want
	}
	return false
}
