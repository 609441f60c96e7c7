package odoo

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

type kind byte

const (
	insert     kind = iota // insert if absent: what exists is not touched
	update                 // by external id
	updateByID             // by database id
)

// A row is one record's part in a call of load.
type row struct {
	model string
	kind  kind
	key   string // external id
	id    int64  // database id
	add   bool   // many2many cells add
	cells []cell
	// nested are the lines of one field that come into being with the record, or
	// that are made and changed by an update of it.
	nested *nested
	// owner is the record whose lines change: two calls at once that touch lines
	// of one record would only collide.
	owner int64
	// extra is the operation's own context, and context its canonical form.
	extra   broker.Values
	context string

	done    int64    // the record's database id, when verdict is nil
	raced   bool     // somebody else may have made the record meanwhile
	verdict *verdict // why not
}

// appendGroup says which rows may share a call: those for which it appends the same.
func (r *row) appendGroup(b []byte) []byte {
	b = append(append(b, r.model...), '0'+byte(r.kind))
	if r.add && r.kind != insert {
		b = append(b, '+')
	}
	for _, c := range r.cells {
		b = append(append(b, ' '), c.column...)
	}
	if r.nested != nil {
		b = append(append(b, '|'), r.nested.field...)
		for _, c := range r.nested.lines[0].cells {
			b = append(append(b, ' '), c.column...)
		}
	}
	return append(append(b, '@'), r.context...)
}

// size is how many rows of the call the record takes.
func (r *row) size() int {
	if r.nested == nil {
		return 1
	}
	return len(r.nested.lines)
}

