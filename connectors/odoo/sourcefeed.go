package odoo

import (
	"context"
	"errors"
	"slices"
	"time"
)

// The addon notes each change of a record in the transaction that makes it, and
// tells the changes in the order of the transactions, each when all older ones
// have ended.

const (
	changesModel = "vagus.change"
	changesRows  = 1000 // in one call, when they are only counted off
)

// hasChanges says whether the addon tells the changes of the model.
func (w *watch) hasChanges(ctx context.Context) (bool, error) {
	mode := w.s.cfg.Addon
	if mode == "off" {
		return false, nil
	}
	c := &w.changes
	if now := w.s.now(); c.asked.IsZero() || now.Sub(c.asked) >= addonAge {
		_, err := w.readChanges(ctx, map[string]any{"id": map[string]any{}}, w.memory.about.Cursor, 1)
		has := err == nil
		var f *fault
		if errors.As(err, &f) {
			switch v := judge(f, "", nil); v.class {
			case "odoo.missing_model", "odoo.missing_method":
				err = nil
			case accessError.class:
				if err = nil; mode == "auto" && c.asked.IsZero() {
					w.s.log.Warn("odoo: the addon is there and does not tell changes: give the user its group Link, and the model a policy with \"Changes are sent\"; until then changes are looked for by their time", "model", w.model)
				}
			}
		}
		if err != nil {
			return false, err
		}
		if has != c.has || c.asked.IsZero() {
			w.s.log.Info("odoo: how changes are found", "model", w.model, "addon", has)
		}
		c.has, c.asked = has, now
	}
	if !c.has && mode == "require" {
		return false, &unwellError{class: "odoo.needs_addon", reason: "the addon does not tell changes of this model; install it, give the user its group Link, and the model a policy with \"Changes are sent\""}
	}
	return c.has, nil
}

// A page of changes: values is nil for a record that is not there any more.
type page struct {
	changes []change
	cursor  []int64
	more    bool
	// forgotten: the addon does not know all changes after the cursor any more
	// (too old, or the database was restored): all records have to be compared.
	forgotten bool
}

type change struct {
	id     int64
	values map[string]any
}

func (w *watch) readChanges(ctx context.Context, spec map[string]any, cursor []int64, limit int) (page, error) {
	from := []any{int64(0), int64(0)}
	if len(cursor) == len(from) {
		from = []any{cursor[0], cursor[1]}
	}
	v, err := w.s.client.execute(ctx, changesModel, "read_changes",
		[]arg{{"model", w.model}, {"specification", spec}, {"cursor", from}, {"limit", int64(limit)}}, nil)
	if err != nil {
		return page{}, err
	}
	answer, _ := v.(map[string]any)
	list, ok := answer["changes"].([]any)
	at, _ := answer["cursor"].([]any)
	p := page{more: answer["more"] == true, forgotten: answer["forgotten"] == true}
	for _, it := range at {
		n, isInt := asInt(it)
		ok = ok && isInt
		p.cursor = append(p.cursor, n)
	}
	for _, it := range list {
		m, _ := it.(map[string]any)
		id, isID := asInt(m["id"])
		ok = ok && isID && id > 0
		values, _ := m["values"].(map[string]any)
		p.changes = append(p.changes, change{id, values})
	}
	if !ok || len(p.cursor) != 2 || p.more && slices.Equal(p.cursor, cursor) {
		return page{}, &fault{class: "net.garbage"}
	}
	return p, nil
}

// endOfChanges puts the cursor behind all changes that there are: what they did
// is seen by whoever reads the records now.
func (r *reading) endOfChanges() error {
	var cursor []int64
	for {
		p, err := r.readChanges(r.ctx, map[string]any{"id": map[string]any{}}, cursor, changesRows)
		if err != nil {
			return r.lost(err)
		}
		cursor = p.cursor
		if !p.more {
			r.memory.about.Cursor, r.memory.dirty = cursor, true
			// What came before the cursor is to be compared.
			r.memory.about.Reconciled = 0
			return nil
		}
	}
}

// follow hands on the changes after the cursor, and moves it.
func (r *reading) follow() error {
	r.final = true
	m := r.memory
	for {
		p, err := r.readChanges(r.ctx, r.spec, m.about.Cursor, r.s.cfg.Batch)
		if err != nil {
			return r.lost(err)
		}
		if p.forgotten { // begin anew, as without a cursor
			r.s.log.Warn("odoo: the addon has forgotten changes that were not read; all records are compared", "model", r.model)
			m.about.Cursor, m.about.Reconciled, m.dirty = nil, 0, true
			r.found = 0
			return nil
		}
		records, gone, err := r.sorted(p.changes)
		if err != nil {
			return err
		}
		if err := r.offer(records); err != nil {
			return err
		}
		if err := r.offerDeleted(gone); err != nil {
			return err
		}
		if !slices.Equal(m.about.Cursor, p.cursor) {
			m.about.Cursor, m.dirty = p.cursor, true
		}
		if !p.more {
			r.found = 0 // what a comparison finds from here on is not known by the feed
			return nil
		}
		if now := r.s.now(); now.Sub(m.saved) >= saveEvery {
			if err := m.save(now); err != nil {
				return err
			}
		}
	}
}

// lost makes the next look ask anew whether the addon tells changes, when that
// may be what the error says.
func (r *reading) lost(err error) error {
	if f := (*fault)(nil); errors.As(err, &f) && judge(f, "", nil).act == reject {
		r.changes.asked = time.Time{}
	}
	return err
}

// sorted tells records of the domain from those that are gone.
func (r *reading) sorted(changes []change) (records []map[string]any, gone []int64, err error) {
	var ids []any
	for _, c := range changes {
		if c.values == nil {
			gone = append(gone, c.id)
			continue
		}
		ids = append(ids, c.id)
		records = append(records, c.values)
	}
	if len(r.domain) == 0 || len(ids) == 0 {
		return records, gone, nil
	}
	there, err := r.search(append(slices.Clone(r.domain), []any{"id", "in", ids}), len(ids))
	return slices.DeleteFunc(records, func(rec map[string]any) bool {
		id, _ := asInt(rec["id"])
		return !there[id]
	}), gone, err
}
