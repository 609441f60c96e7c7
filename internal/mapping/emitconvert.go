package mapping

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/vagus-health/vagus/internal/tree"
)

// kind is what is written: that of the element, or of `as:`.
func (o *outElement) kind() tree.Kind {
	if o.as != nil {
		switch o.as.kind {
		case "date":
			return tree.Date
		case "datetime":
			return tree.DateTime
		case "decimal", "int", "n2":
			return tree.Number
		case "bool":
			return tree.Bool
		case "text":
			return tree.Text
		}
	}
	return o.leaf.Kind
}

// decimals is the number of implied decimals; ok is false where they are
// written. X12's types N0 to N9 imply them (X12.6 section 3.4.1).
func (o *outElement) decimals() (n int, ok bool) {
	if o.as != nil && o.as.kind == "n2" {
		return 2, true
	}
	if name := o.leaf.Name; o.leaf.Kind == tree.Number && len(name) == 2 && name[0] == 'N' && name[1] >= '0' && name[1] <= '9' {
		return int(name[1] - '0'), true
	}
	return 0, o.as != nil && o.as.kind == "int"
}

// accepts checks what a path leads to; what it says completes "it gets X, and
// X is …".
func (o *outElement) accepts(kind tree.Kind) error {
	ok := []tree.Kind{tree.Text, tree.Code}
	switch o.kind() {
	case tree.Number:
		ok = append(ok, tree.Number)
	case tree.Date, tree.DateTime: // a day stays one: no time is made up
		ok = []tree.Kind{tree.Date, tree.DateTime}
	case tree.Time:
		ok = []tree.Kind{tree.DateTime}
	case tree.Bool:
		ok = []tree.Kind{tree.Bool}
	default:
		ok = append(ok, tree.Number)
	}
	if slices.Contains(ok, kind) {
		return nil
	}
	hint := map[tree.Kind]string{tree.Bool: "; add as: {bool: {true: Y, false: N}}, or use cel", tree.Date: "; add as: date", tree.DateTime: "; add as: date"}[kind]
	return errors.New(kindName(kind) + hint)
}

// acceptsCEL checks an expression's type.
func (o *outElement) acceptsCEL(t *cel.Type) error {
	ok := []*cel.Type{cel.StringType}
	switch o.kind() {
	case tree.Number:
		ok = append(ok, cel.IntType, decimalType)
	case tree.Date, tree.DateTime, tree.Time:
		ok = append(ok, cel.TimestampType)
	case tree.Bool:
		ok = []*cel.Type{cel.BoolType}
	default:
		ok = append(ok, cel.IntType, decimalType)
	}
	if slices.ContainsFunc(ok, t.IsExactType) {
		return nil
	}
	return fmt.Errorf("%s from the expression", celType(t))
}

// text writes a value as the element has it; "" is absent. zone is that of
// dates and times; nil is UTC. Its error completes "origin …" and has no value
// in it.
func (o *outElement) text(d datum, zone *time.Location) (string, error) {
	if s, ok := d.cel.(types.String); ok {
		d.text, d.cel = string(s), nil
	}
	if d.cel == nil && d.text == "" {
		return "", nil
	}
	s, err := o.written(d, zone)
	if err != nil {
		return "", err
	}
	if n := o.length(s); o.elem.Max > 0 && n > o.elem.Max {
		if o.leaf.Kind == tree.Number { // nothing can be cut of an amount
			return "", fmt.Errorf("has more than the %d digits that %s may have", o.elem.Max, o.rule.id())
		}
		return "", fmt.Errorf("has more than the %d characters that %s may have: cut it with cel: it.first(%d)", o.elem.Max, o.rule.id(), o.elem.Max)
	}
	return s, nil
}

// length counts characters; sign and point of a number do not count (X12.6
// section 3.4.1), and no other format bounds numbers.
func (o *outElement) length(s string) int {
	if o.leaf.Kind == tree.Number {
		s = strings.NewReplacer("-", "", ".", "").Replace(s)
	}
	return utf8.RuneCountInString(s)
}

func (o *outElement) written(d datum, zone *time.Location) (string, error) {
	switch o.kind() {
	case tree.Number:
		return o.number(d)
	case tree.Date, tree.DateTime, tree.Time:
		return o.moment(d, zone)
	case tree.Bool:
		return o.boolean(d)
	}
	if _, isTime := d.cel.(types.Timestamp); isTime {
		return "", errors.New("is a time: add as: datetime")
	}
	return d.asText()
}

// number writes a number. One that is text already keeps its digits: "12.50"
// stays so.
func (o *outElement) number(d datum) (string, error) {
	text, err := d.asText()
	if err != nil {
		return "", errors.New("is not a number")
	}
	n, err := parseDecimal(text)
	if err != nil {
		return "", err
	}
	places, implied := o.decimals()
	if !implied {
		return strings.TrimPrefix(text, "+"), nil
	}
	n = new(big.Rat).Mul(n, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)))
	switch {
	case !n.IsInt() && places == 0:
		return "", errors.New("is not a whole number")
	case !n.IsInt():
		return "", fmt.Errorf("has more than %d decimals", places)
	}
	return n.Num().String(), nil
}

func (o *outElement) boolean(d datum) (string, error) {
	b, ok := d.cel.(types.Bool)
	if !ok && d.text != "true" && d.text != "false" {
		return "", errors.New("is not a boolean")
	}
	yes := bool(b) || d.text == "true"
	if o.as != nil {
		if given := map[bool][]string{true: o.as.yes, false: o.as.no}[yes]; len(given) > 0 {
			return given[0], nil
		} else if len(o.as.yes)+len(o.as.no) > 0 {
			return "", nil // nothing is said of this one
		}
	}
	return fmt.Sprint(yes), nil
}

// moment writes a date or time in the format's own notation, or in that of
// `as:`. A day stays the day that it is; a point in time is that of the
// mapping's zone.
func (o *outElement) moment(d datum, zone *time.Location) (string, error) {
	if zone == nil {
		zone = time.UTC
	}
	m := moment{prec: toSecond, offset: true}
	if t, ok := d.cel.(types.Timestamp); ok {
		m.t = t.Time
	} else {
		var err error
		if m, err = d.notation.moment(d.text); err != nil {
			return "", err
		}
	}
	t := m.t
	if m.offset {
		t = t.In(zone)
	}
	least := toDay
	goes := map[bool]string{true: "20060102", false: time.DateOnly}[o.basic]
	switch kind := o.kind(); {
	case o.as != nil && o.as.layout != nil:
		goes, least = o.as.layout.goes, o.as.layout.prec
	case kind == tree.Time:
		goes, least = map[bool]string{true: "1504", false: time.TimeOnly}[o.basic], toMinute
	case kind == tree.DateTime && m.prec > toDay && o.basic:
		goes = "20060102150405"
		if o.zone {
			goes += "-0700"
		}
	case kind == tree.DateTime && m.prec > toDay:
		goes = time.RFC3339
	case o.basic && o.elem.Max == 6:
		goes = "060102" // X12's DT before 003070, which ISA-09 still has
	}
	if m.prec < least {
		return "", fmt.Errorf("is precise to the %s only", m.prec)
	}
	return t.Format(goes), nil
}
