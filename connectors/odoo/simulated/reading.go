package simulated

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// SetClock gives the database another clock. One that goes back makes what a
// transaction that began earlier makes: a write_date older than what has been
// seen.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.now = now
}

// order sorts ids as search's parameter says: "write_date desc, id". A
// write_date has all its digits here.
func (t *tx) order(model string, ids []int64, order string) *exception {
	type term struct {
		name string
		sign int
	}
	var terms []term
	for text := range strings.SplitSeq(order, ",") {
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if _, ok := t.models[model].field(words[0]); !ok {
			return valueError("Invalid field '%s' on model '%s'", words[0], model)
		}
		sign := 1
		if len(words) > 1 && strings.EqualFold(words[1], "desc") {
			sign = -1
		}
		terms = append(terms, term{words[0], sign})
	}
	rows := t.tables[model].rows
	slices.SortStableFunc(ids, func(a, b int64) int {
		for _, by := range terms {
			c := 0
			if by.name == "write_date" {
				c = rows[a].written.Compare(rows[b].written)
			} else {
				x, y := t.plain(model, a, rows[a], by.name), t.plain(model, b, rows[b], by.name)
				if compare(x, y, "<") {
					c = -1
				} else if compare(y, x, "<") {
					c = 1
				}
			}
			if c != 0 {
				return c * by.sign
			}
		}
		return cmp.Compare(a, b)
	})
	return nil
}

// webRead returns those of the records that are there, with what the
// specification names: relations as objects where it names fields of theirs.
func (t *tx) webRead(model string, ids []int64, spec map[string]any) ([]any, *exception) {
	out := []any{}
	for _, id := range ids {
		r := t.tables[model].rows[id]
		if r == nil {
			continue
		}
		values := map[string]any{"id": id}
		for name, v := range spec {
			f, ok := t.models[model].field(name)
			if !ok {
				return nil, valueError("Invalid field '%s' on model '%s'", name, model)
			}
			value := t.wire(model, id, r, name)
			about, _ := v.(map[string]any)
			within, deeper := about["fields"].(map[string]any)
			switch {
			case f.Relation == "":
			case f.Type == "many2one":
				pair, set := value.([]any)
				if set && deeper {
					one, e := t.webRead(f.Relation, ints(pair[0]), within)
					if e != nil {
						return nil, e
					}
					value = one[0]
				} else if set {
					value = pair[0]
				}
			case deeper:
				list, e := t.webRead(f.Relation, ints(value), within)
				if e != nil {
					return nil, e
				}
				value = list
			}
			values[name] = value
		}
		out = append(out, values)
	}
	return out, nil
}

// poisoned tells whether one of the records holds a text that [Server.Poison]
// makes fail. The caller holds the lock.
func (s *Server) poisoned(model string, ids []int64) bool {
	for _, id := range ids {
		r := s.store.tables[model].rows[id]
		if len(s.poisons) == 0 || r == nil {
			continue
		}
		for _, v := range r.values {
			if text, ok := v.(string); ok && s.poisons[text] == PoisonReject {
				return true
			}
		}
	}
	return false
}

// A note is the addon's, of one change.
type note struct {
	model, kind string
	id, seq     int64
}

const maxNotes = 100_000

// note writes a change down when the transaction commits.
func (t *tx) note(kind, model string, id int64) {
	n := len(t.notes)
	t.notes = append(t.notes, note{model: model, kind: kind, id: id})
	t.undo = append(t.undo, func() { t.notes = t.notes[:n] })
}

func (s *store) keepNotes(notes []note) {
	for _, n := range notes {
		s.noteSeq++
		n.seq = s.noteSeq
		s.changes = append(s.changes, n)
	}
	if over := len(s.changes) - maxNotes; over > maxNotes/10 {
		s.changes = slices.Delete(s.changes, 0, over)
	}
}

// readChanges is the addon's feed.
func (t *tx) readChanges(c call) (any, *exception) {
	model, _ := c.arg(0, "model").(string)
	spec, _ := c.arg(1, "specification").(map[string]any)
	cursor := ints(c.arg(2, "cursor"))
	limit, ok := asInt(c.arg(3, "limit"))
	if !ok {
		limit = 100
	}
	if t.models[model] == nil {
		return nil, &exception{class: "odoo.exceptions.AccessError", message: "No policy of Vagus lets changes of this model be read."}
	}
	var after int64
	if len(cursor) == 2 {
		after = cursor[1]
	}
	if after != 0 && after < t.unknown {
		return map[string]any{"changes": []any{}, "cursor": []any{t.unknown, t.unknown}, "more": true, "forgotten": true}, nil
	}
	newest, last, n := map[int64]note{}, max(after, t.unknown), int64(0)
	for _, x := range t.changes {
		if x.model == model && x.seq > after && n < min(limit, 1000) {
			newest[x.id], last, n = x, x.seq, n+1
		}
	}
	sorted := make([]note, 0, len(newest))
	for _, x := range newest {
		sorted = append(sorted, x)
	}
	slices.SortFunc(sorted, func(a, b note) int { return cmp.Compare(a.seq, b.seq) })
	changes := []any{}
	for _, x := range sorted {
		one, e := t.webRead(model, []int64{x.id}, spec)
		if e != nil {
			return nil, e
		}
		change := map[string]any{"id": x.id, "kind": "unlink", "values": nil}
		if len(one) == 1 {
			change["kind"], change["values"] = x.kind, one[0]
		}
		changes = append(changes, change)
	}
	return map[string]any{"changes": changes, "cursor": []any{last, last}, "more": n == min(limit, 1000), "forgotten": false}, nil
}
