package mapping

import (
	"encoding/json"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
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
	r.taint = 0
	r.left, r.missed = "", false
	var d datum
	yes, f := r.when(x.rule)
	if yes && f == nil {
		d, f = r.source(x.rule)
	} else {
		r.left = OutcomeWhenFalse
	}
	if f == nil && d.state == tree.Value && x.rule.conv.field != nil {
		d, f = r.typed(x.rule, d)
	}
	r.letTaint = append(r.letTaint, r.taint&^x.rule.drop|x.rule.gain)
	if f == nil && d.state == tree.Absent && r.left == "" && x.rule.fallback != nil {
		d, r.left = x.rule.fallback.datum(), OutcomeDefault
		if n, ok := d.cel.(decimal); ok && x.typ.IsExactType(cel.IntType) {
			d.cel = types.Int(n.r.Num().Int64())
		}
	}
	if f == nil && x.rule.required && d.state != tree.Value && r.left != OutcomeWhenFalse {
		f = r.requiredFault(x.rule, d.state)
	}
	if f != nil {
		return datum{}, f.in("let " + x.name).of(x.rule.at)
	}
	return d, nil
}

// typed gives a let the type that as: says.
func (r *run) typed(x *rule, d datum) (datum, *fault) {
	v, err := x.conv.convert(d)
	if err != nil {
		return datum{}, x.convertFault(d, err)
	}
	out := datum{state: tree.Value}
	switch v := v.(type) {
	case bool:
		out.cel = types.Bool(v)
	case json.Number:
		out.cel = decimalOf(v.String())
		if n, err := v.Int64(); err == nil && x.conv.field.Type == "integer" {
			out.cel = types.Int(n)
		}
	case string:
		out.text = v
		if x.conv.field.Type == "date" {
			out.kind = tree.Date
		}
		if t, err := time.Parse(odooDatetime, v); err == nil && x.conv.field.Type == "datetime" {
			out = datum{state: tree.Value, cel: types.Timestamp{Time: t}}
		}
	}
	if out.cel == nil && out.text == "" {
		return datum{}, nil
	}
	return out, nil
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

// requiredFault says what a required value lacks: its inputs, or, where they
// have values, something that comes of them.
func (r *run) requiredFault(x *rule, s tree.State) *fault {
	what, verb, state := "it", "is", "absent"
	if len(x.inputs) > 0 {
		names := make([]string, len(x.inputs))
		for i := range x.inputs {
			names[i] = x.inputs[i].text
		}
		if what = strings.Join(names, " and "); len(names) > 1 {
			verb = "are"
		}
		if s == tree.Absent && first(r.inBuf).state == tree.Value {
			return &fault{class: ClassRequired, text: "required, but nothing comes of " + what}
		}
	}
	if s == tree.Null {
		state = "null"
	}
	return &fault{class: ClassRequired, text: fmt.Sprintf("required, but %s %s %s", what, verb, state)}
}

// A sink takes the values of an operation, or of a line.
type sink struct {
	do                       string // of the operation
	vals, onCreate, onUpdate broker.Values
}

// create takes what only a new record gets: where every record is new there is
// no difference.
func (s *sink) create(field string, v any) {
	if s.do == "create" {
		s.vals[field] = v
		return
	}
	if s.onCreate == nil {
		s.onCreate = broker.Values{}
	}
	s.onCreate[field] = v
}

func (s *sink) update(field string, v any) {
	if s.do == "update" {
		s.vals[field] = v
		return
	}
	if s.onUpdate == nil {
		s.onUpdate = broker.Values{}
	}
	s.onUpdate[field] = v
}

// put takes a value where the rule says that it goes; nil clears the field.
func (s *sink) put(x *rule, v any) {
	switch {
	case v == nil && (x.onCreate || s.do == "create"): // nothing to clear
	case x.onCreate:
		s.create(x.field, v)
	case x.onUpdate:
		s.update(x.field, v)
	default:
		s.vals[x.field] = v
	}
}

// field runs one rule and puts its value where it goes.
func (r *run) field(x *rule, out *sink) *fault {
	r.taint, r.left, r.missed = 0, "", false
	if f := r.stopped(); f != nil {
		return f
	}
	if x.blocks != nil {
		return r.many(x, out)
	}
	v, state, f := r.value(x)
	if f != nil {
		return f
	}
	if state == tree.Absent && x.fallback != nil && r.left == "" {
		v, state, f = r.fallback(x)
		if f == nil && state == tree.Value {
			f = r.leaves(x.drop)
		}
		if f == nil && state == tree.Value {
			r.left = OutcomeDefault
			if out.do != "update" {
				out.create(x.field, v)
			} else if r.missed { // an update makes nothing: the code has a default, not the record
				out.vals[x.field] = v
			}
		}
		return f
	}
	if state != tree.Absent {
		if f := r.leaves(x.drop); f != nil {
			return f
		}
	}
	switch {
	case state != tree.Value && x.required && r.left != OutcomeWhenFalse:
		return r.requiredFault(x, state)
	case state == tree.Value:
		out.put(x, v)
	case state == tree.Null && !x.keepNull:
		out.put(x, nil)
	}
	return nil
}

// fallback is a rule's default: the value, or the record that it finds.
func (r *run) fallback(x *rule) (any, tree.State, *fault) {
	if x.ref == nil {
		return x.fallback.value, tree.Value, nil
	}
	return r.reference(x, x.fallback.datum())
}

// value runs a rule to the value that its field gets.
func (r *run) value(x *rule) (any, tree.State, *fault) {
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
	switch {
	case x.ref != nil:
		return r.reference(x, d)
	case x.conv.field == nil:
		return r.plain(d)
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

// plain is the value of an argument that has no type but its own.
func (r *run) plain(d datum) (any, tree.State, *fault) {
	switch c := d.cel.(type) {
	case types.Bool:
		return bool(c), tree.Value, nil
	case types.Int:
		return json.Number(strconv.FormatInt(int64(c), 10)), tree.Value, nil
	}
	s, err := d.asText()
	if err != nil {
		return nil, tree.Absent, &fault{class: ClassConvert, text: "the value " + err.Error()}
	}
	if _, number := d.cel.(decimal); number {
		return json.Number(s), tree.Value, nil
	}
	return s, tree.Value, r.count(s)
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
// does. A blank text is absent.
func (r *run) source(x *rule) (datum, *fault) {
	switch {
	case x.constant != nil:
		return x.constant.datum(), nil
	case x.text != nil:
		var escape func(string) string
		if x.conv.field != nil && x.conv.field.Type == "html" {
			escape = html.EscapeString // the markup around it is the author's own
		}
		s, missing := x.text.expand(r, escape)
		if missing != "" {
			return datum{}, nil
		}
		return datum{state: tree.Value, text: s, markup: escape != nil}, nil
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
	if d.cel == nil && isBlank(d.text) && (x.cel != nil || len(in) > 0 && !x.named) {
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
		if isBlank(result) {
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
		r.missed = x.onMiss == "default"
		*d = datum{}
		r.warn(x, f.in(x.id()))
		return nil
	}
	return f
}
