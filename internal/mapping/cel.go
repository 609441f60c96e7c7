package mapping

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/vagus-health/vagus/internal/tree"
)

// Limits of one expression. The static estimate is over the worst message
// that the limits of walk.go let through, with texts of celText characters.
const (
	celCostCeiling = 200_000 // refused when the file loads
	celCostLimit   = 400_000 // stopped when it runs, should the estimate be wrong
	celCheap       = 10_000  // below it, and without a loop, no cost is counted
	celText        = 4 << 10 // characters of one text that enters an expression
	celItem        = 512     // characters of one text of a list
	celList        = 200     // items of one list
	celPattern     = 500     // steps of a regular expression
	celSourceBytes = 4 << 10
	celInterrupt   = 100 // iterations between looks at the context
)

// nodeType is CEL's name for an item of nodes().
var nodeType = cel.ObjectType("node")

// A program is a compiled expression with the places it reads.
type program struct {
	text   string
	prg    cel.Program
	vars   []variable
	paths  []*boundPath // of member calls on nodes: l.num('IT1-02')
	labels tree.Labels
	out    *cel.Type
	loops  bool // it may take long: look at the context
	at     place
}

// A variable is a name of an expression: a path under a function, an input of
// the rule, a let, or `it`.
type variable struct {
	name  string
	kind  variableKind
	path  *boundPath
	index int // of the input or the let
	typ   *cel.Type
}

type variableKind uint8

const (
	varText   variableKind = iota // v('p')
	varTexts                      // values('p[*]')
	varValued                     // valued('p')
	varIsNull                     // isnull('p')
	varNum                        // num('p')
	varSum                        // sum('p[*]')
	varTime                       // ts('p')
	varNodes                      // nodes('p[*]')
	varInput
	varLet
)

// pathFunctions are the functions whose argument is a literal path.
var pathFunctions = map[string]struct {
	kind variableKind
	list bool // the path has [*]
	typ  *cel.Type
}{
	"v":      {varText, false, cel.StringType},
	"values": {varTexts, true, cel.ListType(cel.StringType)},
	"valued": {varValued, false, cel.BoolType},
	"isnull": {varIsNull, false, cel.BoolType},
	"num":    {varNum, false, decimalType},
	"sum":    {varSum, true, decimalType},
	"ts":     {varTime, false, cel.TimestampType},
	"nodes":  {varNodes, true, cel.ListType(nodeType)},
}

// newEnv makes the environment of a mapping: standard CEL, the strings, lists,
// math and bindings extensions, and the functions of celfunc.go. The
// extensions' newest versions know the cost of their functions: older ones
// price text.replace(”, text) at 1, and four of them exhaust the memory.
func newEnv(tables map[string]*table) (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(60),
		cel.ParserExpressionSizeLimit(celSourceBytes),
		cel.CrossTypeNumericComparisons(false),
		cel.DefaultUTCTimeZone(true),
		ext.Strings(), ext.Lists(), ext.Math(), ext.Bindings(),
	}
	return cel.NewEnv(append(options, functions(tables)...)...)
}

// A celScope is what an expression may name where it stands.
type celScope struct {
	scope  *scope
	inputs []variable // named inputs, or `it`
	taint  tree.Labels
}

// compileCEL compiles an expression. Paths in it are literals: they are bound
// to the schema, typed and labelled here, and become variables.
func (l *loader) compileCEL(at place, text string, cs celScope) *program {
	p := &program{text: text, at: at, labels: cs.taint}
	parsed, iss := l.env.Parse(text)
	if iss != nil && iss.Err() != nil {
		l.celIssues(at, iss, cs)
		return nil
	}
	w := &celWalker{l: l, p: p, at: at, cs: cs, ast: parsed.NativeRep()}
	before := len(l.c.issues)
	w.walk(w.ast.Expr(), nil)
	if l.c.issues[before:].failed() {
		return nil
	}
	var options []cel.EnvOption
	for _, v := range p.vars {
		options = append(options, cel.Variable(v.name, v.typ))
	}
	env, err := l.env.Extend(options...)
	if err != nil {
		l.c.errorf(at, "cel", "%v", err)
		return nil
	}
	checked, iss := env.Check(parsed)
	if iss != nil && iss.Err() != nil {
		l.celIssues(at, iss, cs)
		return nil
	}
	p.out = checked.OutputType()
	est, err := env.EstimateCost(checked, celEstimator{})
	if err != nil {
		l.c.errorf(at, "cel-cost", "%v", err)
		return nil
	}
	if est.Max > celCostCeiling {
		why := "long texts are put together, or looked for in each other"
		if w.loops {
			why = "nested loops over repeating fields?"
		}
		l.c.errorf(at, "cel-cost", "worst case costs %d units, ceiling %d: %s", est.Max, celCostCeiling, why)
		return nil
	}
	progOptions := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if p.loops = w.loops || est.Max > celCheap; p.loops {
		// Counting costs as much as the expression itself. One that can not
		// loop and is cheap at its worst has nothing to count.
		progOptions = append(progOptions, cel.CostLimit(celCostLimit), cel.InterruptCheckFrequency(celInterrupt))
	}
	p.prg, err = env.Program(checked, progOptions...)
	if err != nil {
		l.c.errorf(at, "cel", "%s", l.celWords(err.Error(), cs))
		return nil
	}
	return p
}

