package mapping

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// keysAt is the way of keys from the root of a draft to a value with this text.
func keysAt(n *node, text, way string) string {
	if n.text == text && len(n.keys)+len(n.list) == 0 {
		return way
	}
	for _, k := range n.keys {
		if k.partial && k.key == text {
			return way + "/" + text + "?"
		}
		if found := keysAt(k.val, text, way+"/"+k.key); found != "" {
			return found
		}
	}
	for _, i := range n.list {
		if found := keysAt(i, text, way+"/-"); found != "" {
			return found
		}
	}
	return ""
}

func TestWhatIsBrokenDoesNotSwallowWhatStandsBehindIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, text, value, want string }{
		{"a bracket that is open", "a:\n  b: { c: 1, d\n  e: x\n", "x", "/a/e"},
		{"a list that is open", "a:\n  b: [ 1, { c: 2\n  e: x\n", "x", "/a/e"},
		{"a quote that is open", "a:\n  b: \"{mrn\n  e: x\n", "x", "/a/e"},
		{"a quote that is open in brackets", "a:\n  b: { c: \"d, e: f }\n  e: x\n", "x", "/a/e"},
		{"a quote that is open above deeper lines", "a:\n  b: \"c\n    d: y\n    e: \"z\n  f: x\n", "c", "/a/b"},
		{"a quote over two lines", "a:\n  b: \"c\n    d\"\n  e: x\n", "c d", "/a/b"},
		{"a key to come", "a:\n  b: 1\n  ke\n  e: x\n", "ke", "/a/ke?"},
		{"a key to come as the first", "a:\n  ke\n  e: x\n", "ke", "/a/ke?"},
		{"a key to come in brackets", "a: { b: c, ke }\n", "ke", "/a/ke?"},
		{"a key without a value", "a:\n  b:\n  e: x\n", "x", "/a/e"},
		{"an item to come", "a:\n  - b: 1\n  -\nc: x\n", "x", "/c"},
		{"a word for an item", "a:\n  - b: 1\n  - it\nc: x\n", "it", "/a/-"},
		{"a line too deep", "a: 1\n    b: 2\nc: x\n", "x", "/c"},
		{"a closing bracket too many", "a: { b: c } }\nc: x\n", "x", "/c"},
		{"brackets where a key should be", "a: { [b], {c}: 1, d: y }\nc: x\n", "x", "/c"},
		{"a colon alone", "a: { : , d: y }\nc: x\n", "y", "/a/d"},
		{"a tab", "a:\n\tb: x\n", "x", "/a/b"},
		{"a comment between", "a:\n  # c: d\n  b: x # y\n", "x", "/a/b"},
		{"CR LF", "a:\r\n  b: x\r\n", "x", "/a/b"},
		{"a block of text", "a: |\n  x: y\n\n  z\nc: x\n", "x: y\n\nz\n", "/a"},
		{"a folded block", "a: >-\n  x\n  z\nc: x\n", "x z", "/a"},
		{"an empty block at the end", "c: x\na: |", "x", "/c"},
		{"a list at the indentation of its key", "a:\n- b: x\nc: y\n", "y", "/c"},
		{"escapes", `a: { "k\"1": 'it''s' }`, "it's", `/a/k"1`},
	} {
		if got := keysAt(readDraft(c.text).root, c.value, ""); got != c.want {
			t.Errorf("%s: %q stands at %q, want %q", c.what, c.value, got, c.want)
		}
	}
}

