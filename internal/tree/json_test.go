package tree_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

var (
	textType = tree.NewType("text", tree.Text)
	nameType = tree.NewType("name", tree.Composite,
		&tree.Element{Name: "family", Type: textType},
		&tree.Element{Name: "given", Type: textType, Repeats: true})
	personType = func() *tree.Type {
		t := tree.NewType("", tree.Composite,
			&tree.Element{Name: "id", Type: textType},
			&tree.Element{Name: "amount", Type: tree.NewType("decimal", tree.Number)},
			&tree.Element{Name: "active", Type: tree.NewType("bool", tree.Bool)},
			&tree.Element{Name: "name", Type: nameType, Repeats: true})
		t.Add(&tree.Element{Name: "kin", Type: t})
		return t
	}()
)

func TestReadJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, want string
		limits           tree.JSONLimits
		only             tree.Selection
	}{
		{name: "names that the type has, in the order of the document", body: `{"active":true,"id":"7","x":{"id":1}}`, want: "active=true id=7"},
		{name: "an array becomes siblings", body: `{"name":[{"family":"O","given":["A","B"]},{"family":"P"}]}`, want: "name.family=O name.given=A name.given[2]=B name[2].family=P"},
		{name: "one value stands for an array of one", body: `{"name":{"given":"A"}}`, want: "name.given=A"},
		{name: "an array of one stands for one value", body: `{"id":["7"]}`, want: "id=7"},
		{name: "an empty array is absent", body: `{"name":[],"id":[ ]}`, want: ""},
		{name: "null is null, alone and in an array", body: `{"id":null,"name":[null,{"family":null}]}`, want: "id null name null name[2].family null"},
		{name: "a number keeps its text", body: `{"amount":-10.50,"id":1e400}`, want: "amount=-10.50 id=1e400"},
		{name: "digits beyond any float", body: `{"amount":0.1000000000000000055511151231257827}`, want: "amount=0.1000000000000000055511151231257827"},
		{name: "an empty text is a value", body: `{"id":""}`, want: "id="},
		{name: "an empty text is absent where asked", body: `{"id":"","name":[{"family":""}],"active":false}`, limits: tree.JSONLimits{EmptyIsAbsent: true}, want: "active=false"},
		{name: "an object of which nothing is left is absent", body: `{"name":[{},{"x":1},{"family":"P"}],"kin":{"kin":{}}}`, want: "name.family=P"},
		{name: "escapes, a pair, a mark before it all", body: "\ufeff" + ` {"id":"a\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00ü"}` + "\n", want: "id=a\"\\/\b\f\n\r\té😀ü"},
		{name: "a name with an escape", body: `{"i\u0064":"7"}`, want: "id=7"},
		{name: "a name in another case is another name", body: `{"ID":"7"}`, want: ""},
		{name: "unless case is folded", body: `{"ID":"7","Kin":{"NAME":{"FAMILY":"O"}}}`, limits: tree.JSONLimits{FoldNames: true}, want: "id=7 kin.name.family=O"},
		{name: "false and null are nothing where asked, but of a boolean", body: `{"id":false,"amount":null,"active":false,"name":false,"kin":{"id":false,"name":[{"family":false,"given":["A",false]}]}}`,
			limits: tree.JSONLimits{FalseIsAbsent: true}, want: "active=false kin.name.given=A"},
		{name: "several of one that does not repeat, where asked", body: `{"id":["7","8"]}`, limits: tree.JSONLimits{AnyRepeats: true}, want: "id=7 id[2]=8"},
		{name: "what is selected, and one more so that nothing looks empty", body: `{"id":"7","active":true,"name":[{"given":"A"},{"given":"B","family":"P"},{}]}`,
			only: tree.Selection{"": {"name": true}, "name": {"family": true}}, want: "id= name.given= name[2].given= name[2].family=P"},
		{name: "a type in itself", body: `{"kin":{"kin":{"id":"7"}}}`, want: "kin.kin.id=7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, err := tree.ReadJSON([]byte(tt.body), personType, tt.only, tt.limits)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(treetest.Dump(root), "\n", " "); got != strings.ReplaceAll(tt.want, "\n", " ") {
				t.Errorf("the tree is\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestReadJSONKnowsWhereAValueStands(t *testing.T) {
	t.Parallel()
	body := "{\n \"id\": \"7\",\r\n \"name\": [\n  {\"family\": \"O\"}]}"
	root, err := tree.ReadJSON([]byte(body), personType, nil, tree.JSONLimits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		node *tree.Node
		line int
		text string
	}{{root, 1, "{\n"}, {root.First("id"), 2, `"7"`}, {root.First("name"), 4, `{"family"`}, {root.First("name").First("family"), 4, `"O"`}} {
		if p := tt.node.Pos; p.Line != tt.line || p.Offset != strings.Index(body, tt.text) {
			t.Errorf("%s stands at line %d, offset %d", tt.text, p.Line, p.Offset)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, `"a%d":1,`, i)
	}
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", ``, "offset 0: a JSON object is expected"},
		{"an array", ` [1]`, "offset 1: a JSON object is expected"},
		{"a name twice", `{"id":"1","id":"2"}`, "offset 10: id: this name is in the object twice"},
		{"a name twice that nobody knows", `{"x":{"y":1,"y":2}}`, "offset 12: this name is in the object twice"},
		{"a name twice, once with an escape", `{"id":1,"i\u0064":2}`, "offset 8: id: this name"},
		{"a name twice among many", `{` + many.String() + `"a7":1}`, "this name is in the object twice"},
		{"bytes that are no UTF-8", "{\n\"id\":\"a\xffb\"}", "line 2, offset 9: is not UTF-8"},
		{"half a pair", `{"id":"\ud83d"}`, "offset 7: id: no escape of JSON"},
		{"the halves in the wrong order", `{"id":"\ude00\ud83d"}`, "offset 7: id: no escape"},
		{"half a pair in what is left out", `{"x":["\ud83d\u0041"]}`, "offset 7: no escape"},
		{"half a pair before something that looks like the other", `{"id":"\ud83dxude00"}`, "offset 7: id: no escape"},
		{"an unknown escape", `{"id":"\x"}`, "offset 7: id: no escape"},
		{"a short escape", `{"id":"\u00e`, "no escape"},
		{"a line break in a string", "{\"id\":\"a\nb\"}", "offset 8: id: a control character"},
		{"a line break behind an escape", "{\"id\":\"\\n\nb\"}", "offset 9: id: a control character"},
		{"a string that does not end", `{"id":"a`, "offset 6: id: a string does not end"},
		{"a string with an escape that does not end", `{"id":"\n`, "offset 6: id: a string does not end"},
		{"an object that does not end", `{"id":"a"`, "offset 9: a comma or } is expected"},
		{"an array that does not end", `{"name":[{"given":["a"`, "name.given: a comma or ] is expected"},
		{"something behind it", `{} {}`, "offset 3: something follows the object"},
		{"a comma too many", `{"id":"a",}`, "offset 10: a name in quotes"},
		{"no comma", `{"id":"a" "b":1}`, "offset 10: a comma"},
		{"no colon", `{"id" "a"}`, "id: a colon is expected"},
		{"no value", `{"id":}`, "id: a value is expected"},
		{"half a word", `{"id":nul}`, "id: a value is expected"},
		{"a number that begins with 0", `{"id":01}`, "offset 7: a comma"},
		{"a number without digits", `{"id":-}`, "id: a digit"},
		{"a fraction without digits", `{"id":1.}`, "id: a digit"},
		{"an exponent without digits", `{"id":1e+}`, "id: a digit"},
		{"an object for a leaf", `{"id":{"a":1}}`, "offset 6: id: an object where a simple value is expected"},
		{"a leaf for an object", `{"name":"O"}`, "offset 8: name: a simple value where an object"},
		{"several for one", "{\"id\":[1,\n2]}", "line 1, offset 6: id: an array of 2"},
		{"an array in an array", `{"id":[[1]]}`, "offset 7: id: an array in an array"},
		{"too many bytes", `{"id":"` + strings.Repeat("a", 500) + `"}`, "at most 500 are taken"},
		{"too deep", strings.Repeat(`{"kin":`, 6) + `{}` + strings.Repeat("}", 6), "nested over 5 deep"},
		{"too deep in what is left out", `{"x":[[[[[1]]]]]}`, "offset 9: objects and arrays are nested over 5 deep"},
		{"too many values, left out or not", `{"x":[` + strings.Repeat("1,", 60) + `1]}`, "over 50 values"},
		{"a string too long", `{"id":"` + strings.Repeat("a", 101) + `"}`, "id: a string of over 100 bytes"},
		{"a string too long with escapes", `{"id":"\n` + strings.Repeat("a", 101) + `"}`, "id: a string of over 100 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tree.ReadJSON([]byte(tt.body), personType, nil, tree.JSONLimits{Bytes: 500, Depth: 5, Values: 50, String: 100})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
		})
	}
}

