package odoo

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// promise finds out by which way units would be applied, and whether the user
// may read the external ids.
func (x *examiner) promise(ctx context.Context) bool {
	x.Promise, x.Why = promise(false), "the database has no addon"
	a := &x.t.addon
	a.mu.Lock()
	mode := a.mode
	a.mu.Unlock()
	if mode == "off" {
		x.Why = "addon: off"
	} else {
		x.askPromise(ctx, mode)
	}
	_, v := x.ask(ctx, "ir.model.data", "search_read", []arg{{"domain", []any{}}, {"fields", []any{"name"}}}, map[string]any{"limit": int64(1)})
	x.Identifiers = v == nil
	switch {
	case v == nil || x.policies != nil:
	case v.class == accessError.class:
		x.find(Attention, "ir.model.data", "the user may not read external ids: each upsert takes two calls, and cannot say what it made", "give it Administration / Access Rights, or install the addon")
	default:
		x.failed(Broken, "ir.model.data", "external ids cannot be read", v)
	}
	return ctx.Err() == nil
}

func (x *examiner) askPromise(ctx context.Context, mode string) {
	res, v := x.ask(ctx, addonModel, "version", nil, nil)
	level := Attention
	if mode == "require" {
		level = Broken
	}
	switch {
	case v == nil:
		about, _ := res.(map[string]any)
		if n, _ := asInt(about["protocol"]); n != addonProtocol {
			x.Why = "the addon is of another version than this program"
			x.find(level, "addon", "it speaks another protocol than this program", "install the addon that comes with this version, and upgrade the module in Odoo")
			return
		}
		x.Promise, x.Why = promise(true), "the database has the addon, and the user its group"
		x.policies, _ = about["policies"].(map[string]any)
		if x.policies == nil {
			x.policies = map[string]any{}
		}
	case v.class == accessError.class:
		x.Why = "the user may not use the addon"
		x.find(level, "addon", "it is installed, and the user may not use it", "give the user the group Vagus / Link")
	case v.class != "odoo.missing_model":
		x.Why = "the addon does not answer"
		x.failed(level, "addon", "whether it is installed cannot be told", v)
	case mode == "require":
		x.find(Broken, "addon", "the configuration wants it (addon: require), and the database has none", "install the addon of deploy/odoo/addons, or set addon: auto")
	}
}

// Rights as [ModelState] has them.
const (
	yes    = "yes"
	no     = "no"
	untold = "?"
)

var allowedGroups = regexp.MustCompile(`(?m)^\t- (.{1,100})$`)

// groupsIn are the groups that Odoo's refusal of a right names, eight at most.
func groupsIn(refusal string) (groups []string) {
	for _, m := range allowedGroups.FindAllStringSubmatch(refusal, 8) {
		groups = append(groups, m[1])
	}
	return groups
}

// may asks for a right on a model, and for the groups that have it when the
// user has not. Rules on single records are not in it.
func (x *examiner) may(ctx context.Context, model, operation string) (right string, groups []string) {
	method := "check_access_rights"
	args := []arg{{"operation", operation}}
	if major(x.Version) >= 19 {
		method, args = "has_access", []arg{{"ids", []any{}}, {"operation", operation}}
	}
	res, err := x.t.client.execute(ctx, model, method, args, nil)
	if err == nil {
		if res == false {
			return no, nil
		}
		return yes, nil
	}
	v := judged(err)
	switch v.class {
	case "odoo.none":
		return yes, nil
	case accessError.class:
		// This refusal is of a right, not of a record: it names groups and no value.
		return no, groupsIn(textOf(err))
	}
	return untold, nil
}

// database looks at every model that is needed; relations may lead to more.
func (x *examiner) database(ctx context.Context) bool {
	done := map[string]bool{}
	for {
		next := slices.DeleteFunc(slices.Sorted(maps.Keys(x.models)), func(m string) bool { return done[m] })
		if len(next) == 0 {
			break
		}
		for _, model := range next {
			x.model(ctx, model, x.models[model])
			if ctx.Err() != nil {
				return false
			}
			done[model] = true
			x.all = max(x.all, 6+len(x.models))
			x.step()
		}
	}
	slices.SortFunc(x.Models, func(a, b ModelState) int { return strings.Compare(a.Model, b.Model) })
	for _, module := range slices.Sorted(maps.Keys(x.absent)) {
		by := map[string]bool{}
		for _, model := range x.absent[module] {
			maps.Copy(by, x.models[model].by)
		}
		x.find(Broken, strings.Join(x.absent[module], ", "), "the database has no such model"+plural(x.absent[module]), "install the module "+module+", or leave out what needs it: "+some(by))
	}
	return true
}

func plural(of []string) string {
	if len(of) == 1 {
		return ""
	}
	return "s"
}

