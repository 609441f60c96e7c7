package mapping

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// read1 reads one input.
func (r *run) read1(in *input) datum {
	var d datum
	if in.path == nil {
		r.taint |= r.letTaint[in.let]
		d = r.lets[in.let]
	} else {
		r.taint |= in.path.labels
		f := in.path.one(r.frames)
		d = datum{state: f.state, text: f.text, kind: in.path.kind, notation: in.path.layout}
	}
	if r.trace != nil {
		r.trace.input(r, in, d)
	}
	return d
}

// let computes a named value. Where its rule fails the value is absent.
func (r *run) let(x *let) (datum, *fault) {
	r.taint, r.left = 0, ""
	d, f := r.source(x.rule)
	r.letTaint = append(r.letTaint, r.taint&^x.rule.drop|x.rule.gain)
	if f == nil && d.state == tree.Absent && x.rule.fallback != nil {
		d, r.left = x.rule.fallback.datum(), OutcomeDefault
	}
	if f == nil && x.rule.required && d.state != tree.Value {
		f = x.rule.requiredFault(d.state)
	}
	if f != nil {
		return datum{}, f.in("let " + x.name)
	}
	return d, nil
}

func (c *constant) datum() datum {
	d := datum{state: tree.Value}
	switch v := c.value.(type) {
	case bool:
		d.cel = types.Bool(v)
	case string:
		d.text = v
	case fmt.Stringer: // json.Number
		d.cel = decimalOf(v.String())
	}
	if c.null {
		d.state = tree.Null
	}
	return d
}

func (x *rule) requiredFault(s tree.State) *fault {
	what, verb, state := "it", "is", "absent"
	if len(x.inputs) > 0 {
		names := make([]string, len(x.inputs))
		for i := range x.inputs {
			names[i] = x.inputs[i].text
		}
		if what = strings.Join(names, " and "); len(names) > 1 {
			verb = "are"
		}
	}
	if s == tree.Null {
		state = "null"
	}
	return &fault{class: ClassRequired, text: fmt.Sprintf("required, but %s %s %s", what, verb, state)}
}

// field runs one rule of an operation and puts its value where it goes.
func (r *run) field(x *rule, out *broker.Operation) *fault {
	r.taint = 0
	if x.each != nil {
		return r.manyField(x, out)
	}
	v, state, f := r.value(x)
	if f != nil {
		return f
	}
	if state == tree.Value || state == tree.Null {
		if f := r.leaves(x.drop); f != nil {
			return f
		}
	}
	switch {
	case state != tree.Value && x.required && r.left != OutcomeWhenFalse:
		return x.requiredFault(state)
	case state == tree.Value && x.onCreate:
		setOnCreate(out, x.field, v)
	case state == tree.Value:
		out.Vals[x.field] = v
	case state == tree.Null && !x.keepNull && !x.onCreate:
		out.Vals[x.field] = nil
	case state == tree.Absent && x.fallback != nil && r.left == "":
		setOnCreate(out, x.field, x.fallback.value)
	}
	return nil
}

func setOnCreate(out *broker.Operation, field string, v any) {
	if out.OnCreate == nil {
		out.OnCreate = broker.Values{}
	}
	out.OnCreate[field] = v
}

// value runs a rule to the value that its field gets.
func (r *run) value(x *rule) (any, tree.State, *fault) {
	r.left = ""
	if yes, f := r.when(x); !yes || f != nil {
		r.left = OutcomeWhenFalse
		return nil, tree.Absent, f
	}
	if x.op != nil {
		name, f := r.earlier(x.op)
		return map[string]any{"$op": name}, tree.Value, f
	}
	if x.constant != nil {
		if x.constant.null {
			return nil, tree.Null, nil
		}
		return x.constant.value, tree.Value, nil
	}
	d, f := r.source(x)
	if f != nil || d.state != tree.Value {
		return nil, d.state, f
	}
	if x.ref != nil {
		return r.reference(x, d)
	}
	v, err := x.conv.convert(d)
	if err != nil {
		return nil, tree.Absent, x.convertFault(d, err)
	}
	if r.trace != nil {
		if how := x.howConverted(); how != "" {
			r.trace.step(how, v)
		}
	}
	if s, ok := v.(string); ok {
		if s == "" {
			return nil, tree.Absent, nil
		}
		if f := r.count(s); f != nil {
			return nil, tree.Absent, f
		}
	}
	return v, tree.Value, nil
}

func (x *rule) convertFault(d datum, err error) *fault {
	what := "the value"
	if len(x.inputs) == 1 && x.cel == nil {
		what = x.inputs[0].text
	}
	text, _ := d.asText()
	return &fault{class: ClassConvert, text: what + " " + err.Error(), detail: fmt.Sprintf("%s %q %v", what, text, err)}
}

// count bounds what a unit may hold.
func (r *run) count(s string) *fault {
	if r.bytes += len(s); len(s) > maxTextBytes || r.bytes > maxOutputBytes {
		return &fault{class: ClassLimit, text: fmt.Sprintf("a value has at most %d bytes, and a unit %d", maxTextBytes, maxOutputBytes)}
	}
	return nil
}

// when evaluates a rule's condition over its raw inputs. What it reads decides,
// and does not leave: its labels do not count.
func (r *run) when(x *rule) (bool, *fault) {
	if x.when == nil {
		return true, nil
	}
	taint := r.taint
	yes, f := r.test(x.when, r.inputs(x))
	r.taint = taint
	if f != nil {
		f = f.in("when")
	}
	return yes, f
}

// inputs reads all inputs of a rule into the run's buffer.
func (r *run) inputs(x *rule) []datum {
	r.inBuf = r.inBuf[:0]
	for i := range x.inputs {
		r.inBuf = append(r.inBuf, r.read1(&x.inputs[i]))
	}
	return r.inBuf
}

