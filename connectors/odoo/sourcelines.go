package odoo

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// A line belongs to its document, and is read with it; but Odoo writes a new
// write_date to the document only when a field of its own changes too. So the
// models behind one2many fields are looked at as well.

// A lineModel is the model behind a one2many field.
type lineModel struct {
	model, parent string             // parent is the field that names the document
	seen          map[int64]lineSeen // lines that were written since the floor
}

type lineSeen struct {
	of, at int64
	ours   bool
	read   time.Time
	again  bool // its document was read when the line's second was over
}

// findLines returns the line models of a specification that has been checked.
func findLines(model string, spec map[string]any, facts func(model string) (map[string]any, error)) ([]*lineModel, error) {
	known, err := facts(model)
	if err != nil {
		return nil, err
	}
	var out []*lineModel
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		about, _ := known[name].(map[string]any)
		relation, _ := about["relation"].(string)
		parent, _ := about["relation_field"].(string)
		if about["type"] != "one2many" || slices.ContainsFunc(out, func(l *lineModel) bool { return l.model == relation && l.parent == parent }) {
			continue
		}
		behind, err := facts(relation)
		if err != nil {
			return nil, err
		}
		back, _ := behind[parent].(map[string]any)
		written, _ := behind["write_date"].(map[string]any)
		if back["type"] == "many2one" && back["store"] == true && written["type"] == "datetime" && behind["write_uid"] != nil {
			out = append(out, &lineModel{model: relation, parent: parent})
		}
	}
	return out, nil
}

// lookAtLines finds the documents of which lines have changed, or may have; seen
// takes note of what it found, once these have been read.
func (r *reading) lookAtLines() (seen func(), err error) {
	r.due = map[int64]bool{}
	news := map[*lineModel]map[int64]lineSeen{}
	for _, l := range slices.Clone(r.lines) {
		now, err := r.linesSince(l)
		var f *fault
		switch {
		case errors.As(err, &f) && judge(f, "", nil).act == reject:
			r.s.log.Warn("odoo: the user may not read these lines by themselves: a change of one that leaves its document alone is seen when the document is read again", "model", l.model)
			r.lines = slices.DeleteFunc(r.lines, func(o *lineModel) bool { return o == l })
		case err != nil:
			return nil, err
		default:
			news[l] = now
		}
	}
	return func() {
		for l, now := range news {
			l.seen = now
		}
	}, nil
}

// linesSince notes the documents that are to be read.
func (r *reading) linesSince(l *lineModel) (map[int64]lineSeen, error) {
	now, seen := r.s.now(), map[int64]lineSeen{}
	note := func(of int64, ours bool) {
		before, is := r.due[of]
		r.due[of] = ours && (before || !is)
	}
	from := time.Unix(r.memory.about.Floor, 0).UTC().Format(timeLayout)
	err := r.rows(l.model, []any{"write_date", "write_uid", l.parent}, []any{[]any{"write_date", ">=", from}}, func(id, at int64, rec map[string]any) {
		of := idOf(rec[l.parent])
		if of == 0 {
			return
		}
		x, is := l.seen[id]
		switch {
		case !is || x.at != at || x.of != of:
			if is && x.of != of {
				note(x.of, false)
			}
			x = lineSeen{of: of, at: at, ours: idOf(rec["write_uid"]) == r.self, read: now}
			note(of, x.ours)
		case !x.again && now.Sub(x.read) >= secondLook:
			x.again = true
			note(of, x.ours)
		}
		seen[id] = x
	})
	for id, x := range l.seen { // deleted, or written so long ago that it is final
		if _, is := seen[id]; !is {
			note(x.of, false)
		}
	}
	return seen, err
}

// readDue reads the documents of lookAtLines that are of the domain.
func (r *reading) readDue() error {
	for part := range slices.Chunk(slices.Sorted(maps.Keys(r.due)), listRows) {
		in := make([]any, len(part))
		for i, id := range part {
			in[i] = id
		}
		rows, err := r.list([]any{"id", "in", in})
		if err != nil {
			return err
		}
		if err := r.readAll(rows); err != nil {
			return err
		}
	}
	return nil
}

// readSome reads some records again, so that within Reconcile each of them is:
// for what changes no write_date, such as a relation that is kept on its other
// side, what is computed and not stored, or a record that another one refers to.
func (r *reading) readSome() error {
	m, now := r.memory, r.s.now()
	since := now.Sub(time.Unix(m.about.RereadAt, 0))
	n := min(listRows, int(float64(len(m.known))*min(1, float64(since)/float64(r.s.cfg.Reconcile))))
	if n <= 0 {
		return nil
	}
	rows, err := r.page(append(slices.Clone(r.domain), []any{"id", ">", m.about.Reread}), n)
	if err != nil {
		return err
	}
	if err := r.readAll(rows); err != nil {
		return err
	}
	m.about.Reread, m.about.RereadAt = 0, now.Unix() // in the file when there is something else to write
	if len(rows) == n {
		m.about.Reread = rows[n-1].id
	}
	return nil
}
