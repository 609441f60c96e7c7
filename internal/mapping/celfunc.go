package mapping

import (
	"errors"
	"math/big"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/vagus-health/vagus/internal/tree"
)

// functions are what the language adds to CEL.
func functions(tables map[string]*table) []cel.EnvOption {
	str, num := cel.StringType, decimalType
	unary := func(name, id string, member bool, arg, result *cel.Type, f func(ref.Val) ref.Val) cel.EnvOption {
		shape := cel.Overload
		if member {
			shape = cel.MemberOverload
		}
		return cel.Function(name, shape(id, []*cel.Type{arg}, result, cel.UnaryBinding(f)))
	}
	part := func(name string, cut func(s string, n int) string) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload("text_"+name, []*cel.Type{str, cel.IntType}, str,
			cel.BinaryBinding(func(s, n ref.Val) ref.Val { return types.String(cut(string(s.(types.String)), int(n.(types.Int)))) })))
	}
	options := []cel.EnvOption{
		unary("words", "words_list", false, cel.ListType(str), str, words),
		unary("digits", "text_digits", true, str, str, func(s ref.Val) ref.Val {
			return types.String(strings.Map(onlyDigits, string(s.(types.String))))
		}),
		unary("title", "text_title", true, str, str, func(s ref.Val) ref.Val { return types.String(title(string(s.(types.String)))) }),
		part("first", firstRunes), part("last", lastRunes),
		cel.Function("idOf", cel.MemberOverload("text_idof", []*cel.Type{str, str}, str,
			cel.BinaryBinding(func(s, typ ref.Val) ref.Val {
				return types.String(idOf(string(s.(types.String)), string(typ.(types.String))))
			}))),
		unary("dec", "dec_text", false, str, num, func(s ref.Val) ref.Val { return decimalOf(string(s.(types.String))) }),
		unary("dec", "dec_int", false, cel.IntType, num, func(n ref.Val) ref.Val {
			return decimal{new(big.Rat).SetInt64(int64(n.(types.Int)))}
		}),
		unary("string", "decimal_to_string", false, num, str, func(d ref.Val) ref.Val { return d.(decimal).ConvertToType(types.StringType) }),
		unary("total", "total_list", false, cel.ListType(num), num, total),
		unary("fixed2", "decimal_fixed2", true, num, str, func(d ref.Val) ref.Val { return types.String(d.(decimal).r.FloatString(2)) }),
		unary("cents", "decimal_cents", true, num, str, cents),
		cel.Function("table", cel.Overload("table_text", []*cel.Type{str, str}, str, cel.BinaryBinding(func(name, code ref.Val) ref.Val {
			if r, ok := tables[string(name.(types.String))].lookup(string(code.(types.String))); ok {
				return types.String(r)
			}
			return celErr("table %s has no such code", name.(types.String))
		}))),
		cel.Function("intable", cel.Overload("intable_text", []*cel.Type{str, str}, cel.BoolType, cel.BinaryBinding(func(name, code ref.Val) ref.Val {
			_, ok := tables[string(name.(types.String))].lookup(string(code.(types.String)))
			return types.Bool(ok)
		}))),
		cel.Function("-_", cel.Overload("negate_decimal", []*cel.Type{num}, num)),
	}
	for _, op := range [...]struct {
		name   string
		result *cel.Type
	}{{"_+_", num}, {"_-_", num}, {"_*_", num}, {"_/_", num}, {"_<_", cel.BoolType}, {"_<=_", cel.BoolType}, {"_>_", cel.BoolType}, {"_>=_", cel.BoolType}} {
		options = append(options, cel.Function(op.name, cel.Overload("decimal"+op.name, []*cel.Type{num, num}, op.result)))
	}
	for name, f := range pathFunctions {
		// On an item of nodes(), with the path's number for its text. Plain
		// calls never reach the checker; the declaration gives their errors a
		// name to speak of.
		options = append(options, cel.Function(name,
			cel.MemberOverload("node_"+name, []*cel.Type{nodeType, cel.IntType}, f.typ, cel.BinaryBinding(func(n, index ref.Val) ref.Val {
				item := n.(nodeItem)
				return item.run.read(f.kind, item.prog.paths[int(index.(types.Int))], item.node, item.prog)
			})),
			cel.Overload("path_"+name, []*cel.Type{str}, f.typ, cel.UnaryBinding(func(ref.Val) ref.Val { return types.NewErr("unbound path") }))))
	}
	return options
}

// A nodeItem is one item of nodes(): opaque but for the path functions.
type nodeItem struct {
	node *tree.Node
	run  *run
	prog *program
}

