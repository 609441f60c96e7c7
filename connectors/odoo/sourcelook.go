package odoo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A listed record is one as a listing has it.
type listed struct{ id, at int64 }

const (
	listRows      = 2000
	secondLook    = 2 * time.Second
	saveEvery     = 5 * time.Second // while there is much to read
	maxUnreadable = 20              // records in one look
	timeLayout    = "2006-01-02 15:04:05"
)

// reads stands for the fields and the domain, and those that are watched, in a memory.
func reads(fields []string, domain []any, watched []string) string {
	f := slices.Sorted(slices.Values(fields))
	text := fmt.Appendf(nil, "%q %#v", f, domain)
	if len(watched) > 0 { // what they are now has to be known
		text = fmt.Appendf(text, " %q", slices.Sorted(slices.Values(watched)))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// look finds what has changed and hands it to accept.
func (w *watch) look(ctx context.Context, accept acceptFunc) error {
	err := w.changed(ctx, accept)
	// What was accepted is remembered also when something failed after it.
	w.records.Store(int64(len(w.memory.known)))
	if saved := w.memory.save(w.s.now()); saved != nil {
		err = errors.Join(err, saved)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f := (*fault)(nil); errors.As(err, &f) && judge(f, "", nil).class == accessError.class {
		return w.noRight()
	}
	return unwellFrom(err)
}

// noRight says what the user lacks.
func (w *watch) noRight() error {
	models := strings.Join(append([]string{w.model}, w.behind...), ", ")
	if w.changes.has {
		return &unwellError{class: accessError.class, reason: "give the user the right to read " + models + ", and each of these a policy of the addon with \"Changes are sent\""}
	}
	return &unwellError{class: accessError.class, reason: "give the user the right to read " + models}
}

func (w *watch) changed(ctx context.Context, accept acceptFunc) error {
	if err := w.describe(ctx); err != nil {
		return err
	}
	uid, err := w.s.client.self(ctx)
	if err != nil {
		return err
	}
	r := &reading{watch: w, ctx: ctx, accept: accept, self: uid, failed: map[int64]bool{}, done: map[int64]bool{}}
	feed, err := w.hasChanges(ctx)
	if err != nil {
		return err
	}
	m := w.memory
	if !feed && m.about.Cursor != nil { // the addon was taken away
		m.about.Cursor, m.about.Reconciled = nil, 0
	}
	floor, seen := int64(0), func() {}
	if !feed || len(r.parts) > 0 { // before anything is listed
		if floor, err = r.nextFloor(); err != nil {
			return err
		}
	}
	if m.about.Floor > 0 { // else everything is read for the first time
		if seen, err = r.lookAtParts(); err != nil {
			return err
		}
	}
	switch {
	case feed && m.about.Cursor == nil:
		if err := r.endOfChanges(); err != nil {
			return err
		}
	case feed:
		if err := r.follow(); err != nil {
			return err
		}
	}
	full := w.s.now().Sub(time.Unix(m.about.Reconciled, 0)) >= w.s.cfg.Reconcile
	r.final = feed
	switch {
	case full:
		err = r.everything()
	case !feed:
		err = r.recent()
	}
	if err == nil {
		err = r.readDue()
	}
	if err == nil {
		seen()
		err = r.readSome()
	}
	if err == nil && floor > m.about.Floor {
		m.about.Floor = floor // in the file when there is something else to write
	}
	if err == nil && len(r.failed) > 0 {
		err = errUnreadable
	}
	return err
}

var errUnreadable = errors.New("there are records that the user cannot read, for want of rights to what they refer to or because a module of Odoo fails; the others are sent, and these are tried again")

// nextFloor is where the look after this one may begin, for what is visible
// from now on: the newest write_date that is there is a time that the server's
// clock has reached.
func (r *reading) nextFloor() (int64, error) {
	now := r.s.now()
	v, err := r.s.client.execute(r.ctx, r.model, "search_read", []arg{{"domain", []any{[]any{"write_date", "<=", now.Add(maxAhead).UTC().Format(timeLayout)}}}, {"fields", []any{"write_date"}}},
		map[string]any{"order": "write_date desc, id desc", "limit": int64(1), "context": r.context()})
	if err != nil {
		return 0, err
	}
	if list, _ := v.([]any); len(list) > 0 {
		rec, _ := list[0].(map[string]any)
		if at, ok := seconds(rec["write_date"]); ok {
			r.memory.clock(at, now)
		}
	}
	return r.memory.settled(r.s.cfg.Settle, now), nil
}

// describe asks the database once for the types of the fields.
func (w *watch) describe(ctx context.Context) error {
	if w.spec != nil {
		return nil
	}
	models := map[string]map[string]any{}
	facts := func(model string) (map[string]any, error) {
		if models[model] != nil {
			return models[model], nil
		}
		if model != w.model && !slices.Contains(w.behind, model) {
			w.behind = append(w.behind, model)
		}
		v, err := w.s.client.execute(ctx, model, "fields_get", nil, map[string]any{"attributes": []any{"type", "relation", "relation_field", "related", "store", "searchable"}})
		if err != nil {
			return nil, err
		}
		models[model], _ = v.(map[string]any)
		return models[model], nil
	}
	spec := specification(w.fields)
	if err := checkFields(w.model, spec, facts); err != nil {
		return err
	}
	about, _ := models[w.model]["write_date"].(map[string]any)
	if about["type"] != "datetime" || models[w.model]["write_uid"] == nil {
		return fmt.Errorf("%s does not keep when and by whom its records were changed; name another model", w.model)
	}
	for _, name := range []string{"write_date", "write_uid"} {
		if spec[name] == nil {
			spec[name] = map[string]any{}
		}
	}
	var err error
	if w.parts, err = findParts(w.model, spec, facts); err == nil {
		w.spec = spec
	}
	return err
}

// A reading is one look.
type reading struct {
	*watch
	ctx    context.Context
	accept acceptFunc
	self   int64
	final  bool           // what is read need not be looked at again
	found  int            // records that made a message
	failed map[int64]bool // those that cannot be read: they are tried at each look
	due    map[int64]bool // those that are to be read for their parts' sake: whether only we changed these
	done   map[int64]bool // those of them that have been read
}

// recent looks at what was written within Settle, and again at what is due.
func (r *reading) recent() error {
	now := r.s.now()
	from := time.Unix(r.memory.about.Floor, 0).UTC().Format(timeLayout)
	rows, err := r.list([]any{"write_date", ">=", from})
	if err != nil {
		return err
	}
	due := slices.DeleteFunc(rows, func(x listed) bool {
		v, ok := r.memory.known[x.id]
		return ok && v.at == x.at
	})
	changed := make(map[int64]bool, len(due))
	for _, x := range due {
		changed[x.id] = true
	}
	var again []any
	for id, read := range r.memory.open {
		if age := now.Sub(read); !changed[id] && (r.memory.known[id].looks == once && age >= secondLook || age >= r.s.cfg.Settle) {
			again = append(again, id)
		}
	}
	if len(again) > 0 { // those that are still of the domain
		rows, err := r.list([]any{"id", "in", again})
		if err != nil {
			return err
		}
		if err := r.left(again, rows); err != nil {
			return err
		}
		due = append(due, rows...)
	}
	return r.readAll(due)
}

// left looks no more at records that are not of the domain any more, and tells
// of those that are not there at all.
func (r *reading) left(asked []any, there []listed) error {
	came := make(map[int64]bool, len(there))
	for _, x := range there {
		came[x.id] = true
	}
	var gone []int64
	for _, it := range asked {
		if id := it.(int64); !came[id] {
			v := r.memory.known[id]
			v.looks = done
			r.memory.keep(id, v, r.s.now())
			gone = append(gone, id)
		}
	}
	return r.deleted(gone)
}

// everything compares all records with what was sent.
func (r *reading) everything() error {
	began, m := r.s.now(), r.memory
	as := reads(r.fields, r.domain, r.watches)
	rows, err := r.list()
	if err != nil {
		return err
	}
	gone := maps.Clone(m.known)
	for _, x := range rows {
		delete(gone, x.id)
	}
	news := m.about.Reads == as && m.about.Reconciled != 0
	if m.about.Reads == as {
		rows = slices.DeleteFunc(rows, func(x listed) bool {
			v, ok := m.known[x.id]
			return ok && v.at == x.at
		})
	}
	if err := r.readAll(rows); err != nil {
		return err
	}
	if err := r.deleted(slices.Sorted(maps.Keys(gone))); err != nil {
		return err
	}
	if m.about.RereadAt == 0 {
		m.about.RereadAt = began.Unix()
	}
	m.about.Reads, m.about.Reconciled, m.dirty = as, began.Unix(), true
	if news && r.found > 0 {
		r.s.log.Warn("odoo: a comparison of all records found changes that had not been seen", "model", r.model, "records", r.found)
		if r.final { // the feed and our place in it do not belong together: the database was restored
			m.about.Cursor, m.about.Reconciled = nil, 0
		}
	}
	return nil
}

// list returns the records of the domain and a further condition by id. A
// record whose write_date changes meanwhile is listed once, with the one or the other.
func (r *reading) list(conditions ...any) ([]listed, error) {
	var out []listed
	err := r.rows(r.model, []any{"write_date"}, append(slices.Clone(r.domain), conditions...), func(id, at int64, _ map[string]any) {
		out = append(out, listed{id, at})
	})
	return out, err
}

// page returns the first n records of a domain by id.
func (r *reading) page(domain []any, n int) ([]listed, error) {
	var out []listed
	_, err := r.some(r.model, []any{"write_date"}, domain, n, func(id, at int64, _ map[string]any) { out = append(out, listed{id, at}) })
	return out, err
}

// rows calls each for the records of a model, by id.
func (r *reading) rows(model string, fields, domain []any, each func(id, at int64, rec map[string]any)) error {
	total, last := 0, int64(0)
	for {
		n, err := r.some(model, fields, append(slices.Clone(domain), []any{"id", ">", last}), listRows, func(id, at int64, rec map[string]any) {
			last = id
			each(id, at, rec)
		})
		if err != nil {
			return err
		}
		if total += n; total > maxKnown {
			return fmt.Errorf("%s has over %d records; restrict them by domain", model, maxKnown)
		}
		if n < listRows {
			return nil
		}
	}
}

// some calls each for the first records of a domain by id, and returns how many
// there were.
func (r *reading) some(model string, fields, domain []any, limit int, each func(id, at int64, rec map[string]any)) (int, error) {
	v, err := r.s.client.execute(r.ctx, model, "search_read", []arg{{"domain", domain}, {"fields", fields}},
		map[string]any{"order": "id", "limit": int64(limit), "context": r.context()})
	if err != nil {
		return 0, err
	}
	page, ok := v.([]any)
	last := int64(0)
	for _, it := range page {
		rec, _ := it.(map[string]any)
		id, isID := asInt(rec["id"])
		at, isAt := seconds(rec["write_date"])
		if !isID || !isAt || id <= last {
			return 0, &fault{class: "net.garbage"}
		}
		last = id
		each(id, at, rec)
	}
	if !ok || len(page) > limit {
		return 0, &fault{class: "net.garbage"}
	}
	return len(page), nil
}

func (w *watch) context() map[string]any {
	return map[string]any{"active_test": false, "lang": w.s.cfg.Lang, "tz": "UTC"}
}

// seconds reads a point in time; a record that no user wrote has none, which
// is the beginning of time.
func seconds(v any) (int64, bool) {
	text, ok := v.(string)
	if !ok {
		return 0, v == false
	}
	t, err := time.Parse(timeLayout, text)
	return t.Unix(), err == nil
}

// readAll reads records in the order in which they were written, and hands them on.
func (r *reading) readAll(rows []listed) error {
	slices.SortFunc(rows, func(a, b listed) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	for len(rows) > 0 {
		n := min(len(rows), r.s.cfg.Batch)
		ids := make([]any, n)
		for i, x := range rows[:n] {
			ids[i] = x.id
			if _, due := r.due[x.id]; due {
				r.done[x.id] = true
			}
		}
		records, err := r.read(ids)
		if err != nil {
			return err
		}
		if err := r.offer(records); err != nil {
			return err
		}
		for id := range r.failed {
			v := r.memory.known[id]
			v.looks = once
			r.memory.keep(id, v, r.s.now())
		}
		rows = rows[n:]
		if now := r.s.now(); now.Sub(r.memory.saved) >= saveEvery {
			if err := r.memory.save(now); err != nil {
				return err
			}
		}
	}
	return nil
}

// read returns the content of those records that are there. One that Odoo
// cannot read does not keep back the others.
func (r *reading) read(ids []any) ([]map[string]any, error) {
	v, err := r.s.client.execute(r.ctx, r.model, "web_read", []arg{{"ids", ids}, {"specification", r.spec}}, map[string]any{"context": r.context()})
	var f *fault
	if errors.As(err, &f) {
		switch v := judge(f, "", nil); {
		case v.act == unwell, v.class == "odoo.missing_method":
			return nil, err
		case len(ids) > 1:
			a, err := r.read(ids[:len(ids)/2])
			if err != nil {
				return nil, err
			}
			b, err := r.read(ids[len(ids)/2:])
			return append(a, b...), err
		case v.act == suspect, len(r.failed) >= maxUnreadable:
			return nil, err
		}
		id, _ := asInt(ids[0])
		r.failed[id] = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	records := make([]map[string]any, 0, len(list))
	for _, it := range list {
		rec, isRecord := it.(map[string]any)
		if ok = ok && isRecord; ok {
			records = append(records, rec)
		}
	}
	if !ok {
		return nil, &fault{class: "net.garbage"}
	}
	return records, nil
}

// deleted hands on that records are not there any more. Those that have only
// left the domain are.
func (r *reading) deleted(ids []int64) error {
	for len(ids) > 0 {
		n := min(len(ids), listRows)
		there, err := r.search([]any{[]any{"id", "in", wireList(ids[:n])}}, n)
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(slices.Clone(ids[:n]), func(id int64) bool { return there[id] })
		if err := r.offerDeleted(gone); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// search returns the ids of at most n records.
func (r *reading) search(domain []any, n int) (map[int64]bool, error) {
	v, err := r.s.client.execute(r.ctx, r.model, "search", []arg{{"domain", domain}}, map[string]any{"limit": int64(n), "order": "id", "context": r.context()})
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, &fault{class: "net.garbage"}
	}
	ids := make(map[int64]bool, len(list))
	for _, it := range list {
		if id, ok := asInt(it); ok {
			ids[id] = true
		}
	}
	return ids, nil
}