func TestASimpleValueStandsForAnObjectWhereAsked(t *testing.T) {
	t.Parallel()
	root, err := tree.ReadJSON([]byte(`{"name":["O",{"family":"P"}]}`), personType, nil, tree.JSONLimits{SimpleForObject: true})
	if err != nil || treetest.Dump(root) != "name=O\nname[2].family=P" {
		t.Errorf("%s %v", treetest.Dump(root), err)
	}
}

func TestSplitJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, want, err string }{
		{name: "one object", body: ` {"a":1} `, want: `{"a":1}`},
		{name: "an array of objects", body: "\ufeff[ {\"a\":[1]} ,\n{} ]\n", want: `{"a":[1]}|{}`},
		{name: "an empty array", body: `[ ]`},
		{name: "nothing", body: "\n"},
		{name: "lines", body: "{\"a\":1}\n{\"b\":2}{}\n", want: `{"a":1}|{"b":2}|{}`},
		{name: "a value that is no object", body: `[{},1]`, err: "offset 4: a JSON object is expected"},
		{name: "a comma too many", body: `[{},]`, err: "offset 4: a JSON object is expected"},
		{name: "an array that does not end", body: `[{}`, err: "offset 3: a comma or ]"},
		{name: "something behind the array", body: `[{}]x`, err: "offset 4: something follows the array"},
		{name: "something behind an object", body: "{}\nx", err: "line 2, offset 3: a JSON object is expected"},
		{name: "an object that is not sound", body: `{"a":}`, err: "offset 5: a value is expected"},
		{name: "a name twice", body: `{"a":1,"a":2}`, err: "twice"},
		{name: "more values than one object may have, in two", body: `[{"a":[1,2,3]},{"a":[1,2,3]}]`, want: `{"a":[1,2,3]}|{"a":[1,2,3]}`},
		{name: "more values than one object may have", body: `[{"a":[1,2,3,4,5]}]`, err: "over 5 values"},
		{name: "too many bytes", body: `{"a":"` + strings.Repeat("a", 100) + `"}`, err: "at most 100 are taken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parts, err := tree.SplitJSON([]byte(tt.body), tree.JSONLimits{Values: 5, Bytes: 100})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("the error is %v, want %q", err, tt.err)
			}
			if got := string(bytes.Join(parts, []byte("|"))); err == nil && got != tt.want {
				t.Errorf("the parts are %s, want %s", got, tt.want)
			}
		})
	}
}