func (n nodeItem) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a node has no native form")
}
func (n nodeItem) ConvertToType(ref.Type) ref.Val { return types.NewErr("a node does not convert") }
func (n nodeItem) Equal(other ref.Val) ref.Val {
	o, ok := other.(nodeItem)
	return types.Bool(ok && o.node == n.node)
}
func (n nodeItem) Type() ref.Type { return nodeType }
func (n nodeItem) Value() any     { return n }

func decimalOf(s string) ref.Val {
	r, err := parseDecimal(s)
	if err != nil {
		return celErr("a value %s", err)
	}
	return decimal{r}
}

// words joins the texts that are not blank.
func words(list ref.Val) ref.Val {
	var b strings.Builder
	for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		if s, ok := it.Next().(types.String); ok && !isBlank(string(s)) {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strings.TrimSpace(string(s)))
		}
	}
	return types.String(b.String())
}

func total(list ref.Val) ref.Val {
	var sum ref.Val = decimal{new(big.Rat)}
	for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		d, ok := sum.(decimal)
		if !ok {
			return sum
		}
		sum = d.Add(it.Next())
	}
	return sum
}

// cents writes an amount in hundredths, as X12's N2 does.
func cents(d ref.Val) ref.Val {
	r := new(big.Rat).Mul(d.(decimal).r, big.NewRat(100, 1))
	if !r.IsInt() {
		return celErr("an amount has fractions of a hundredth")
	}
	return types.String(r.Num().String())
}

func onlyDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return r
	}
	return -1
}

func lastRunes(s string, n int) string {
	if skip := utf8.RuneCountInString(s) - max(n, 0); skip > 0 {
		return s[len(firstRunes(s, skip)):]
	}
	return s
}

// idOf is the id in a literal FHIR reference (R4 references.html#literal) to a
// resource of a type: of any server, and of any version of the resource. It is ""
// of what refers to anything else, also to a contained resource.
func idOf(reference, typ string) string {
	reference, _, _ = strings.Cut(reference, "/_history/")
	path, id, ok := cutLast(reference, "/")
	if _, last, _ := cutLast("/"+path, "/"); !ok || last != typ || strings.ContainsAny(id, "?#:") {
		return ""
	}
	return id
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// title writes each word with a capital.
func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		defer func() { start = !unicode.IsLetter(r) && r != '\'' }()
		if start {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, s)
}

// celEstimator gives the sizes that the limits guarantee.
type celEstimator struct{}

func (celEstimator) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if n.Type() != nil && n.Type().IsExactType(decimalType) {
		return &cost.SizeEstimate{Min: 1, Max: 1} // bounded by combine
	}
	path := n.Path()
	if len(path) == 0 || n.Type() == nil {
		return nil
	}
	switch n.Type().Kind() {
	case types.StringKind:
		if len(path) > 1 {
			return &cost.SizeEstimate{Max: celItem}
		}
		return &cost.SizeEstimate{Max: celText}
	case types.ListKind:
		return &cost.SizeEstimate{Max: celList}
	}
	return nil
}

// EstimateCallCost prices our functions: by the text or list that they walk.
func (e celEstimator) EstimateCallCost(function, overload string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	text, one := &cost.SizeEstimate{Max: celText}, &cost.SizeEstimate{Min: 1, Max: 1}
	flat := func(n uint64, size *cost.SizeEstimate) *cost.CallEstimate {
		return &cost.CallEstimate{CostEstimate: cost.Estimate{Min: 1, Max: n}, ResultSize: size}
	}
	switch overload {
	case "words_list":
		return flat(celList, text)
	case "text_digits", "text_title", "text_first", "text_last", "text_idof":
		return flat(celText/10, text)
	case "total_list":
		return flat(celList, one)
	case "decimal_+_", "decimal_-_", "decimal_*_", "decimal_/_", "negate_decimal":
		return flat(4, one)
	case "decimal_<_", "decimal_<=_", "decimal_>_", "decimal_>=_":
		return flat(4, nil)
	case "dec_text", "dec_int", "decimal_fixed2", "decimal_cents", "decimal_to_string", "table_text", "intable_text":
		return flat(4, text)
	case "node_v", "node_valued", "node_isnull", "node_num", "node_ts":
		return flat(4, &cost.SizeEstimate{Max: celItem})
	case "node_values", "node_sum", "node_nodes":
		return flat(maxRepetitions, &cost.SizeEstimate{Max: celList})
	case "int64_to_string", "bool_to_string", "double_to_string", "timestamp_to_string":
		return flat(1, &cost.SizeEstimate{Max: 40})
	}
	return nil
}
