package mapping

import (
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// What a number reveals may depend on the code beside it (tree.Coding). A
// predicate that chooses by that code decides it when the file loads:
// PID-3[5=SS].1 is a national identifier, PID-3[5=MR].1 is not, and PID-3[first].1
// may be one.

// A coded is one coding of an element on a path, as its predicates decide it.
type coded struct {
	*tree.Coding
	chosen bool // it has the labels
	other  bool // it has not
}

// codings are those of an element that a step leads to; nil is a step without
// selectors.
func codings(el *tree.Element, s *step) []coded {
	if len(el.Codings) == 0 {
		return nil
	}
	out := make([]coded, len(el.Codings))
	for i := range el.Codings {
		c := coded{Coding: &el.Codings[i]}
		for n := 0; s != nil && n < len(s.sels); n++ {
			sel := &s.sels[n]
			if sel.kind != selectWhere || sel.not {
				continue
			}
			if values, asks := c.By[sel.path.names()]; asks {
				means := slices.ContainsFunc(sel.values, func(v string) bool { return slices.ContainsFunc(values, func(of string) bool { return codeIs(v, of) }) })
				c.chosen, c.other = c.chosen || means, c.other || !means
			}
		}
		c.other = c.other && !c.chosen // where two predicates disagree it may be one
		out[i] = c
	}
	return out
}

// codeIs says whether a code is one of those that a value of a coding means.
func codeIs(code, value string) bool {
	head, prefix := strings.CutSuffix(value, "*")
	return code == value || prefix && strings.HasPrefix(code, head)
}

// names are the steps of a bound path.
func (p *boundPath) names() string {
	names := make([]string, len(p.steps))
	for i := range p.steps {
		names[i] = p.steps[i].name
	}
	return strings.Join(names, ".")
}

// ruledOut are the labels that an element has not because its code is another.
func ruledOut(of []coded) (out tree.Labels) {
	for _, c := range of {
		if c.other {
			out |= c.Labels
		}
	}
	return out
}

// leftBehind are the labels that a path had for a part that it does not go to.
func leftBehind(of []coded, to *tree.Element) (out tree.Labels) {
	for _, c := range of {
		if c.Part != to.Name {
			out |= c.Labels
		}
	}
	return out
}

// codedLabels are the labels of a part.
func codedLabels(of []coded, part *tree.Element) tree.Labels {
	out := part.Labels
	for _, c := range of {
		switch {
		case c.Part != part.Name:
		case c.chosen:
			out |= c.Labels
		case c.other:
			out &^= c.Labels
		}
	}
	return out
}

// undecided is the predicate that decides what a part reveals where no one
// does; before is that of the steps before it.
func undecided(of []coded, part *tree.Element, before string) string {
	for _, c := range of {
		if c.Part == part.Name && !c.chosen && !c.other {
			return "[" + strings.Join(slices.Sorted(maps.Keys(c.By)), "=…] or [") + "=…]"
		}
	}
	return before
}
