package mapping

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// decimalType is CEL's name for exact decimals. They do not mix with int or
// double: the checker refuses it.
var decimalType = types.NewObjectType("decimal", traits.AdderType, traits.SubtractorType, traits.MultiplierType,
	traits.DividerType, traits.NegatorType, traits.ComparerType)

const maxDigits = 40

// A decimal is an exact number: a value of decimalType.
type decimal struct{ r *big.Rat }

// parseDecimal reads [+-]digits[.digits] with an exponent as JSON has it (RFC
// 8259 section 6; FHIR's decimal and X12's R are written so too). No thousands
// marks: what is not plainly a number is not guessed.
func parseDecimal(s string) (*big.Rat, error) {
	s = strings.TrimSpace(s)
	exponent := 0
	if n := strings.IndexAny(s, "eE"); n > 0 {
		mark := s[n+1:]
		if d := strings.TrimLeft(mark, "+-"); d == "" || !digits(d) || len(mark)-len(d) > 1 {
			return nil, errors.New("is not a decimal number")
		}
		var err error
		if exponent, err = strconv.Atoi(mark); err != nil || exponent > maxDigits || exponent < -maxDigits {
			return nil, fmt.Errorf("has more than %d digits", maxDigits)
		}
		s = s[:n]
	}
	body := strings.TrimLeft(s, "+-")
	whole, frac, point := strings.Cut(body, ".")
	if len(s)-len(body) > 1 || !digits(whole) || !digits(frac) || whole+frac == "" || (point && frac == "" && whole == "") {
		return nil, errors.New("is not a decimal number")
	}
	if len(whole)+len(frac) > maxDigits {
		return nil, fmt.Errorf("has more than %d digits", maxDigits)
	}
	r, ok := new(big.Rat).SetString(strings.TrimSuffix(strings.TrimPrefix(s, "+"), "."))
	if !ok {
		return nil, errors.New("is not a decimal number")
	}
	if exponent == 0 || r.Sign() == 0 {
		return r, nil
	}
	if len(strings.TrimLeft(whole, "0"))+exponent > maxDigits || len(frac)-exponent > maxDigits {
		return nil, fmt.Errorf("has more than %d digits", maxDigits)
	}
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil))
	if exponent < 0 {
		power.Inv(power)
	}
	return r.Mul(r, power), nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// decimalText writes a number without loss: the digits it needs and no more.
func decimalText(r *big.Rat) (string, error) {
	n, exact := r.FloatPrec()
	if !exact || n > maxDigits {
		return "", errors.New("has no exact decimal form: round it with fixed2()")
	}
	return r.FloatString(n), nil
}

func (d decimal) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a decimal does not convert to %v", t)
}

func (d decimal) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.TypeType:
		return decimalType
	case types.StringType:
		s, err := decimalText(d.r)
		if err != nil {
			return celErr("the number %s", err)
		}
		return types.String(s)
	}
	return celErr("a decimal does not convert to %s", t.TypeName())
}

func (d decimal) Equal(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	return types.Bool(ok && d.r.Cmp(o.r) == 0)
}

func (d decimal) Type() ref.Type { return decimalType }
func (d decimal) Value() any     { return d.r }

func (d decimal) Compare(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Int(d.r.Cmp(o.r))
}

// combine applies an operation; results stay bounded in size.
func (d decimal) combine(other ref.Val, op func(z, x, y *big.Rat) *big.Rat) ref.Val {
	o, ok := other.(decimal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	z := op(new(big.Rat), d.r, o.r)
	if z.Num().BitLen() > 1024 || z.Denom().BitLen() > 1024 {
		return celErr("the number has too many digits")
	}
	return decimal{z}
}

func (d decimal) Add(o ref.Val) ref.Val      { return d.combine(o, (*big.Rat).Add) }
func (d decimal) Subtract(o ref.Val) ref.Val { return d.combine(o, (*big.Rat).Sub) }
func (d decimal) Multiply(o ref.Val) ref.Val { return d.combine(o, (*big.Rat).Mul) }

func (d decimal) Divide(o ref.Val) ref.Val {
	if v, ok := o.(decimal); ok && v.r.Sign() == 0 {
		return celErr("division by zero")
	}
	return d.combine(o, (*big.Rat).Quo)
}

func (d decimal) Negate() ref.Val { return decimal{new(big.Rat).Neg(d.r)} }