// loadAll loads rows in as few calls as their columns and the batch size allow.
// It returns an error when the target as a whole is unwell.
func (t *Target) loadAll(ctx context.Context, p *pass, rows []*row) error {
	if len(rows) > 1 {
		var err error
		if rows, err = t.writeEqual(ctx, p, rows); err != nil {
			return err
		}
	}
	if err := t.pad(ctx, p, rows); err != nil {
		return err
	}
	var (
		groups  [][]*row
		index   = map[string]int{}
		group   []byte
		batches [][]*row
	)
	for _, r := range rows {
		group = r.appendGroup(group[:0])
		g, ok := index[string(group)]
		if !ok {
			g = len(groups)
			index[string(group)] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], r)
	}
	for _, g := range groups {
		batches = append(batches, t.batches(g)...)
	}
	if len(batches) <= 1 || slices.ContainsFunc(rows, func(r *row) bool { return r.owner != 0 }) {
		for _, b := range batches {
			if err := t.load(ctx, p, b); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan []*row)
	var wg sync.WaitGroup
	for range min(len(batches), cap(t.client.slots)) {
		wg.Go(func() {
			for b := range work {
				if err := t.load(ctx, p, b); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, b := range batches {
		work <- b
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// batches cuts rows of one group into as few calls as may be, of the same size
// give or take one record.
func (t *Target) batches(rows []*row) [][]*row {
	total, most := 0, t.batch
	for _, r := range rows {
		total += r.size()
		if r.nested != nil {
			most = min(t.batch, maxDocuments)
		}
	}
	size := t.pace.rows(rows[0].model)
	n := len(cut(rows, size, size, most))
	return cut(rows, (total+n-1)/n, size, most)
}

// cut makes calls of at least each rows, at most size of them, and at most that
// many records.
func cut(rows []*row, each, size, records int) (calls [][]*row) {
	start, carried := 0, 0
	for i, r := range rows {
		if carried > 0 && (carried >= each || carried+r.size() > size) || i-start == records {
			calls = append(calls, rows[start:i])
			start, carried = i, 0
		}
		carried += r.size()
	}
	return append(calls, rows[start:])
}

// attempts at a batch that collides with somebody else's work, and the pause
// between them. Collisions measured on a real server were over at the second.
const attempts = 4

// load loads rows of one group in one call; when Odoo refuses some, which takes
// all of them back, it finds out which.
func (t *Target) load(ctx context.Context, p *pass, rows []*row) error {
	columns, data := table(rows)
	args := []arg{{"fields", columns}, {"data", data}}
	calls := t.loadContext(rows[0])
	lang, _ := calls["lang"].(string)
	kw := map[string]any{"context": calls}
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		res, took, err := t.client.timed(ctx, rows[0].model, "load", args, kw)
		atLoaded.Hit()
		if f := (*fault)(nil); errors.As(err, &f) && (f.class == "net.timeout" || f.class == "net.closed") {
			t.pace.took(rows[0].model, len(data), 2*slowCall) // killed for its length, it may be
		}
		if err != nil {
			return t.callFailed(ctx, p, rows, columns, err)
		}
		ids, messages, ok := answer(res, len(rows))
		if !ok {
			return t.callFailed(ctx, p, rows, columns, &fault{class: "net.garbage"})
		}
		if ids != nil {
			t.pace.took(rows[0].model, len(data), took)
			for i, r := range rows {
				r.done = ids[i]
			}
			return nil
		}
		// Load tries what failed once more, row by row. A module whose create uses
		// its values up (hr_skills of 19) then fails in another way, and of the first
		// fault, a collision perhaps, nothing is said.
		collided := (*verdict)(nil)
		for i := range messages {
			messages[i].verdict = judgeRow(messages[i].text, messages[i].field, columns, lang)
			if v := &messages[i].verdict; v.act == again || v.hides && len(rows) == 1 {
				collided = v
			}
		}
		if collided == nil || collided.hides && try == attempts {
			return t.blame(ctx, p, rows, messages)
		}
		for _, r := range rows {
			r.raced = true
		}
		if try == attempts {
			return t.leaveOut(ctx, p, rows, messages, *collided)
		}
		pause := time.NewTimer(time.Duration(50+rand.IntN(200)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
}

// leaveOut gives up the rows that collide and loads the others.
func (t *Target) leaveOut(ctx context.Context, p *pass, rows []*row, messages []message, v verdict) error {
	v.act = retry
	collides := make([]bool, len(rows))
	for _, m := range messages {
		if m.verdict.act == again && m.record >= 0 && m.record < len(rows) {
			collides[m.record] = true
		}
	}
	var rest []*row
	for i, r := range rows {
		if collides[i] {
			r.verdict = &v
		} else {
			rest = append(rest, r)
		}
	}
	if len(rest) == 0 || len(rest) == len(rows) {
		fail(rows, v)
		return nil
	}
	return t.load(ctx, p, rest)
}

// blame finds the rows that Odoo refuses. Messages name rows, but not always
// the right one, so a row is judged only by the answer to itself alone, and the
// others go in without it.
func (t *Target) blame(ctx context.Context, p *pass, rows []*row, messages []message) error {
	if len(rows) == 1 {
		v := unknown
		if len(messages) > 0 {
			v = messages[0].verdict
		}
		fail(rows, v)
		return nil
	}
	named := make([]bool, len(rows))
	count := 0
	for _, m := range messages {
		if m.record >= 0 && m.record < len(rows) && !named[m.record] {
			named[m.record] = true
			count++
		}
	}
	if count == 0 || count == len(rows) {
		return t.halves(ctx, p, rows)
	}
	rest := make([]*row, 0, len(rows)-count)
	for i, r := range rows {
		if !named[i] {
			rest = append(rest, r)
		}
	}
	if err := t.load(ctx, p, rest); err != nil {
		return err
	}
	for i, r := range rows {
		if named[i] {
			if err := t.load(ctx, p, []*row{r}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Target) halves(ctx context.Context, p *pass, rows []*row) error {
	if err := t.load(ctx, p, rows[:len(rows)/2]); err != nil {
		return err
	}
	return t.load(ctx, p, rows[len(rows)/2:])
}

// callFailed handles a call that gave no result at all.
func (t *Target) callFailed(ctx context.Context, p *pass, rows []*row, columns []string, cause error) error {
	v, err := p.assess(ctx, cause, columns)
	if err != nil {
		return err
	}
	if v.act == again || v.act == none { // not from load
		v.act = retry
	}
	// A call that ran into the timeout would do so several times more.
	if len(rows) == 1 || v.whole || v.class == "odoo.timeout" {
		fail(rows, v)
		return nil
	}
	return t.halves(ctx, p, rows)
}

func fail(rows []*row, v verdict) {
	for _, r := range rows {
		r.verdict = &v
	}
}

// table is load's fields and data.
func table(rows []*row) ([]string, [][]any) {
	first := rows[0]
	columns := make([]string, 1, len(first.cells)+1)
	columns[0] = "id"
	if first.kind == updateByID {
		columns[0] = ".id"
	}
	for _, c := range first.cells {
		columns = append(columns, c.column)
	}
	if first.nested != nil {
		columns = append(columns, first.nested.field+"/id")
		for _, c := range first.nested.lines[0].cells {
			columns = append(columns, first.nested.field+"/"+c.column)
		}
	}
	total := 0
	for _, r := range rows {
		total += r.size()
	}
	data := make([][]any, 0, total)
	cells := make([]any, total*len(columns))
	for _, r := range rows {
		for n := range r.size() {
			at := len(data) * len(columns)
			d := cells[at : at : at+len(columns)]
			switch {
			case n > 0: // only a line: what comes before it is empty
				for range 1 + len(r.cells) {
					d = append(d, "")
				}
			case r.kind == updateByID:
				d = append(d, strconv.FormatInt(r.id, 10))
			default:
				d = append(d, r.key)
			}
			if n == 0 {
				for _, c := range r.cells {
					d = append(d, c.value)
				}
			}
			if r.nested != nil {
				l := r.nested.lines[n]
				d = append(d, l.xid)
				for _, c := range l.cells {
					d = append(d, c.value)
				}
			}
			data = append(data, d)
		}
	}
	return columns, data
}

func (t *Target) loadContext(r *row) map[string]any {
	c := t.writeContext(r.extra)
	switch {
	case r.kind == insert:
		c["mode"], c["noupdate"] = "update", true
	case r.add:
		c["update_many2many"] = true
	}
	if r.kind == updateByID {
		c["active_test"] = false // else an archived record's id is "unknown"
		if r.nested != nil {
			c["noupdate"] = true // of the new lines' external ids
		}
	}
	return c
}

// writeContext is the context of every call that changes something, with what
// the operation asks for.
func (t *Target) writeContext(extra broker.Values) map[string]any {
	c := map[string]any{
		"tracking_disable": true, "mail_create_nosubscribe": true, // no chatter, no followers
	}
	maps.Copy(c, extra)
	c["tz"] = "UTC" // load converts datetimes from the context's zone
	if text, _ := c["lang"].(string); text == "" {
		c["lang"] = t.lang
	}
	for _, ours := range []string{"mode", "noupdate", "update_many2many", "import_file", "module"} {
		delete(c, ours) // they change what load does
	}
	return c
}

// A message is what load says about a row.
type message struct {
	record  int // index of the row, or -1
	field   string
	text    string
	verdict verdict
}

// answer reads load's result: ids of all rows, or errors.
func answer(res any, rows int) (ids []int64, errs []message, ok bool) {
	m, ok := res.(map[string]any)
	if !ok {
		return nil, nil, false
	}
	if list, isList := m["ids"].([]any); isList {
		if len(list) != rows {
			return nil, nil, false
		}
		ids = make([]int64, rows)
		for i, v := range list {
			if ids[i], ok = asInt(v); !ok || ids[i] <= 0 {
				return nil, nil, false
			}
		}
		return ids, nil, true
	}
	list, _ := m["messages"].([]any)
	for _, v := range list {
		e, _ := v.(map[string]any)
		if e["type"] != "error" {
			continue
		}
		one := message{record: -1}
		if i, ok := asInt(e["record"]); ok {
			one.record = int(i)
		}
		one.field, _ = e["field"].(string)
		one.text, _ = e["message"].(string)
		errs = append(errs, one)
	}
	return nil, errs, true
}
