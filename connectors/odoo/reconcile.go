package odoo

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A Deed is what the ledger says of one record: the last unit that was about it.
type Deed struct {
	Unit   string
	At     time.Time // when the unit was found to be in effect
	Record broker.Record
	Body   *broker.Unit // nil when it is not to be had: then no values are compared
}

// A Difference is one thing in which the database differs from what was
// applied. It names fields and holds no value.
type Difference struct {
	Kind   string    `json:"kind"` // see the constants
	Model  string    `json:"model"`
	ID     int64     `json:"id"`
	Unit   string    `json:"unit"`
	Op     string    `json:"op"`
	At     time.Time `json:"applied_at"`
	Since  time.Time `json:"written_at,omitzero"` // the record's write_date
	Ours   bool      `json:"written_by_us"`       // the user that wrote last is the integration's
	Fields []string  `json:"fields,omitempty"`
	Others []int64   `json:"others,omitempty"` // of Duplicate, Twice and Merged: the other records
}

// Kinds of difference. The last three are for people to know and are often as
// they should be.
const (
	Missing   = "missing"   // the record is gone
	Changed   = "changed"   // fields hold something else than was written; or, without the unit's body, somebody else wrote since
	Duplicate = "duplicate" // several records have the fields that the unit's record was matched by
	Twice     = "twice"     // the record is there, and its external id leads to another one
	Merged    = "merged"    // the record is gone, and its external id leads to another one
	Touched   = "touched"   // somebody else wrote since, and the fields that are compared are as they were written
	Shared    = "shared"    // several external ids of ours lead to the record, as after a merge
)

// Serious says whether a difference is more than something to know.
func (d *Difference) Serious() bool {
	return d.Kind != Merged && d.Kind != Touched && d.Kind != Shared
}

// compareSlack is by how much the clocks of the ledger and of Odoo's database
// may differ without a write of ours looking like somebody else's later one.
const compareSlack = 2 * time.Second

// MaxDeeds is how many deeds one Compare takes.
const MaxDeeds = 500

// A Comparer compares what was applied with what the database holds; it only
// reads. It is for one goroutine.
type Comparer struct {
	t       *Target
	ours    map[int64]bool // users that write for us
	began   time.Time
	skew    time.Duration
	facts   map[string]map[string]FieldFacts
	blind   bool // external ids may not be read
	unread  map[string]bool
	notices []string
}

// NewComparer logs in and finds out who writes for us.
func (t *Target) NewComparer(ctx context.Context) (*Comparer, error) {
	c := &Comparer{t: t, ours: map[int64]bool{}, began: time.Now(), facts: map[string]map[string]FieldFacts{}, unread: map[string]bool{}}
	if err := t.Check(ctx); err != nil {
		return nil, err
	}
	x := &examiner{t: t}
	x.greet(ctx)
	c.skew = x.Skew.Duration
	res, err := t.client.execute(ctx, "res.users", "context_get", nil, nil)
	if err != nil {
		return nil, unwellFrom(err)
	}
	about, _ := res.(map[string]any)
	uid, _ := asInt(about["uid"])
	c.ours[uid] = true
	if t.Promise() == promise(true) {
		c.ours[superuser] = true
	}
	return c, nil
}

// superuser is who the addon writes as.
const superuser = 1

// Notices are what could not be compared, in words.
func (c *Comparer) Notices() []string { return c.notices }

