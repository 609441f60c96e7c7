package odoo

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Part of what is read of a record may be kept in others: an order's lines, a
// user's name in the contact of the user. Odoo writes the record's write_date only
// when a field of its own changes, so the models of its parts are looked at too.

// A partModel is a model that keeps parts of the records.
type partModel struct {
	model   string
	owner   string // the field of the part that names its record, when it is a line
	through string // else the field of the record that names the part
	seen    map[int64]partSeen
}

// A partSeen is a part that was written since the floor.
type partSeen struct {
	at    int64
	owner int64 // of a line
	ours  bool
	read  time.Time
	again bool // its record was read when the part's second was over
}

// findParts returns the part models of a specification that has been checked:
// those behind one2many fields, and those that fields are related to that are
// not stored in the record.
func findParts(model string, spec map[string]any, facts func(model string) (map[string]any, error)) ([]*partModel, error) {
	known, err := facts(model)
	if err != nil {
		return nil, err
	}
	about := func(of map[string]any, name string) map[string]any { m, _ := of[name].(map[string]any); return m }
	var out []*partModel
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		f := about(known, name)
		p := &partModel{}
		related, _ := f["related"].(string)
		through, _, isRelated := strings.Cut(related, ".")
		switch by := about(known, through); {
		case f["type"] == "one2many":
			p.model, _ = f["relation"].(string)
			p.owner, _ = f["relation_field"].(string)
		case isRelated && f["store"] == false && by["type"] == "many2one" && by["searchable"] != false:
			p.model, _ = by["relation"].(string)
			p.through = through
		}
		if p.model == "" || slices.ContainsFunc(out, func(o *partModel) bool { return o.model == p.model && o.owner == p.owner && o.through == p.through }) {
			continue
		}
		of, err := facts(p.model)
		if err != nil {
			return nil, err
		}
		if back := about(of, p.owner); p.through == "" && (back["type"] != "many2one" || back["store"] != true) {
			continue
		}
		if about(of, "write_date")["type"] == "datetime" && of["write_uid"] != nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// lookAtParts finds the records of which parts have changed, or may have; seen
// takes note of what it found, once these have been read.
func (r *reading) lookAtParts() (seen func(), err error) {
	r.due = map[int64]bool{}
	news := map[*partModel]map[int64]partSeen{}
	for _, p := range slices.Clone(r.parts) {
		now, err := r.partsSince(p)
		var f *fault
		switch {
		case errors.As(err, &f) && judge(f, "", nil).act == reject:
			r.s.log.Warn("odoo: parts of the records may not be read by themselves: a change of one that leaves its record alone is seen when the record is read again", "model", r.model, "parts", p.model)
			r.parts = slices.DeleteFunc(r.parts, func(o *partModel) bool { return o == p })
		case err != nil:
			return nil, err
		default:
			news[p] = now
		}
	}
	return func() {
		for p, now := range news {
			p.seen = now
		}
	}, nil
}

// note adds a record that is to be read.
func (r *reading) note(id int64, ours bool) {
	before, is := r.due[id]
	r.due[id] = ours && (before || !is)
}

// partsSince notes the records that are to be read.
func (r *reading) partsSince(p *partModel) (map[int64]partSeen, error) {
	now, seen := r.s.now(), map[int64]partSeen{}
	changed := map[int64]bool{} // parts of which no owner is known, and whether they are our own work
	note := func(id int64, x partSeen, ours bool) {
		if p.through != "" {
			changed[id] = ours
		} else if x.owner != 0 {
			r.note(x.owner, ours)
		}
	}
	fields := []any{"write_date", "write_uid"}
	if p.owner != "" {
		fields = append(fields, p.owner)
	}
	from := time.Unix(r.memory.about.Floor, 0).UTC().Format(timeLayout)
	err := r.rows(p.model, fields, []any{[]any{"write_date", ">=", from}}, func(id, at int64, rec map[string]any) {
		owner := idOf(rec[p.owner])
		x, is := p.seen[id]
		switch {
		case !is || x.at != at || x.owner != owner:
			if is && x.owner != owner {
				note(id, x, false)
			}
			x = partSeen{at: at, owner: owner, ours: idOf(rec["write_uid"]) == r.self, read: now}
			note(id, x, x.ours)
		case !x.again && now.Sub(x.read) >= secondLook:
			x.again = true
			note(id, x, x.ours)
		}
		seen[id] = x
	})
	if err != nil {
		return nil, err
	}
	for id, x := range p.seen { // deleted, or written so long ago that it is final
		if _, is := seen[id]; !is {
			note(id, x, false)
		}
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(changed)), listRows) {
		err := r.rows(r.model, []any{"write_date", p.through}, []any{[]any{p.through, "in", wireList(part)}}, func(id, _ int64, rec map[string]any) {
			r.note(id, changed[idOf(rec[p.through])])
		})
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func wireList(ids []int64) []any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}

// readDue reads the records of lookAtParts that are of the domain and have not
// just been read for their own sake.
func (r *reading) readDue() error {
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(r.due)), func(id int64) bool { return r.done[id] })
	for part := range slices.Chunk(ids, listRows) {
		rows, err := r.list([]any{"id", "in", wireList(part)})
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
