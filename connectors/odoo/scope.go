package odoo

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// What is found and read depends on the companies and the language of the call,
// as what is written does. So the operations that name them in their context are
// done apart from the others of their wave, and everything that is looked up or
// read for them is asked with theirs.

// scopeOf is the part of an operation's context that changes what is found and
// read; nil when the target's own holds.
func scopeOf(extra broker.Values) map[string]any {
	var out map[string]any
	for _, name := range []string{"allowed_company_ids", "lang"} {
		if v, ok := extra[name]; ok && v != nil && v != "" {
			if out == nil {
				out = map[string]any{}
			}
			out[name] = v
		}
	}
	return out
}

// scopes parts jobs by scope. Those of one record stay in their order.
func (p *pass) scopes(jobs []*job) [][]*job {
	if !slices.ContainsFunc(jobs, func(j *job) bool { return scopeOf(j.op.Context) != nil }) {
		return [][]*job{jobs}
	}
	var out [][]*job
	part := map[string]int{} // by scope, where the next of its jobs goes
	last := map[string]int{} // by record, where its last job went
	for _, j := range jobs {
		scope, rec := contextKey(scopeOf(j.op.Context)), j.xid
		if j.op.XID == "" && len(j.op.By) > 0 {
			rec = j.op.Model + contextKey(j.op.By)
		}
		i, ok := part[scope]
		if before, had := last[rec]; !ok || had && rec != "" && i < before {
			i = len(out)
			part[scope] = i
			out = append(out, nil)
		}
		last[rec] = i
		out[i] = append(out[i], j)
	}
	return out
}

// enter makes the scope of jobs that of the pass, and returns those that can be
// done. XML-RPC tells most faults by their texts alone, which are known in
// English: there an operation in another language is refused.
func (p *pass) enter(ctx context.Context, jobs []*job) ([]*job, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	p.scope = scopeOf(jobs[0].op.Context)
	p.scopeKey = contextKey(p.scope)
	lang, _ := p.scope["lang"].(string)
	if lang == "" || english(lang) {
		return jobs, nil
	}
	w, err := p.t.client.choose(ctx)
	if err != nil {
		return nil, err
	}
	if r, ok := w.(*rpc); !ok || r.name != "xmlrpc" {
		return jobs, nil
	}
	for _, j := range jobs {
		j.s.stop(broker.Rejected, "odoo.unsupported", j.op.Model+": over XML-RPC what is wrong is told in the language of the operation's context, and only English is known; set protocol to auto, or take lang out of the mapping's context")
	}
	return nil, nil
}

// judgeRow judges a message of load. Unlike exceptions it has no class: in
// another language a rule of Odoo's own reads like a record that is gone, so
// what is not known is looked up again, and then retried.
func judgeRow(text, field string, columns []string, lang string) verdict {
	v := judge(&fault{class: "row", text: text}, field, columns)
	if v.class == ruleOfOdoo.class && !english(lang) {
		return verdict{act: stale, class: unknown.class, reason: "Odoo refuses the record, and says why in the language of the operation's context, of which only English is known here; try it by hand in Odoo to see why"}
	}
	return v
}

func english(lang string) bool { return lang == "en" || strings.HasPrefix(lang, "en_") }

// context is that of a call which reads.
func (p *pass) context(archived bool) map[string]any {
	c := p.t.searchContext(archived)
	maps.Copy(c, p.scope)
	return c
}
