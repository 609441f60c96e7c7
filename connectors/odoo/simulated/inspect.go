package simulated

import (
	"maps"
	"slices"
	"time"
)

// A Record is a record as it stands.
type Record struct {
	ID               int64
	XIDs             []string
	Values           map[string]any // string, bool, int64, float64, []int64; what is empty is absent
	Created, Written time.Time
	Writes           int // after its creation
}

// Records returns all records of a model, by id, archived ones included.
func (s *Server) Records(model string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	tb := s.store.tables[model]
	if tb == nil {
		return nil
	}
	out := make([]Record, 0, len(tb.ids))
	for _, id := range tb.ids {
		out = append(out, inspect(id, tb.rows[id]))
	}
	return out
}

// ByXID returns the record that has an external id.
func (s *Server) ByXID(xid string) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.store.xids[xid]
	if x == nil {
		return Record{}, false
	}
	return inspect(x.res, s.store.tables[x.model].rows[x.res]), true
}

func inspect(id int64, r *record) Record {
	return Record{ID: id, XIDs: slices.Clone(r.xids), Values: maps.Clone(r.values), Created: r.created, Written: r.written, Writes: r.writes}
}

// Delete unlinks a record behind the client's back, as a person in Odoo would.
func (s *Server) Delete(model string, id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{store: s.store}
	_ = t.unlink(model, id)
	t.commit()
}

// An Effect is one committed change of one record.
type Effect struct {
	Seq    int64 // of the commit order, from 1
	At     time.Time
	Kind   string // create, write, unlink
	Model  string
	ID     int64
	XIDs   []string
	Values map[string]any // as written: only the fields of the change
}

// Effects returns all effects in the order of their commits; nothing unless
// Config.History is set. An update that changes nothing is an effect as well:
// how often something was done shows here.
func (s *Server) Effects() []Effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.store.effects)
}

// EffectsOf returns those of one external id.
func (s *Server) EffectsOf(xid string) []Effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Effect
	for _, e := range s.store.effects {
		if slices.Contains(e.XIDs, xid) {
			out = append(out, e)
		}
	}
	return out
}

// A Count is how often a method was called.
type Count struct {
	Calls   int
	Rows    int // rows of load; 1 for other methods
	MaxRows int // of one call
}

// Calls returns the counts by "model.method" ("authenticate" has no model).
func (s *Server) Calls() map[string]Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Count, len(s.calls))
	for k, c := range s.calls {
		out[k] = *c
	}
	return out
}

// count notes a call. The caller holds mu.
func (s *Server) count(model, method string, rows int) {
	key := method
	if model != "" {
		key = model + "." + method
	}
	c := s.calls[key]
	if c == nil {
		if len(s.calls) > 1000 { // a client's own inventions
			return
		}
		c = &Count{}
		s.calls[key] = c
	}
	c.Calls++
	c.Rows += rows
	c.MaxRows = max(c.MaxRows, rows)
}

// lastCalls is how many calls are remembered one by one.
const lastCalls = 30

// A calling is one call as the page shows it.
type calling struct {
	At                  time.Time
	User, Model, Method string
	Rows                int
	Took                time.Duration
	Class               string // of the exception, or what else went wrong; "" when it succeeded
}

// note remembers a call that is done. The caller holds mu.
func (s *Server) note(c calling) {
	c.Took = time.Since(c.At).Round(time.Microsecond)
	if len(s.last) < lastCalls {
		s.last = append(s.last, c)
	} else {
		s.last[s.lastAt] = c
	}
	s.lastAt = (s.lastAt + 1) % lastCalls
}
