package mapping

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/vagus-health/vagus/internal/tree"
)

// itIndex is the input that `it` means: the value in hand.
const itIndex = -1

// A celError is a fault of an expression whose text has no value of a message.
type celError string

func (e celError) Error() string { return string(e) }

func celErr(format string, args ...any) ref.Val {
	return types.WrapErr(celError(fmt.Sprintf(format, args...)))
}

// An activation answers the names of one expression. There is one for each
// run: expressions do not nest.
type activation struct {
	run    *run
	prog   *program
	inputs []datum
	it     datum
}

// Parent implements cel.Activation: there is none.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	for i := range a.prog.vars {
		v := &a.prog.vars[i]
		if v.name != name {
			continue
		}
		switch v.kind {
		case varLet:
			a.run.taint |= a.run.letTaint[v.index]
			if t := a.run.trace; t != nil {
				t.value(v.name, a.run.lets[v.index])
			}
			return a.run.lets[v.index].celValue(v.typ), true
		case varInput:
			if v.index == itIndex {
				return a.it.celValue(v.typ), true
			}
			return a.inputs[v.index].celValue(v.typ), true
		}
		return a.run.read(v.kind, v.path, a.run.frames[v.path.depth], a.prog), true
	}
	return nil, false
}

// celValue is a datum as CEL sees it: what is missing is empty, and never an
// error or a null.
func (d *datum) celValue(t *cel.Type) ref.Val {
	if d.cel != nil {
		return d.cel
	}
	if d.state == tree.Value || t.Kind() == types.StringKind {
		return celString(d.text, celText)
	}
	switch t.Kind() {
	case types.BoolKind:
		return types.False
	case types.IntKind:
		return types.Int(0)
	case types.TimestampKind:
		return celErr("a time is absent: ask valued() first")
	}
	return decimal{new(big.Rat)}
}

func celString(s string, limit int) ref.Val {
	if len(s) > limit && utf8.RuneCountInString(s) > limit {
		return celErr("a value has more than %d characters, which is too long for an expression", limit)
	}
	return types.String(s)
}

// read answers a path function from a start node.
func (r *run) read(kind variableKind, p *boundPath, start *tree.Node, prog *program) ref.Val {
	r.taint |= p.labels
	if r.trace != nil && !p.list {
		r.trace.leaf(p, p.node(start))
	}
	switch kind {
	case varTexts, varSum, varNodes:
		return r.readList(kind, p, start, prog)
	}
	n := p.node(start)
	f := p.leaf(n)
	if p.whole && n != nil {
		f = found{state: n.State}
	}
	switch kind {
	case varText:
		return celString(f.text, celText)
	case varValued:
		return types.Bool(f.state == tree.Value)
	case varIsNull:
		return types.Bool(f.state == tree.Null)
	case varNum:
		if f.state != tree.Value {
			return decimal{new(big.Rat)}
		}
		return numberAt(p, f.text)
	}
	if f.state != tree.Value {
		return celErr("%s is absent: ask valued() first", p.text)
	}
	m, err := p.layout.moment(f.text)
	if err == nil {
		if t, err := m.instant(r.m.zone, toMinute); err == nil {
			return types.Timestamp{Time: t}
		}
	}
	return celErr("%s is not a point in time", p.text)
}

func numberAt(p *boundPath, text string) ref.Val {
	n, err := parseDecimal(text)
	if err != nil {
		return celErr("%s %v", p.text, err)
	}
	return decimal{n}
}

func (r *run) readList(kind variableKind, p *boundPath, start *tree.Node, prog *program) ref.Val {
	nodes, more := p.nodes(start)
	if more {
		return celErr("%s repeats more than %d times", p.text, maxRepetitions)
	}
	if kind != varSum && len(nodes) > celList {
		return celErr("%s repeats more than %d times, which is too long for a list of an expression", p.text, celList)
	}
	var items []ref.Val
	var sum ref.Val = decimal{new(big.Rat)}
	for _, n := range nodes {
		if kind == varNodes {
			if n.State == tree.Value {
				items = append(items, nodeItem{node: n, run: r, prog: prog})
			}
			continue
		}
		if r.trace != nil {
			r.trace.leaf(p, n)
		}
		f := p.leaf(n)
		if f.state != tree.Value {
			continue
		}
		if kind == varTexts {
			items = append(items, celString(f.text, celItem))
			continue
		}
		d, ok := sum.(decimal)
		n := numberAt(p, f.text)
		if !ok || types.IsError(n) {
			return n
		}
		sum = d.Add(n)
	}
	if kind == varSum {
		return sum
	}
	for _, i := range items {
		if types.IsError(i) {
			return i
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items)
}

// eval runs an expression over the rule's inputs and the value in hand.
func (r *run) eval(p *program, inputs []datum, it datum) (ref.Val, *fault) {
	r.act = activation{run: r, prog: p, inputs: inputs, it: it}
	var out ref.Val
	var err error
	if p.loops {
		ctx, cancel := context.WithDeadline(r.ctx, r.until) // a timer is made for those only that need one
		out, _, err = p.prg.ContextEval(ctx, &r.act)
		cancel()
	} else {
		out, _, err = p.prg.Eval(&r.act)
	}
	if err == nil {
		return out, nil
	}
	if f := r.stopped(); f != nil {
		return nil, f
	}
	var safe celError
	if errors.As(err, &safe) {
		return nil, &fault{class: ClassCEL, text: string(safe)}
	}
	// CEL's own messages quote values: int('x') says what x was.
	return nil, &fault{class: ClassCEL, text: "the expression failed", detail: "the expression failed: " + err.Error()}
}