func TestReadJSONTakesWhatIsAtItsLimits(t *testing.T) {
	t.Parallel()
	body := `{"x":[[[1]]],"kin":{"kin":{"kin":{}}},"id":"abcdefgh","amount":"a\nbcdefg","y":[1,2,3]}`
	o := tree.JSONLimits{Bytes: len(body), Depth: 4, Values: 13, String: 8}
	if _, err := tree.ReadJSON([]byte(body), personType, nil, o); err != nil {
		t.Error(err)
	}
	for name, o := range map[string]tree.JSONLimits{"bytes": {Bytes: len(body) - 1}, "depth": {Depth: 3}, "values": {Values: 12}, "string": {String: 7}} {
		if _, err := tree.ReadJSON([]byte(body), personType, nil, o); err == nil {
			t.Errorf("one less is taken: %s", name)
		}
	}
}

func TestReadJSONFoldsTheNamesOfDoubles(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, `"a%d":1,`, i)
	}
	for _, two := range []string{`"Zz":1,"zZ":1`, `"Aa":1,"aA":1`, `"a7":1,"A7":1`} {
		if _, err := tree.ReadJSON([]byte("{"+many.String()+two+"}"), personType, nil, tree.JSONLimits{FoldNames: true}); err == nil {
			t.Errorf("%s is taken among many", two)
		}
	}
	if _, err := tree.ReadJSON([]byte("{"+many.String()+`"b[":1,"b{":1}`), personType, nil, tree.JSONLimits{FoldNames: true}); err != nil {
		t.Errorf("names that differ: %v", err)
	}
	for _, body := range []string{`{"x":1,"X":2}`, `{` + strings.Repeat(" ", 3) + `"ID":"1","id":"2"}`} {
		if _, err := tree.ReadJSON([]byte(body), personType, nil, tree.JSONLimits{FoldNames: true}); err == nil {
			t.Errorf("%s is taken", body)
		}
		if _, err := tree.ReadJSON([]byte(body), personType, nil, tree.JSONLimits{}); err != nil {
			t.Errorf("%s is refused without folding: %v", body, err)
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{`{"id":"a\u00e9","name":[{"family":"O","given":["A",null]}],"x":{"y":[1.5e3,true]}}`, `{"kin":{"kin":{"id":"\ud83d\ude00"}},"amount":-0.0}`, `{"a":1,"a":2}`, "\ufeff{}", "{\"id\":\"\xff\"}", `{"active":[false],"ID":null}`} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, relaxed bool) {
		o := tree.JSONLimits{EmptyIsAbsent: relaxed, FoldNames: relaxed, AnyRepeats: relaxed}
		root, err := tree.ReadJSON(body, personType, nil, o)
		part, partErr := tree.ReadJSON(body, personType, tree.Selection{"": {"name": true, "kin": true}, "name": {"given": true}}, o)
		if fmt.Sprint(err) != fmt.Sprint(partErr) {
			t.Fatalf("what is selected decides about the error: %v, %v", err, partErr)
		}
		if err != nil {
			return
		}
		if parts, err := tree.SplitJSON(body, o); err != nil || len(parts) != 1 {
			t.Fatalf("one object is split into %d: %v", len(parts), err)
		}
		if !json.Valid([]byte(strings.TrimPrefix(string(body), "\ufeff"))) {
			t.Fatal("what is not JSON is taken")
		}
		sameNames(t, root, part, "")
		checkPositions(t, string(body), root)
	})
}

