package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math/big"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/vagus-health/vagus/internal/tree"
)

// A datum is a value on its way through a rule: a text with the kind that its
// source gives it, or what an expression returned.
type datum struct {
	state    tree.State
	text     string
	cel      ref.Val // of an expression or a typed let; nil for a text
	kind     tree.Kind
	notation *layout // of a date as its source writes it
	markup   bool    // HTML that the mapping itself put together
}

// A converter turns data into the values of one Odoo field.
type converter struct {
	field *odooField
	as    *asRule
	zone  *time.Location
}

// An asRule is `as:`, for what the two types can not say.
type asRule struct {
	kind   string  // text, date, datetime, decimal, int, bool, n2
	layout *layout // of date and datetime
	yes    []string
	no     []string
}

// accepts checks the source's kind against the field's type when the file
// loads; what it says completes the sentence "model.field is …: ".
func (v *converter) accepts(kind tree.Kind) error {
	switch v.field.Type {
	case "date", "datetime":
		if v.as == nil && kind != tree.Date && kind != tree.DateTime {
			return fmt.Errorf("%s, not a date; add as: {%s: FORMAT}", kindName(kind), v.field.Type)
		}
		if v.as == nil && v.field.Type == "datetime" && kind == tree.Date {
			return errors.New("a date without a time, and no time is made up; as: datetime takes the start of the day in source.zone")
		}
	case "boolean":
		if v.as == nil && (kind == tree.Date || kind == tree.DateTime || kind == tree.Time || kind == tree.Number) {
			return fmt.Errorf("%s, not a boolean; add as: {bool: {true: […], false: […]}}", kindName(kind))
		}
	case "integer", "float", "monetary":
		if v.as == nil && (kind == tree.Date || kind == tree.DateTime || kind == tree.Time || kind == tree.Bool) {
			return fmt.Errorf("%s, not a number", kindName(kind))
		}
	}
	return nil
}

// acceptsCEL checks an expression's type against the field's.
func (v *converter) acceptsCEL(t *cel.Type) error {
	ok := []*cel.Type{cel.StringType}
	switch v.field.Type {
	case "boolean":
		ok = []*cel.Type{cel.BoolType}
		if v.as != nil {
			ok = append(ok, cel.StringType)
		}
	case "integer":
		ok = []*cel.Type{cel.IntType, decimalType, cel.StringType}
	case "float", "monetary":
		ok = []*cel.Type{decimalType, cel.IntType, cel.StringType}
	case "date", "datetime":
		ok = []*cel.Type{cel.TimestampType, cel.StringType}
	case "char", "text":
		ok = []*cel.Type{cel.StringType, cel.IntType, decimalType}
	}
	for _, o := range ok {
		if o.IsExactType(t) {
			return nil
		}
	}
	return fmt.Errorf("%s from the expression", celType(t))
}

func kindName(k tree.Kind) string {
	return [...]string{"text", "a code", "a number", "a date", "a date and time", "a time", "a boolean", "a composite"}[k]
}

// convert gives the field's value: a string, a bool or a json.Number. Its
// error completes "PID-7 …" and has no value in it.
func (v *converter) convert(d datum) (any, error) {
	if d.cel != nil {
		if s, ok := d.cel.(types.String); ok {
			d.text, d.cel = string(s), nil
		}
	}
	switch v.field.Type {
	case "boolean":
		if b, ok := d.cel.(types.Bool); ok {
			return bool(b), nil
		}
		return v.boolean(d.text)
	case "integer", "float", "monetary":
		return v.number(d)
	case "date", "datetime":
		return v.moment(d)
	}
	s, err := d.asText()
	if err != nil {
		return nil, err
	}
	switch v.field.Type {
	case "selection":
		if len(v.field.Selection) > 0 && !slices.Contains(v.field.Selection, s) {
			return nil, errors.New("is not one of the field's options")
		}
	case "html":
		if !d.markup {
			s = html.EscapeString(s)
		}
	}
	return s, nil
}

// asText writes a datum as text.
func (d *datum) asText() (string, error) {
	switch c := d.cel.(type) {
	case nil:
		return d.text, nil
	case types.String:
		return string(c), nil
	case decimal:
		return decimalText(c.r)
	case types.Int:
		return fmt.Sprint(int64(c)), nil
	case types.Bool:
		return fmt.Sprint(bool(c)), nil
	case types.Timestamp:
		return c.UTC().Format(time.RFC3339), nil
	}
	return "", errors.New("has no text form")
}

func (v *converter) boolean(s string) (any, error) {
	if v.as != nil {
		if slices.Contains(v.as.yes, s) {
			return true, nil
		}
		if slices.Contains(v.as.no, s) || len(v.as.no) == 0 && v.as.kind == "bool" && len(v.as.yes) > 0 {
			return false, nil
		}
		if len(v.as.yes)+len(v.as.no) > 0 {
			return nil, errors.New("is neither of the codes for true and false")
		}
	}
	switch strings.ToLower(s) {
	case "y", "yes", "true", "1":
		return true, nil
	case "n", "no", "false", "0":
		return false, nil
	}
	return nil, errors.New("is not a boolean (Y or N)")
}

func (v *converter) number(d datum) (any, error) {
	var r *big.Rat
	switch c := d.cel.(type) {
	case nil:
		var err error
		if r, err = parseDecimal(d.text); err != nil {
			return nil, err
		}
	case decimal:
		r = c.r
	case types.Int:
		r = new(big.Rat).SetInt64(int64(c))
	default:
		return nil, errors.New("is not a number")
	}
	if v.as != nil && v.as.kind == "n2" {
		if !r.IsInt() {
			return nil, errors.New("has a decimal point, and N2 implies two decimals")
		}
		r = new(big.Rat).Quo(r, big.NewRat(100, 1))
	}
	if v.field.Type == "integer" && !r.IsInt() {
		return nil, errors.New("is not a whole number")
	}
	s, err := decimalText(r)
	return json.Number(s), err
}

func (v *converter) moment(d datum) (any, error) {
	if t, ok := d.cel.(types.Timestamp); ok {
		if v.field.Type == "date" {
			at := t.Time
			if v.zone != nil {
				at = at.In(v.zone)
			}
			return at.Format(time.DateOnly), nil
		}
		return t.UTC().Format(odooDatetime), nil
	}
	var m moment
	var err error
	if v.as != nil && v.as.layout != nil {
		m, err = v.as.layout.parse(d.text)
	} else {
		m, err = d.notation.moment(d.text)
	}
	if err != nil {
		return nil, err
	}
	if v.field.Type == "date" {
		return m.date()
	}
	least := toMinute
	if v.as != nil && v.as.kind == "datetime" && v.as.layout == nil {
		least = toDay // the file says so: the start of the day in its zone
	}
	t, err := m.instant(v.zone, least)
	if err != nil {
		return nil, err
	}
	return t.UTC().Format(odooDatetime), nil
}
