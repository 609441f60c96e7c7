package mapping

import "github.com/vagus-health/vagus/broker"

// The classes of verdicts other than Apply.
const (
	ClassNotMine  = "mapping.not_mine" // source.when does not take the message
	ClassNothing  = "mapping.nothing"  // every operation's when or list left it out
	ClassGuard    = "mapping.guard"    // a guard said so
	ClassRequired = "mapping.required" // a required value is absent or null
	ClassIdentity = "mapping.identity" // match or ordering has no value
	ClassConvert  = "mapping.convert"  // a value does not fit its field
	ClassTable    = "mapping.table"    // a code table has no such code
	ClassCEL      = "mapping.cel"      // an expression failed
	ClassOp       = "mapping.op"       // op or on names an operation that did not run
	ClassLimit    = "mapping.limit"    // too many repetitions, operations or bytes
	ClassEgress   = "mapping.egress"   // a label that may not leave reached an operation
	ClassInternal = "mapping.internal" // a fault of this package, caught
)

// A fault ends a rule, and the unit unless its policy is to skip.
type fault struct {
	class  string
	text   string // safe
	detail string // with values; "" when text says all
	policy string // on_error of the rule that failed; "" is the mapping's
	rule   place  // that failed
}

// of notes the rule that failed: the innermost one counts.
func (f *fault) of(at place) *fault {
	if f.rule.line == 0 {
		f.rule = at
	}
	return f
}

// in puts the place before a fault's texts.
func (f *fault) in(place string) *fault {
	f.text = place + ": " + f.text
	if f.detail != "" {
		f.detail = place + ": " + f.detail
	}
	return f
}

func (x *rule) skips(f *fault) bool   { return f.skipped(x.onError) }
func (x *rule) stops(f *fault) *fault { return f.under(x.onError) }

// skipped says whether on_error leaves a fault out with a warning. A limit is
// one of the whole unit, and what may not leave is nothing to be lenient of.
func (f *fault) skipped(onError string) bool {
	return onError == "skip" && f.policy == "" && f.class != ClassLimit && f.class != ClassEgress
}

// under notes the policy of what failed: the innermost one counts.
func (f *fault) under(onError string) *fault {
	if f.policy == "" && onError != "skip" {
		f.policy = onError
	}
	return f
}

// verdict is what a fault that nothing skipped makes of the unit.
func (r *run) verdict(f *fault) broker.Verdict {
	switch {
	case f.class == ClassEgress:
		return broker.DeadLetter
	case f.policy != "":
		return broker.Verdict(f.policy)
	}
	return r.m.onError
}

// warn records what a rule left out.
func (r *run) warn(rule *rule, f *fault) {
	i := rule.at.issue(Warning, f.class, "%s", f.text)
	i.source = ""
	i.Detail = broker.PHI(f.text)
	if f.detail != "" {
		i.Detail = broker.PHI(f.detail)
	}
	r.warnings = append(r.warnings, i)
}
