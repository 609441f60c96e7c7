package relational

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A Table is rows that a statement reads from its arguments. It is a slice of
// structs whose fields have the columns' names in their json tags and are
// string, int, int64 or bool.
type Table struct {
	rows reflect.Value
	// Ranges says that the rows are compared by < and >. A planner must not take
	// them for few: it would read a whole table once instead of an index for each.
	Ranges bool
}

func table[T any](rows []T) Table { return Table{rows: reflect.ValueOf(rows)} }

// A Column is a column of a Table; Type is text, bigint, integer or boolean.
type Column struct{ Name, Type string }

// Len returns the number of rows.
func (t Table) Len() int { return t.rows.Len() }

// JSON returns the rows as a JSON array of objects.
func (t Table) JSON() string { return asJSON(t.rows.Interface()) }

// paths caches where the columns are in the types of rows.
var paths sync.Map // reflect.Type → map[string][]int

func (t Table) path(column string) []int {
	typ := t.rows.Type().Elem()
	found, ok := paths.Load(typ)
	if !ok {
		all := map[string][]int{}
		for _, f := range reflect.VisibleFields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				all[name] = f.Index
			}
		}
		found, _ = paths.LoadOrStore(typ, all)
	}
	return found.(map[string][]int)[column]
}

// Values returns one column: []string, []int64, []int32 (integer) or []bool.
func (t Table) Values(c Column) any {
	path := t.path(c.Name)
	switch c.Type {
	case "bigint":
		return values(t, path, reflect.Value.Int)
	case "integer":
		return values(t, path, func(v reflect.Value) int32 { return int32(v.Int()) })
	case "boolean":
		return values(t, path, reflect.Value.Bool)
	}
	return values(t, path, reflect.Value.String)
}

// Each calls f for each value, row by row: string, int64 or bool.
func (t Table) Each(columns []Column, f func(row, column int, value any)) {
	fields := make([][]int, len(columns))
	for i, c := range columns {
		fields[i] = t.path(c.Name)
	}
	for row := range t.Len() {
		r := t.rows.Index(row)
		for i := range columns {
			switch v := r.FieldByIndex(fields[i]); v.Kind() {
			case reflect.String:
				f(row, i, v.String())
			case reflect.Bool:
				f(row, i, v.Bool())
			default:
				f(row, i, v.Int())
			}
		}
	}
}

func values[V any](t Table, path []int, of func(reflect.Value) V) []V {
	out := make([]V, t.Len())
	for i := range out {
		out[i] = of(t.rows.Index(i).FieldByIndex(path))
	}
	return out
}

// A piece of a statement's text: as it stands, an argument, or a table.
type piece struct {
	text    string
	arg     int // its number, from 1
	columns []Column
}

// placeholder is {now}, {lock}, {skip}, {bytes x}, {$1: id text, seq bigint}, $1 or {within id}.
var placeholder = regexp.MustCompile(`\{(?:(now|lock|skip)|bytes ([a-z.']+)|\$([0-9]+): ([^}]+)|within ([a-z_]+))\}|\$([0-9]+)`)

// pieces returns a statement in the store's dialect, without its arguments.
func (s *Store) pieces(text string) []piece {
	if done, ok := s.prepared.Load(text); ok {
		return done.([]piece)
	}
	var out []piece
	at := 0
	add := func(t string) { out = append(out, piece{text: t}) }
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		group := func(n int) string {
			if m[2*n] < 0 {
				return ""
			}
			return text[m[2*n]:m[2*n+1]]
		}
		add(text[at:m[0]])
		at = m[1]
		switch {
		case group(1) == "now":
			add(s.d.Now)
		case group(1) == "lock":
			add(s.d.Lock)
		case group(1) == "skip":
			add(s.d.Skip)
		case group(2) != "":
			add(s.d.Bytes(group(2)))
		case group(3) != "":
			p := piece{}
			p.arg, _ = strconv.Atoi(group(3))
			for c := range strings.SplitSeq(group(4), ",") {
				name, typ, _ := strings.Cut(strings.TrimSpace(c), " ")
				p.columns = append(p.columns, Column{name, typ})
			}
			out = append(out, p)
		case group(5) != "":
			add(s.d.Within(group(5)))
		default:
			n, _ := strconv.Atoi(group(6))
			out = append(out, piece{arg: n})
		}
	}
	add(text[at:])
	s.prepared.Store(text, out)
	return out
}

// do returns a statement with its arguments, which are numbered from 1 in its
// text.
func (s *Store) do(text string, args ...any) Statement {
	var b strings.Builder
	st := Statement{Args: make([]any, 0, len(args))}
	bind := func(arg any) string {
		st.Args = append(st.Args, arg)
		if s.d.Anonymous {
			return "?"
		}
		return "$" + strconv.Itoa(len(st.Args))
	}
	bound := map[int]string{}
	for _, p := range s.pieces(text) {
		switch {
		case p.arg == 0:
			b.WriteString(p.text)
		case p.columns != nil:
			b.WriteString(s.d.Rows(args[p.arg-1].(Table), p.columns, bind))
		case s.d.Anonymous || bound[p.arg] == "":
			bound[p.arg] = bind(args[p.arg-1])
			fallthrough
		default:
			b.WriteString(bound[p.arg])
		}
	}
	st.SQL = b.String()
	return st
}

// ask is do for a statement with a result.
func (s *Store) ask(row func(Scan) error, text string, args ...any) Statement {
	st := s.do(text, args...)
	st.Row = row
	return st
}
