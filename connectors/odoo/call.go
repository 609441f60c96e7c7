package odoo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// A call has no identity in Odoo: what says whether it happened is the state
// that it leaves. So it is made for those records only that are in the state of
// only_if, and that is read again after every answer: a lost one, an action
// that asks back, and a refusal since somebody else was faster all read alike.

// A calling is one method on the records of several jobs.
type calling struct {
	method  string
	args    []arg
	extra   broker.Values
	targets []*callTarget
}

// A callTarget is one record that a job calls its method on.
type callTarget struct {
	job *job
	record
	op string // whose record it is
}

// call runs the calls of a wave, those of one method together.
func (p *pass) call(ctx context.Context, jobs []*job) error {
	groups, order := map[string]*calling{}, []string(nil)
	for _, j := range jobs {
		targets, bad := p.targets(j)
		args, why := []arg(nil), bad
		if bad == nil {
			args, why = p.args(j)
		}
		if why != nil {
			j.s.outcome = why
			continue
		}
		key := fmt.Sprint(j.op.Model, " ", j.op.Method, " ", contextKey(j.op.Context), args)
		g := groups[key]
		if g == nil {
			g = &calling{method: j.op.Method, args: args, extra: j.op.Context}
			groups[key] = g
			order = append(order, key)
		}
		for _, r := range targets {
			g.targets = append(g.targets, &callTarget{j, r.record, r.op})
		}
	}
	for _, key := range order {
		g := groups[key]
		due, err := p.due(ctx, g.targets)
		if err != nil {
			return err
		}
		size := p.t.batch
		if len(due) > 0 && g.counts(due[0].model) { // each by the name of its own
			size = 1
			if due, err = p.dueCounts(ctx, due); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(due, size) {
			if err := p.callSome(ctx, g, chunk); err != nil {
				return err
			}
		}
		for _, t := range g.targets {
			if t.job.s.outcome == nil {
				t.job.s.records = append(t.job.s.records, broker.Record{Op: t.job.op.ID, Model: t.model, ID: t.id})
			}
		}
	}
	return nil
}

// counts says whether the calls apply counts of stock.
func (g *calling) counts(model string) bool { return model == quantModel && g.method == applyCount }

// targets are the records that a job calls its method on: that which it
// matches, or those of an earlier operation, of all its repetitions when it is
// named without their number.
func (p *pass) targets(j *job) ([]result, *broker.Outcome) {
	if j.op.On == "" {
		return []result{{j.op.ID, j.rec}}, nil
	}
	var out []result
	known := false
	for _, r := range j.s.results {
		if base, _, _ := strings.Cut(r.op, "#"); r.op != j.op.On && base != j.op.On {
			continue
		}
		known = true
		if r.id != 0 && !slices.ContainsFunc(out, func(o result) bool { return o.record == r.record }) {
			out = append(out, r)
		}
		if r.id != 0 && r.model != j.op.Model {
			return nil, invalid(j.op.Model, "the operation that it calls a method on has a record of another model")
		}
	}
	if !known {
		return nil, invalid(j.op.Model, "it names an operation that does not come before it")
	}
	return out, nil
}

// args are the arguments of a call, by name, in the order of the names.
func (p *pass) args(j *job) ([]arg, *broker.Outcome) {
	var out []arg
	for _, name := range slices.Sorted(maps.Keys(j.op.Args)) {
		v := j.op.Args[name]
		switch m := v.(type) {
		case map[string]any:
			for _, f := range p.failures(j.s, j.op.Args) {
				o := f.outcome(j.op.Model)
				return nil, &o
			}
			id, bad := p.one(j.s, "", name, m)
			if bad != nil {
				return nil, bad
			}
			if v = any(false); id != 0 {
				v = id
			}
		case []any:
			return nil, invalid(name, "an argument takes a plain value or a reference")
		default:
			operand, ok := p.operand(j.s, v)
			if !ok {
				return nil, invalid(name, "an argument takes a plain value or a reference")
			}
			v = operand
		}
		out = append(out, arg{name, v})
	}
	return out, nil
}

// due reads the records and returns those whose guard holds.
func (p *pass) due(ctx context.Context, targets []*callTarget) ([]*callTarget, error) {
	ids, fields := map[int64]bool{}, map[string]bool{}
	model := ""
	for _, t := range targets {
		if t.job.s.outcome == nil {
			model, ids[t.id] = t.model, true
			for f := range t.job.op.OnlyIf {
				fields[f] = true
			}
			if t.model == quantModel && t.job.op.Method == applyCount {
				fields[counted], fields["product_id"] = true, true
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	delete(p.seen, model)
	v, err := p.read(ctx, model, ids, fields)
	if err != nil {
		return nil, err
	}
	var out []*callTarget
	taken := map[int64]bool{}
	for _, t := range targets {
		if t.job.s.outcome != nil {
			continue
		}
		if v != nil {
			t.job.s.fail(model, *v)
			continue
		}
		if p.seen[model][t.id] == nil {
			t.job.s.fail(model, verdict{act: retry, class: "odoo.missing_record", reason: "the record was deleted meanwhile"})
			continue
		}
		holds, bad := p.holds(t.job.s, t.record, t.job.op.OnlyIf)
		if bad != nil {
			t.job.s.outcome = bad
		} else if holds && !taken[t.id] {
			taken[t.id] = true
			out = append(out, t)
		}
	}
	return out, nil
}

// callSome calls the method for records that are due, and finds out what came of it.
func (p *pass) callSome(ctx context.Context, g *calling, targets []*callTarget) error {
	ids := make([]any, len(targets))
	for i, t := range targets {
		ids[i] = t.id
	}
	with := p.t.writeContext(g.extra)
	counts := g.counts(targets[0].model)
	if counts {
		with = targets[0].named(with)
	}
	kw := map[string]any{"context": with}
	for _, a := range g.args {
		kw[a.name] = a.value
	}
	answer, err := p.t.client.execute(ctx, targets[0].model, g.method, []arg{{"ids", ids}}, kw)
	atCalled.Hit()
	action, _ := answer.(map[string]any)
	asks := action != nil && action["type"] == "ir.actions.act_window"
	if counts && asks && action["res_model"] == conflictName {
		var answered bool
		answered, err = p.keepDifference(ctx, targets[0], with)
		asks = asks && !answered && err == nil
	}
	v := verdict{act: none}
	if err != nil {
		if v, err = p.assess(ctx, err, nil); err != nil {
			return err
		}
	}
	left, err := p.due(ctx, targets)
	if err != nil || len(left) == 0 {
		return err
	}
	if len(targets) > 1 && (asks || v.act == reject || v.act == stale) { // one of them spoils it for the others
		for _, t := range left {
			if err := p.callSome(ctx, g, []*callTarget{t}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, t := range left {
		switch {
		case asks:
			t.job.s.stop(broker.Rejected, "odoo.asks_back", t.model+": "+g.method+" asks a question and does nothing; answer it by the operation's context (skip_backorder: true makes a back-order), or by hand")
		case v.act == none:
			t.job.s.warn(t.model + ": " + g.method + " left record " + strconv.FormatInt(t.id, 10) + " as only_if asks for it, so that a repeat would call it again")
		case v.act == reject:
			t.job.s.fail(t.model, v)
		default:
			v.act = retry
			t.job.s.fail(t.model, v)
		}
	}
	return nil
}