func TestASpotKnowsTheObjectOfTheGrammar(t *testing.T) {
	t.Parallel()
	const head = "kind: mapping\n"
	for _, c := range []struct {
		text   string // ‸ is the place
		object string
		key    string
		onKey  bool
		means  grammar.Meaning
	}{
		{"‸", "mapping", "", true, 0},
		{"ki‸", "mapping", "ki", true, 0},
		{head + "source: { format: ‸ }", "source", "format", false, grammar.FormatName},
		{head + "source:\n  format: hl7‸v2", "source", "format", false, grammar.FormatName},
		{head + "source:\n  when: { MSH-‸ }", "conditions", "MSH-", true, grammar.Condition},
		{head + "let:\n  mrn: { from: [ PID-3, ‸ ] }", "let", "from", false, grammar.Path},
		{head + "operations:\n  - id: a\n    fields:\n      name: { ref: { by: { co‸ } } }", "keys", "co", true, grammar.SearchField},
		{head + "operations:\n  - id: a\n    fields:\n      lines:\n        - each: NK1[*]\n          fields:\n            x: PID-‸", "fields", "x", false, grammar.Path},
		{head + "segments:\n  - BEG: { \"01\": na‸ }", "elements", "01", false, grammar.Path},
		{head + "segments:\n  - each: a[*]\n    segments:\n      - PO1: { \"01\": { te‸ } }", "element", "te", true, 0},
		{head + "extends: b.yaml\nset: { patient.phone: { from: PID-‸ } }", "rule", "from", false, grammar.Path},
		{head + "extends: b.yaml\nset: { patient.‸ }", "changes", "patient.", true, grammar.RuleID},
		{head + "extends: b.yaml\n‸", "overlay", "", true, 0},
		{"kind: tests\ncases:\n  - name: x\n    expect: { verdict: ‸ }", "expect", "verdict", false, grammar.Word},
		{"kind: fragment\nfields:\n  a: { map: ‸ }", "rule", "map", false, grammar.TableName},
	} {
		before, after, _ := strings.Cut(c.text, "‸")
		line := strings.Count(before, "\n")
		col := len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
		s, ok := ReadDocument("a.map.yaml", before+after).At(line, col)
		name := ""
		if s.Object != nil {
			name = s.Object.Name
		}
		if !ok || name != c.object || s.Key != c.key || s.OnKey != c.onKey || s.Means != c.means {
			t.Errorf("%q: %v %s %q %v %v", c.text, ok, name, s.Key, s.OnKey, s.Means)
		}
	}
	for _, text := range []string{"a: 1 # ‸x", "# ‸", head + "description: |\n  x\n\n# ‸"} {
		before, after, _ := strings.Cut(text, "‸")
		if s, ok := ReadDocument("a.map.yaml", before+after).At(strings.Count(before, "\n"), len(before)-strings.LastIndexByte(before, '\n')-1); ok {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func TestThePlaceIsFoundEverywhereInEveryFile(t *testing.T) {
	t.Parallel()
	yamlFiles(t, func(name string, data []byte) {
		d := ReadDocument(name, string(data))
		step := 1 + len(data)/400
		n := 0
		for line, text := range d.draft.lines {
			for col := 0; col <= len(text); col++ {
				if n++; n%step != 0 {
					continue
				}
				s, ok := d.At(line, col)
				if ok && s.Offset > len([]rune(s.Text)) {
					t.Fatalf("%s:%d:%d: %+v", name, line+1, col+1, s)
				}
				if n%(50*step) == 0 {
					sameSpot(t, d, line, col)
				}
			}
		}
	})
}

// sameSpot compares a place as it is found with one that the whole file was read for.
func sameSpot(t *testing.T, d *Document, line, col int) {
	t.Helper()
	got, found := d.At(line, col)
	want, there := d.spot(line, col, 0, len(d.draft.lines))
	if found != there || seen(got) != seen(want) {
		t.Fatalf("%d:%d: %v %s\nin the whole file %v %s", line+1, col+1, found, seen(got), there, seen(want))
	}
}

// seen is a spot in words, with the keys of the maps and the items on its way.
func seen(s Spot) string {
	var b strings.Builder
	for _, l := range s.chain {
		fmt.Fprintf(&b, "%p %s %d %s %d:", l.object, l.key, l.index, l.node.text, len(l.node.list))
		for _, k := range l.node.keys {
			fmt.Fprintf(&b, " %s %v %v %q", k.key, k.at, k.partial, k.val.text)
		}
	}
	s.chain = nil
	return fmt.Sprintf("%p %+v", s.Object, s) + b.String()
}

// FuzzDraft reads anything, and finds places in it.
func FuzzDraft(f *testing.F) {
	yamlFiles(f, func(_ string, data []byte) { f.Add(string(data), 20, 7) })
	for _, s := range []string{"", "a: {", "- - - a: [", "a:\n- |\n x", "\"", "{a: b", "? x", "---\n---", "a: >\n\n\n", "[[[[{{{{", "a: 'b\n c'", "\t\t:", "- a\n b"} {
		f.Add(s, 0, 0)
	}
	f.Fuzz(func(t *testing.T, text string, line, col int) {
		if len(text) > 1<<14 {
			return
		}
		d := ReadDocument("f.map.yaml", text)
		sameSpot(t, d, line, col)
		s, ok := d.At(line, col)
		if ok {
			if s.Offset > len([]rune(s.Text)) || s.Offset < 0 {
				t.Fatalf("%+v", s)
			}
			s.RulePlace()
			n := d.Names(testFS(), nil)
			n.Model(&s)
			n.Steps(&s, s.Text)
		}
		d.ValueEnd(line, col)
	})
}
