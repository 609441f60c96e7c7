package odoo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// With the addon (deploy/odoo/addons/vagus) units go to Odoo as they are, and
// each is applied in one transaction that also notes its id: a repeat is
// answered from there. Nothing has to be looked up before.

// addon remembers whether the database has it.
type addon struct {
	mu    sync.Mutex
	mode  string // auto, require or off
	asked time.Time
	has   bool
	pace  pace // of operations in one call
}

const (
	addonModel    = "vagus.unit"
	addonAge      = 10 * time.Minute // how long an answer holds
	addonUnits    = 200              // in one call, at most
	addonOps      = 500              // of them together
	addonProtocol = 1
)

// wholeUnits says whether the addon takes units. An error says that it should
// and does not, or that Odoo cannot be asked.
func (t *Target) wholeUnits(ctx context.Context) (bool, error) {
	a := &t.addon
	a.mu.Lock()
	mode, has, fresh := a.mode, a.has, time.Since(a.asked) < addonAge
	a.mu.Unlock()
	if mode == "off" {
		return false, nil
	}
	if !fresh {
		var err error
		if has, err = t.askAddon(ctx); err != nil {
			return false, err
		}
	}
	if !has && mode == "require" {
		return false, &unwellError{class: "odoo.needs_addon", reason: "the database has no addon that this user may use; install it, or give the user its group Link"}
	}
	return has, nil
}

func (t *Target) askAddon(ctx context.Context) (bool, error) {
	res, err := t.client.execute(ctx, addonModel, "version", nil, nil)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	has := false
	var f *fault
	switch {
	case errors.As(err, &f):
		v := judge(f, "", nil)
		if v.act == unwell || v.act == suspect || v.act == retry || v.act == again {
			return false, unwellFrom(err)
		}
		if v.class == accessError.class {
			t.log.Warn("odoo: the addon is there, and this user may not use it: give it the group Vagus / Link; until then units go by Odoo's own interface")
		}
	case err != nil:
		return false, err
	default:
		about, _ := res.(map[string]any)
		protocol, _ := asInt(about["protocol"])
		if has = protocol == addonProtocol; !has {
			t.log.Warn("odoo: the addon speaks another protocol than this broker; install the one that comes with it")
		}
	}
	a := &t.addon
	a.mu.Lock()
	defer a.mu.Unlock()
	if has != a.has || a.asked.IsZero() {
		t.log.Info("odoo: how units are applied", "promise", promise(has))
	}
	a.has, a.asked = has, time.Now()
	return has, nil
}

// Promise implements [broker.Promiser]: "addon", or "external-id" for Odoo's own
// interface; "" before Odoo was asked.
func (t *Target) Promise() string {
	t.addon.mu.Lock()
	defer t.addon.mu.Unlock()
	if t.addon.mode != "off" && t.addon.asked.IsZero() {
		return ""
	}
	return promise(t.addon.has)
}

func promise(addon bool) string {
	if addon {
		return "addon"
	}
	return "external-id"
}

// runWhole hands units to the addon.
func (p *pass) runWhole(ctx context.Context) error {
	var open []*state
	for i := range p.states {
		if p.states[i].outcome == nil {
			open = append(open, &p.states[i])
		}
	}
	for len(open) > 0 {
		n, ops := 0, 0
		most := p.t.addon.pace.rows(addonModel)
		for n < len(open) && n < addonUnits && (n == 0 || ops+len(open[n].unit.Ops) <= most) {
			ops += len(open[n].unit.Ops)
			n++
		}
		if err := p.applyWhole(ctx, open[:n]); err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

func (p *pass) applyWhole(ctx context.Context, states []*state) error {
	units, ops := make([]any, len(states)), 0
	for i, s := range states {
		ops += len(s.unit.Ops)
		u, err := wireUnit(s.unit)
		if err != nil {
			return err
		}
		units[i] = u
	}
	res, took, err := p.t.client.timed(ctx, addonModel, "apply", []arg{{"units", units}}, nil)
	atWhole.Hit()
	f := (*fault)(nil)
	if late := errors.As(err, &f) && (f.class == "net.timeout" || f.class == "net.closed"); late || err == nil && took > p.t.addon.pace.slow {
		p.t.addon.pace.tooLong(addonModel, ops)
	} else if err == nil {
		p.t.addon.pace.took(addonModel, ops, took)
	}
	if err != nil {
		v, err := p.assess(ctx, err, nil)
		if err != nil {
			return err
		}
		if v.class == "odoo.missing_model" || v.class == "odoo.missing_method" || v.class == accessError.class { // it was taken away
			p.t.addon.mu.Lock()
			p.t.addon.asked = time.Time{}
			p.t.addon.mu.Unlock()
			v.act = retry
		}
		if len(states) > 1 && !v.whole && v.class != "odoo.timeout" {
			if err := p.applyWhole(ctx, states[:len(states)/2]); err != nil {
				return err
			}
			return p.applyWhole(ctx, states[len(states)/2:])
		}
		for _, s := range states {
			s.fail(addonModel, v)
		}
		return nil
	}
	answers, ok := res.([]any)
	if !ok || len(answers) != len(states) {
		return &fault{class: "net.garbage"}
	}
	for i, s := range states {
		a, ok := answers[i].(map[string]any)
		if !ok || a["unit"] != any(s.unit.ID) {
			return &fault{class: "net.garbage"}
		}
		s.answered(a)
	}
	return nil
}

// wireUnit is a unit as a tree that every wire takes. What it makes and does not
// name gets the external id that Odoo's own interface would give it, so that a unit
// that was begun by one way and is repeated by the other finds it.
func wireUnit(u *broker.Unit) (any, error) {
	body, err := u.Encode()
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, &fault{class: "net.encode"}
	}
	m, _ := tree.(map[string]any)
	ops, _ := m["ops"].([]any)
	for i, it := range ops {
		op := &u.Ops[i]
		if o, ok := it.(map[string]any); ok && op.Do == "create" && op.XID == "" && len(op.By) == 0 {
			o["xid"] = xidOf(u, op)
		}
	}
	return wireTree(tree), nil
}

func wireTree(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = wireTree(v[k])
		}
	case []any:
		for i := range v {
			v[i] = wireTree(v[i])
		}
	case string:
		return clean(v)
	case json.Number:
		return number(v)
	}
	return v
}