// celIssues reports what CEL says, each at its own place in the line.
// What follows a fault of the syntax is its consequence.
func (l *loader) celIssues(at place, iss *cel.Issues, cs celScope) {
	for i, e := range iss.Errors() {
		message := strings.Join(strings.Fields(e.Message), " ")
		if syntax := strings.HasPrefix(message, "Syntax error"); i == 5 || i > 0 && syntax {
			break
		}
		l.c.errorf(at.runes(e.Location.Line()-1, e.Location.Column()), "cel", "%s", l.celWords(message, cs))
	}
}

// A celWalker turns path functions into variables before the types are
// checked. items maps the loop variables over nodes() to their scopes.
type celWalker struct {
	l     *loader
	p     *program
	at    place
	cs    celScope
	ast   *ast.AST
	loops bool
}

func (w *celWalker) errorAt(e ast.Expr, code, format string, args ...any) {
	w.l.c.errorf(w.place(e), code, format, args...)
}

func (w *celWalker) warnAt(e ast.Expr, code, format string, args ...any) {
	w.l.c.warnf(w.place(e), code, format, args...)
}

func (w *celWalker) place(e ast.Expr) place {
	loc := w.ast.SourceInfo().GetStartLocation(e.ID())
	return w.at.runes(loc.Line()-1, loc.Column())
}

// walk visits an expression; it returns the scope of its items when it is a
// list of nodes.
func (w *celWalker) walk(e ast.Expr, items map[string]*scope) *scope {
	switch e.Kind() {
	case ast.CallKind:
		return w.call(e, items)
	case ast.IdentKind:
		w.ident(e.AsIdent(), items)
	case ast.SelectKind:
		w.walk(e.AsSelect().Operand(), items)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.walk(x, items)
		}
	case ast.MapKind:
		// A map's order is not fixed, and a mapping's result is.
		w.errorAt(e, "cel", "maps are not part of the language: use a code table")
	case ast.StructKind:
		w.errorAt(e, "cel", "messages can not be made in an expression")
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		w.loops = true
		of := w.walk(c.IterRange(), items)
		w.walk(c.AccuInit(), items)
		in := map[string]*scope{}
		for k, v := range items {
			in[k] = v
		}
		for _, name := range []string{c.IterVar(), c.IterVar2(), c.AccuVar()} {
			in[name] = nil
		}
		in[c.IterVar()] = of
		w.walk(c.LoopCondition(), in)
		w.walk(c.LoopStep(), in)
		w.walk(c.Result(), in)
		return of // of filter; where it maps to something else, the checker says so
	}
	return nil
}

func (w *celWalker) ident(name string, items map[string]*scope) {
	if _, bound := items[name]; bound || slices.ContainsFunc(w.p.vars, func(v variable) bool { return v.name == name }) {
		return
	}
	for _, in := range w.cs.inputs {
		if in.name == name {
			w.p.vars = append(w.p.vars, in)
			return
		}
	}
	if n := w.l.letIndex(name); n >= 0 {
		let := w.l.m.lets[n]
		let.used = true
		w.p.labels |= let.labels
		w.l.reads = append(w.l.reads, read{text: name, labels: let.labels, asks: let.asks})
		w.p.vars = append(w.p.vars, variable{name: name, kind: varLet, index: n, typ: let.typ})
	}
}

func (w *celWalker) call(e ast.Expr, items map[string]*scope) *scope {
	c := e.AsCall()
	args := c.Args()
	f, isPath := pathFunctions[c.FunctionName()]
	if isPath && c.IsMemberFunction() {
		return w.memberCall(e, f.list, items)
	}
	if isPath && len(args) == 1 {
		p := w.path(args[0], w.cs.scope, f.list, c.FunctionName())
		if p == nil {
			return nil
		}
		v := variable{name: fmt.Sprintf("@%s%d", c.FunctionName(), len(w.p.vars)), kind: f.kind, path: p, typ: f.typ}
		w.p.vars = append(w.p.vars, v)
		w.p.labels |= p.labels
		e.SetKindCase(ast.NewExprFactory().NewIdent(e.ID(), v.name))
		if f.kind == varNodes {
			return w.cs.scope.inner(p, lastName(p))
		}
		return nil
	}
	if name := c.FunctionName(); (name == "table" || name == "intable") && len(args) == 2 {
		text, ok := literal(args[0])
		if !ok {
			w.errorAt(args[0], "cel", "the table of %s() is a literal text", name)
		} else if w.l.m.tables[text] == nil {
			w.errorAt(args[0], "table", "no table %q%s", text, didYouMean(text, w.l.m.tableNames()))
		} else {
			w.l.m.tables[text].used, w.l.m.tables[text].open = true, true
		}
	}
	if c.FunctionName() == overloads.Matches && len(args) > 0 {
		w.pattern(args[len(args)-1])
	}
	var of *scope
	if c.IsMemberFunction() {
		w.zone(c)
		of = w.walk(c.Target(), items)
	}
	for _, a := range args {
		w.walk(a, items)
	}
	return of // filter, slice, reverse: still these nodes
}