// Compare returns the differences of at most [MaxDeeds] deeds, each about
// another record. An error says that Odoo does not take calls; nothing is known
// then.
func (c *Comparer) Compare(ctx context.Context, deeds []Deed) ([]Difference, error) {
	byModel := map[string][]*Deed{}
	for i := range deeds {
		d := &deeds[i]
		byModel[d.Record.Model] = append(byModel[d.Record.Model], d)
	}
	var out []Difference
	for _, model := range slices.Sorted(maps.Keys(byModel)) {
		found, err := c.compareModel(ctx, model, byModel[model])
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (c *Comparer) compareModel(ctx context.Context, model string, deeds []*Deed) (out []Difference, err error) {
	want := map[int64]map[string]any{}
	fields := map[string]bool{"write_date": true, "write_uid": true}
	for _, d := range deeds {
		if want[d.Record.ID], err = c.expected(ctx, d); err != nil {
			return nil, err
		}
		for f := range want[d.Record.ID] {
			fields[f] = true
		}
	}
	rows, err := c.rows(ctx, model, deeds, fields)
	if err != nil || rows == nil {
		return nil, err
	}
	var gone []*Deed
	for _, d := range deeds {
		row, there := rows[d.Record.ID]
		if !there {
			gone = append(gone, d)
			continue
		}
		if diff := c.changed(d, row, want[d.Record.ID]); diff != nil {
			out = append(out, *diff)
		}
	}
	for _, more := range []func(context.Context, string, []*Deed, []*Deed) ([]Difference, error){c.identified, c.shared, c.duplicates} {
		found, err := more(ctx, model, gone, deeds)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (d *Deed) difference(kind string) Difference {
	return Difference{Kind: kind, Model: d.Record.Model, ID: d.Record.ID, Unit: d.Unit, Op: d.Record.Op, At: d.At}
}

// expected are the plain values that the unit left in the record: references,
// lines, formatted text and files are not compared, nor what an only_if may
// have left alone. nil: there is no unit to compare with.
func (c *Comparer) expected(ctx context.Context, d *Deed) (map[string]any, error) {
	if d.Body == nil {
		return nil, nil
	}
	vals := map[string]any{}
	for i := range d.Body.Ops {
		op := &d.Body.Ops[i]
		if op.ID != d.Record.Op || op.Model != d.Record.Model || len(op.OnlyIf) > 0 {
			continue
		}
		switch {
		case op.Do == "create" && !d.Record.Made, op.Do == "call", op.Do == "merge":
		case op.Do == "archive":
			vals["active"] = false
		case d.Record.Made:
			maps.Copy(vals, initial(op))
		default:
			maps.Copy(vals, op.Vals)
			maps.Copy(vals, op.OnUpdate)
		}
	}
	if len(vals) == 0 {
		return vals, nil
	}
	facts, err := c.fields(ctx, d.Record.Model)
	for f, v := range vals {
		_, plain := scalar(v)
		switch facts[f].Type {
		case "char", "text", "boolean", "integer", "float", "monetary", "date", "datetime", "selection":
			plain = plain && facts[f].Store
		default:
			plain = false
		}
		if text, ok := v.(string); !plain || ok && len(text) > maxCompared {
			delete(vals, f)
		}
	}
	return vals, err
}

// fields are what Odoo says of a model's fields, asked once.
func (c *Comparer) fields(ctx context.Context, model string) (map[string]FieldFacts, error) {
	if f, ok := c.facts[model]; ok {
		return f, nil
	}
	res, err := c.t.client.execute(ctx, model, "fields_get", nil, map[string]any{"attributes": describedAttributes})
	if err != nil {
		if v := judged(err); ctx.Err() != nil || v.act != reject {
			return nil, unwellFrom(err)
		}
	}
	answer, _ := res.(map[string]any)
	all := map[string]FieldFacts{}
	for name, v := range answer {
		facts, _ := v.(map[string]any)
		all[name] = factsOf(facts, false)
	}
	c.facts[model] = all
	return all, nil
}

// rows reads the records. nil without an error: the user may not, and a notice
// says so.
func (c *Comparer) rows(ctx context.Context, model string, deeds []*Deed, fields map[string]bool) (map[int64]map[string]any, error) {
	ids := make([]any, len(deeds))
	for i, d := range deeds {
		ids[i] = d.Record.ID
	}
	rows := map[int64]map[string]any{}
	res, v, err := c.read(ctx, model, "read", []arg{{"ids", ids}, {"fields", nameList(fields)}})
	if err != nil {
		return nil, err
	}
	if v != nil {
		if !c.unread[model] {
			c.unread[model] = true
			c.notices = append(c.notices, model+" could not be compared ("+v.class+"): "+v.reason)
		}
		return nil, nil
	}
	for _, it := range res {
		row, _ := it.(map[string]any)
		if id, ok := asInt(row["id"]); ok && row["write_date"] != nil {
			rows[id] = row
		}
	}
	return rows, nil
}

func nameList(set map[string]bool) []any {
	out := make([]any, 0, len(set))
	for _, f := range slices.Sorted(maps.Keys(set)) {
		out = append(out, f)
	}
	return out
}

// read makes a call that returns rows. A verdict says that Odoo refuses it, an
// error that it does not answer.
func (c *Comparer) read(ctx context.Context, model, method string, args []arg) ([]any, *verdict, error) {
	res, err := c.t.client.execute(ctx, model, method, args, map[string]any{"context": c.t.searchContext(true)})
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if v := judged(err); v.act == reject || v.act == stale {
			return nil, v, nil
		}
		return nil, nil, unwellFrom(err)
	}
	rows, ok := res.([]any)
	if !ok {
		return nil, nil, unwellFrom(&fault{class: "net.garbage"})
	}
	return rows, nil, nil
}

// changed compares one record with what was written to it.
func (c *Comparer) changed(d *Deed, row map[string]any, want map[string]any) *Difference {
	diff := d.difference(Changed)
	text, _ := row["write_date"].(string)
	written, err := time.Parse(time.DateTime, text)
	if err != nil { // with fractions, as some modules show it
		written, _ = time.Parse("2006-01-02 15:04:05.999999", text)
	}
	diff.Since = written.Add(-c.skew)
	by, _ := row["write_uid"].([]any)
	if len(by) > 0 {
		uid, _ := asInt(by[0])
		diff.Ours = c.ours[uid]
	}
	if diff.Ours && diff.Since.After(c.began.Add(-compareSlack)) {
		return nil // in motion: a unit that came while we look
	}
	later := !diff.Ours && diff.Since.After(d.At.Add(compareSlack))
	for _, f := range slices.Sorted(maps.Keys(want)) {
		if !holdsPlain(want[f], row[f]) {
			diff.Fields = append(diff.Fields, f)
		}
	}
	switch {
	case len(diff.Fields) > 0, later && want == nil:
		return &diff
	case later:
		diff.Kind = Touched
		return &diff
	}
	return nil
}

// holdsPlain says whether a record has a plain value. Odoo rounds numbers to what
// the field holds, and takes spaces at the ends of texts off in some.
func holdsPlain(want, have any) bool {
	cell := cell{}
	cell.value, _ = scalar(want)
	_, cell.truth = want.(bool)
	if cell.is(have) {
		return true
	}
	text, ok := want.(json.Number)
	if !ok {
		return false
	}
	a, err := strconv.ParseFloat(text.String(), 64)
	b, isFloat := have.(float64)
	return err == nil && isFloat && math.Abs(a-b) < 0.005+1e-9*math.Abs(a)
}