// sameNames: whoever reads names and given names sees no difference.
func sameNames(t *testing.T, root, part *tree.Node, path string) {
	count := func(n *tree.Node, name string) (out []*tree.Node) {
		for k := range n.All(name) {
			out = append(out, k)
		}
		return out
	}
	for _, name := range []string{"name", "kin", "given"} {
		if path == "name" != (name == "given") {
			continue
		}
		a, b := count(root, name), count(part, name)
		if len(a) != len(b) {
			t.Fatalf("%d %s, %d when selected", len(a), name, len(b))
		}
		for i := range a {
			if a[i].State != b[i].State || a[i].Text != b[i].Text || a[i].Pos != b[i].Pos || (len(a[i].Kids) == 0) != (len(b[i].Kids) == 0) {
				t.Fatalf("%s differs when selected: %+v, %+v", name, a[i], b[i])
			}
			sameNames(t, a[i], b[i], name)
		}
	}
}

// checkPositions: at its offset and line stands the value itself.
func checkPositions(t *testing.T, body string, n *tree.Node) {
	rest := body[n.Pos.Offset:]
	if 1+strings.Count(body[:n.Pos.Offset], "\n") != n.Pos.Line {
		t.Fatalf("offset %d is not on line %d", n.Pos.Offset, n.Pos.Line)
	}
	var v any
	dec := json.NewDecoder(strings.NewReader(rest))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("no value at offset %d: %v", n.Pos.Offset, err)
	}
	switch v := v.(type) {
	case nil:
		if n.State != tree.Null {
			t.Fatalf("null at %d is %+v", n.Pos.Offset, n)
		}
	case string:
		if n.Text != v {
			t.Fatalf("a string at %d is read differently", n.Pos.Offset)
		}
	case bool:
		if n.Text != strconv.FormatBool(v) {
			t.Fatalf("%v at %d is %+v", v, n.Pos.Offset, n)
		}
	case json.Number:
		if n.Text != v.String() {
			t.Fatalf("%v at %d is %+v", v, n.Pos.Offset, n)
		}
	case map[string]any:
	default:
		t.Fatalf("%T at %d is %+v", v, n.Pos.Offset, n)
	}
	for _, k := range n.Kids {
		checkPositions(t, body, k)
	}
}

func BenchmarkReadJSON(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"id":"2819c223-7f76-453a-919d-413861904646","active":true,"amount":310000.00,"meta":{"resourceType":"User","version":"W/\"3694e05e9dff590\""},"name":[`)
	for i := 0; s.Len() < 1900; i++ {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"use": "official", "family": "Family%d", "given": ["Ann", "B."], "period": {"start": "2026-01-01"}}`, i)
	}
	s.WriteString(`],"kin":{"id":"8","name":[{"family":"O'Hara"}]}}`)
	body := []byte(s.String())
	for name, only := range map[string]tree.Selection{"everything": nil, "three fields": {"": {"id": true, "active": true, "name": true}, "name": {"family": true}}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tree.ReadJSON(body, personType, only, tree.JSONLimits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("encoding/json into any", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			var v map[string]any
			if err := json.Unmarshal(body, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