// pattern bounds the pattern of matches(). CEL prices it by its length, and
// (.*){1000} is short: it is a literal, whose steps are counted here.
func (w *celWalker) pattern(arg ast.Expr) {
	text, ok := literal(arg)
	if !ok {
		w.errorAt(arg, "cel", "the pattern of matches() is a literal text, so that it can be checked")
		return
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return // the checker says it
	}
	if prog, err := syntax.Compile(re.Simplify()); err == nil && len(prog.Inst) > celPattern {
		w.errorAt(arg, "cel-cost", "the pattern of matches() has %d steps with its repetitions written out, at most %d", len(prog.Inst), celPattern)
	}
}

// zone checks the time zone of getHours and its like. It is a literal that
// means the same on every machine, so that the mapping is a pure function.
func (w *celWalker) zone(c ast.CallExpr) {
	if len(c.Args()) != 1 || !slices.Contains(zoned, c.FunctionName()) {
		return
	}
	name, ok := literal(c.Args()[0])
	if ok && name != "" && name != "Local" {
		if _, err := time.LoadLocation(name); err == nil || zoneOffset.MatchString(name) {
			return
		}
	}
	w.errorAt(c.Args()[0], "cel", "the zone of %s() is a literal name of the IANA database, such as 'America/Los_Angeles', or an offset such as '-08:00'", c.FunctionName())
}

var (
	zoned = []string{overloads.TimeGetFullYear, overloads.TimeGetMonth, overloads.TimeGetDayOfYear, overloads.TimeGetDate, overloads.TimeGetDayOfMonth,
		overloads.TimeGetDayOfWeek, overloads.TimeGetHours, overloads.TimeGetMinutes, overloads.TimeGetSeconds, overloads.TimeGetMilliseconds}
	zoneOffset = regexp.MustCompile(`^[+-](0[0-9]|1[0-4]):[0-5][0-9]$`)
)

// memberCall binds l.num('IT1-02'), where l is an item of nodes().
func (w *celWalker) memberCall(e ast.Expr, list bool, items map[string]*scope) *scope {
	c := e.AsCall()
	target := c.Target()
	var sc *scope
	if target.Kind() == ast.IdentKind {
		sc = items[target.AsIdent()]
	}
	if sc == nil || len(c.Args()) != 1 {
		w.errorAt(e, "cel", "%s() is called on an item of nodes(): nodes('p[*]').map(l, l.%s('…'))", c.FunctionName(), c.FunctionName())
		return nil
	}
	p := w.path(c.Args()[0], sc, list, c.FunctionName())
	if p == nil {
		return nil
	}
	if p.depth != sc.depth {
		w.errorAt(c.Args()[0], "path", "%s is not a part of %s", p.text, typeName(sc.typ))
		return nil
	}
	w.p.labels |= p.labels
	w.p.paths = append(w.p.paths, p)
	c.Args()[0].SetKindCase(ast.NewExprFactory().NewLiteral(c.Args()[0].ID(), nodeArg(len(w.p.paths)-1)))
	if c.FunctionName() == "nodes" {
		return sc.inner(p, lastName(p))
	}
	return nil
}

func nodeArg(n int) ref.Val { return types.Int(n) }

func lastName(p *boundPath) string {
	if len(p.steps) == 0 {
		return ""
	}
	return p.steps[len(p.steps)-1].name
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// path binds the literal path argument of a function.
func (w *celWalker) path(arg ast.Expr, sc *scope, list bool, fn string) *boundPath {
	text, ok := literal(arg)
	if !ok {
		w.errorAt(arg, "cel", "the path of %s() is a literal text, so that it can be checked", fn)
		return nil
	}
	p, err := w.l.bindText(sc, text)
	if err != nil {
		w.errorAt(arg, "path", "%s", err)
		return nil
	}
	if p.repeat != "" && !p.list && !list {
		w.warnAt(arg, "repeats", "%s", p.repeat)
	}
	err = p.single()
	switch {
	case err != nil && !slices.Contains([]string{"nodes", "valued", "isnull"}, fn):
		w.errorAt(arg, "path", "%s", err)
	case list && !p.list:
		w.errorAt(arg, "path", "%s() takes a list: write [*] in %s", fn, text)
	case !list && p.list:
		w.errorAt(arg, "path", "%s() takes one value: %s is a list", fn, text)
	default:
		return p
	}
	return nil
}