// answered takes the addon's answer for the unit over.
func (s *state) answered(a map[string]any) {
	list, _ := a["records"].([]any)
	again := a["again"] == true
	for _, it := range list {
		m, _ := it.(map[string]any)
		r := broker.Record{}
		r.Op, _ = m["op"].(string)
		r.Model, _ = m["model"].(string)
		r.ID, _ = asInt(m["id"])
		r.Made = m["made"] == true && !again
		if dottedName(r.Model) && slices.ContainsFunc(s.unit.Ops, func(op broker.Operation) bool { return op.ID == r.Op }) {
			s.records = append(s.records, r)
		}
	}
	if a["result"] == "applied" {
		s.warning = s.overwritten(a["overwrote"])
		return
	}
	class, _ := a["class"].(string)
	reason, known := addonReasons[class]
	if !known {
		class, reason = "odoo.unknown", unknown.reason
	}
	o := &broker.Outcome{Result: broker.Rejected, Class: class, Reason: reason}
	if a["result"] == "retry" {
		o.Result = broker.Retry
	}
	// Names are repeated when they are the unit's own.
	op, _ := a["op"].(string)
	if i := slices.IndexFunc(s.unit.Ops, func(x broker.Operation) bool { return x.ID == op }); i >= 0 {
		where := "operation " + safe(op)
		if field, ok := a["field"].(string); ok && fieldName(field) {
			for _, vals := range allValues(&s.unit.Ops[i]) {
				if _, named := vals[field]; named {
					where += ", " + field
					break
				}
			}
		}
		o.Reason = where + ": " + o.Reason
	}
	s.outcome = o
}

// overwritten says of which fields somebody else's values went. Names are
// repeated when they are the unit's own.
func (s *state) overwritten(v any) string {
	var out []string
	list, _ := v.([]any)
	for _, it := range list {
		m, _ := it.(map[string]any)
		name, _ := m["op"].(string)
		i := slices.IndexFunc(s.unit.Ops, func(x broker.Operation) bool { return x.ID == name })
		if i < 0 {
			continue
		}
		op := &s.unit.Ops[i]
		var lost []string
		fields, _ := m["fields"].([]any)
		for _, f := range fields {
			field, _ := f.(string)
			named := op.Do == "archive" && field == "active"
			for _, vals := range allValues(op) {
				_, in := vals[field]
				named = named || in
			}
			if named {
				lost = append(lost, field)
			}
		}
		if len(lost) > 0 {
			slices.Sort(lost)
			out = append(out, op.Model+": somebody else had written the record last, and other values in "+strings.Join(slices.Compact(lost), ", "))
		}
	}
	return strings.Join(out, "; ")
}

// addonReasons are the classes that the addon answers with.
var addonReasons = map[string]string{
	"odoo.invalid":              "it is not what the addon understands; correct the mapping, or install the addon that comes with this broker",
	"odoo.invalid_xid":          "the external id is none; correct the mapping",
	"odoo.unsupported":          "Odoo cannot do this; correct the mapping",
	"odoo.not_allowed":          "no policy of the addon allows this: add the model, that of lines too, and the method, under Vagus / What Vagus may do; administrators, commands and secrets are never allowed",
	"odoo.asks_back":            "the method asks a question and does nothing; answer it by the operation's context, or by hand",
	"odoo.changed_since":        "somebody else changed the record in Odoo after the time that the message goes by (only_if: unchanged_since); compare the two: discard this, or enter it by hand and replay",
	"odoo.SerializationFailure": "somebody else changes the same rows",
	"odoo.missing_model":        "the database has no such model; install the module or correct the mapping",
	"odoo.other_model":          "the record of the external id, or of the reference, is of another model; correct the mapping",
	"odoo.ambiguous":            "more than one record matches; make them differ in Odoo, or match by an external id",
	"odoo.missing_record":       "the record does not exist; let its feed bring it",
	"odoo.missing_reference":    "the record that it refers to does not exist; create it in Odoo, or let its feed bring it",
	"odoo.missing_operation":    "it names an operation that does not come before it; correct the mapping",
	"odoo.unknown_field":        "the model has no such field; install the module or correct the mapping",
	"odoo.duplicate_line":       "two lines have one key; correct the mapping",
	"odoo.unknown_lines":        "a module of Odoo made more or fewer lines than were sent; leave the field to it",
	"odoo.bad_call":             "the unit is too large, or not one",
	"odoo.bad_value":            badValue.reason,
	"odoo.constraint":           "a constraint of the table refuses the record; correct the record in Odoo or the mapping",
	"odoo.ValidationError":      "a rule of Odoo or of one of its modules refuses the record; try it by hand in Odoo to see which",
	"odoo.UserError":            "a rule of Odoo or of one of its modules refuses the record; try it by hand in Odoo to see which",
	"odoo.AccessError":          accessError.reason,
	"odoo.unknown":              unknown.reason,
}