// source runs a rule up to the conversion: inputs, table, expression. The
// expression runs only when there is a value for it; one without inputs always
// does. An empty text is absent.
func (r *run) source(x *rule) (datum, *fault) {
	switch {
	case x.constant != nil:
		return x.constant.datum(), nil
	case x.text != nil:
		s, missing := x.text.expand(r, nil)
		if missing != "" {
			return datum{}, nil
		}
		return datum{state: tree.Value, text: s}, nil
	}
	in := r.inputs(x)
	d := first(in)
	if len(in) == 0 {
		d.state = tree.Value
	}
	if d.state != tree.Value {
		return datum{state: d.state}, nil
	}
	if x.table != nil {
		if f := r.lookup(x, &d); f != nil || d.state != tree.Value {
			return d, f
		}
	}
	if x.cel != nil {
		out, f := r.eval(x.cel, in, d)
		if f != nil {
			return datum{}, f
		}
		d = datum{state: tree.Value, cel: out}
		if s, ok := out.(types.String); ok {
			d = datum{state: tree.Value, text: string(s)}
		}
		if r.trace != nil {
			r.trace.step(howCEL(x.cel), d)
		}
	}
	if d.cel == nil && d.text == "" && (x.cel != nil || len(in) > 0) && !x.named {
		return datum{}, nil
	}
	return d, nil
}

// first is the first input that has a value; without one, null when one of
// them is null.
func first(in []datum) datum {
	var out datum
	for _, d := range in {
		if d.state == tree.Value {
			return d
		}
		if d.state == tree.Null {
			out.state = tree.Null
		}
	}
	return out
}

// lookup puts a code through the rule's table.
func (r *run) lookup(x *rule, d *datum) *fault {
	code, err := d.asText()
	if err != nil {
		return &fault{class: ClassTable, text: "table " + x.table.name + ": the value " + err.Error()}
	}
	result, ok := x.table.lookup(code)
	if ok {
		*d = datum{state: tree.Value, text: result}
		if result == "" {
			*d = datum{}
		}
		if r.trace != nil {
			r.trace.step(howTable(x.table), result)
		}
		return nil
	}
	f := &fault{class: ClassTable, text: fmt.Sprintf("table %s has no such code", x.table.name), detail: fmt.Sprintf("table %s has no code %q", x.table.name, code)}
	if len(x.inputs) == 1 {
		f = f.in(x.inputs[0].text)
	}
	switch x.onMiss {
	case "keep":
		return nil
	case "skip", "default":
		if x.onMiss == "skip" {
			r.left = OutcomeSkipped
		}
		*d = datum{}
		r.warn(x, f.in(x.owner+"."+x.field))
		return nil
	}
	return f
}

// reference builds the symbolic form of the record that the keys find. A key
// without a value finds nothing: the rule is absent.
func (r *run) reference(x *rule, d datum) (any, tree.State, *fault) {
	by := make(map[string]any, len(x.ref.by))
	for i := range x.ref.by {
		k := &x.ref.by[i]
		kd := d
		if k.cel != nil {
			out, f := r.eval(k.cel, r.inBuf, d)
			if f != nil {
				return nil, tree.Absent, f
			}
			kd = datum{state: tree.Value, cel: out}
		} else if k.input != itIndex {
			kd = r.inBuf[k.input]
		}
		v, f := r.keyValue(kd)
		if f != nil || v == nil {
			return nil, tree.Absent, f
		}
		by[k.field] = v
	}
	out := map[string]any{"$ref": x.ref.model, "by": by}
	if x.ref.onNone != "" {
		out["on_none"] = x.ref.onNone
	}
	if x.ref.onMany != "" {
		out["on_many"] = x.ref.onMany
	}
	if r.trace != nil {
		r.trace.step(x.ref.how(), out)
	}
	return out, tree.Value, nil
}

// keyValue is a datum as a search key; nil when it is missing.
func (r *run) keyValue(d datum) (any, *fault) {
	switch c := d.cel.(type) {
	case types.Bool:
		return bool(c), nil
	case types.Int:
		return json.Number(strconv.FormatInt(int64(c), 10)), nil
	}
	s, err := d.asText()
	if err != nil {
		return nil, &fault{class: ClassConvert, text: "the key " + err.Error()}
	}
	if d.state != tree.Value || s == "" {
		return nil, nil
	}
	return s, r.count(s)
}

// manyField runs a many2many rule: one reference for each item.
func (r *run) manyField(x *rule, out *broker.Operation) *fault {
	items, more := x.each.nodes(r.frames[x.each.depth])
	if more {
		return &fault{class: ClassLimit, text: fmt.Sprintf("%s repeats more than %d times", x.each.text, maxRepetitions)}
	}
	refs := []any{}
	null := false
	for _, item := range items {
		if item.State == tree.Absent {
			continue
		}
		r.frames = append(r.frames, item)
		v, state, f := r.value(x)
		r.frames = r.frames[:len(r.frames)-1]
		if f != nil {
			if x.onError == "skip" && f.class != ClassLimit {
				r.warn(x, f.in(x.owner+"."+x.field))
				continue
			}
			return f
		}
		null = null || state == tree.Null
		if state == tree.Value {
			refs = append(refs, v)
		}
	}
	if f := r.leaves(x.drop); f != nil {
		return f
	}
	switch {
	case len(refs) == 0 && x.required:
		return &fault{class: ClassRequired, text: "required, but " + x.each.text + " is absent"}
	case len(refs) > 0, null && x.mode == "$replace" && !x.keepNull:
		if v := map[string]any{x.mode: refs}; x.onCreate {
			setOnCreate(out, x.field, v)
		} else {
			out.Vals[x.field] = v
		}
	}
	return nil
}