// some lists a few of many.
func some(of map[string]bool) string {
	const few = 4
	names := slices.Sorted(maps.Keys(of))
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

func (x *examiner) model(ctx context.Context, model string, need *modelNeed) {
	s := ModelState{Model: model, Fields: len(need.fields)}
	defer func() { x.Models = append(x.Models, s) }()
	res, v := x.ask(ctx, model, "fields_get", nil, map[string]any{"attributes": describedAttributes})
	if v != nil {
		if v.class == "odoo.missing_model" {
			module := moduleOf(model)
			x.absent[module] = append(x.absent[module], model)
		} else {
			x.failed(Broken, model, "its fields cannot be read", v)
		}
		return
	}
	answer, _ := res.(map[string]any)
	s.Exists = true
	if x.policies == nil {
		x.rights(ctx, &s, need)
	} else {
		x.byPolicy(&s, need)
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(need.fields)) {
		first, rest, dotted := strings.Cut(name, ".")
		facts, ok := answer[first].(map[string]any)
		if !ok {
			missing = append(missing, first)
			s.Wrong++
			continue
		}
		f := factsOf(facts, false)
		if dotted && f.Relation != "" {
			by := need.fields[name].Mapping
			x.need([]Need{{Model: f.Relation, Read: true, Mapping: by}, {Model: f.Relation, Field: rest, Read: true, Mapping: by}})
		}
		if x.field(model+"."+first, f, need.fields[name], s.Write != no || s.Create != no) {
			s.Wrong++
		}
	}
	x.missing(ctx, model, slices.Compact(missing))
	x.required(ctx, model, need, answer)
	if len(need.methods) > 0 && x.policies == nil && model != mergeWizard {
		x.Unseen = append(x.Unseen, "whether "+model+" has "+strings.Join(slices.Sorted(maps.Keys(need.methods)), ", ")+" and the user may call it: Odoo tells only when it is done")
	}
}

// rights asks for those that the mappings need.
func (x *examiner) rights(ctx context.Context, s *ModelState, need *modelNeed) {
	var lacks []string
	var groups [][]string
	for _, r := range []struct {
		needed    bool
		operation string
		state     *string
	}{{need.Read, "read", &s.Read}, {need.Write, "write", &s.Write}, {need.Create, "create", &s.Create}, {need.Delete, "unlink", &s.Delete}} {
		if !r.needed {
			continue
		}
		var of []string
		if *r.state, of = x.may(ctx, s.Model, r.operation); *r.state == no {
			lacks, groups = append(lacks, strings.Replace(r.operation, "unlink", "delete", 1)), append(groups, of)
		}
	}
	if len(lacks) == 0 {
		return
	}
	x.find(Broken, s.Model, "the user may not "+strings.Join(lacks, ", ")+" it; needed by "+some(need.by), granting(lacks, groups))
}

// granting says which groups give rights that are missing: those that give all
// of them, else those that give each.
func granting(rights []string, groups [][]string) string {
	all := slices.DeleteFunc(slices.Clone(groups[0]), func(g string) bool {
		return slices.ContainsFunc(groups[1:], func(other []string) bool { return !slices.Contains(other, g) })
	})
	if len(all) > 0 {
		return "give the user one of the groups " + strings.Join(all, ", ")
	}
	var parts []string
	for i, right := range rights {
		if len(groups[i]) > 0 {
			parts = append(parts, "to "+right+" it one of "+strings.Join(groups[i], ", "))
		}
	}
	if len(parts) == 0 {
		return "give the user a group that has these rights"
	}
	return "give the user groups: " + strings.Join(parts, "; ")
}

// byPolicy looks up what the addon lets us do: it does not go by the user's rights.
func (x *examiner) byPolicy(s *ModelState, need *modelNeed) {
	if !need.Line && (need.Write || need.Create) {
		policy, _ := x.policies[s.Model].(map[string]any)
		right := no
		if policy["write"] == true {
			right = yes
		} else {
			fix := "in Odoo under Vagus / What Vagus may do add the model, with May write"
			if strings.HasPrefix(s.Model, "ir.") {
				fix = "the addon never opens Odoo's own models (ir.*): leave the mapping out, or apply its feed through a target with addon: off"
			}
			x.find(Broken, s.Model, "no policy of the addon lets Vagus create and write it (odoo.not_allowed)", fix)
		}
		if need.Write {
			s.Write = right
		}
		if need.Create {
			s.Create = right
		}
	}
	if len(need.methods) == 0 || s.Model == mergeWizard {
		return
	}
	policy, _ := x.policies[s.Model].(map[string]any)
	open, _ := policy["methods"].([]any)
	var closed []string
	for _, m := range slices.Sorted(maps.Keys(need.methods)) {
		if !slices.Contains(open, any(m)) {
			closed = append(closed, m)
		}
	}
	s.Calls = yes
	if len(closed) > 0 {
		s.Calls = no
		x.find(Broken, s.Model, "no policy of the addon lets Vagus call "+strings.Join(closed, ", ")+" (odoo.not_allowed)", "in Odoo under Vagus / What Vagus may do add the methods to the model's May call")
	}
}
