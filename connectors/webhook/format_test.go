package webhook_test

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

var stockMove = tree.Declaration{Columns: []tree.Column{
	{Name: "id", Type: "text", Labels: tree.Order},
	{Name: "at", Type: "datetime", Labels: tree.Admin},
	{Name: "urgent", Type: "bool", Labels: tree.Admin},
	{Name: "note", Type: "text", Labels: tree.Clinical},
	{Name: "lines", Type: "object", Repeats: true, Parts: []tree.Column{
		{Name: "product", Type: "code", Labels: tree.Order},
		{Name: "quantity", Type: "decimal", Labels: tree.Order},
		{Name: "lots", Type: "text", Repeats: true, Labels: tree.Order},
		{Name: "place", Type: "object", Parts: []tree.Column{{Name: "code", Type: "code", Labels: tree.Admin}}},
	}},
}}

func dialect(t testing.TB, d tree.Declaration) tree.Dialect {
	t.Helper()
	out, err := webhook.Format{}.Dialect(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnObjectDecodesToWhatIsDeclared(t *testing.T) {
	t.Parallel()
	m, err := dialect(t, stockMove).Decode([]byte(`{"id":17,"event":"moved","note":"","urgent":false,"at":null,"lines":[
		{"product":"4-0 SILK","quantity":12.50,"lots":["L1","L2"],"place":{"code":"OR1","name":"x"}},
		{"product":"","extra":{"a":[1]}},
		{"quantity":1,"lots":[]}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `id=17
urgent=false
at null
lines.product=4-0 SILK
lines.quantity=12.50
lines.lots=L1
lines.lots[2]=L2
lines.place.code=OR1
lines[2].quantity=1`
	if got := treetest.Dump(m.Root); got != want || m.Format != "json" {
		t.Errorf("%s is\n%s\nwant\n%s", m.Format, got, want)
	}
}

func TestTheSchemaIsWhatIsDeclared(t *testing.T) {
	t.Parallel()
	d := dialect(t, stockMove)
	root, err := d.Schema("anything")
	if err != nil {
		t.Fatal(err)
	}
	lines := root.Element("lines")
	if lines == nil || !lines.Repeats || lines.Type.Element("place").Type.Element("code").Labels != tree.Admin || lines.Type.Element("quantity").Type.Kind != tree.Number {
		t.Errorf("lines is %+v", lines)
	}
	if got := d.Structures(map[string][]string{"id": {"1"}}); len(got) != 1 || got[0] != "" {
		t.Errorf("structures %q", got)
	}
}

func TestErrorsNameTheFormatAndThePlace(t *testing.T) {
	t.Parallel()
	d := dialect(t, stockMove)
	_, err := d.Decode([]byte(`{"id":"secret","lines":[{"place":"OR1"}]}`), nil)
	if err == nil || err.Error() != "decode json: JSON line 1, offset 33: lines.place: a simple value where an object is expected" {
		t.Errorf("%v", err)
	}
	if _, err := d.(tree.Splitter).Split([]byte(`[1]`)); err == nil || !strings.HasPrefix(err.Error(), "split json: ") {
		t.Errorf("%v", err)
	}
	for want, decl := range map[string]tree.Declaration{
		"json: no attributes":    {},
		"no version":             {Version: "1", Columns: stockMove.Columns},
		"json is UTF-8":          {Charset: "windows-1252", Columns: stockMove.Columns},
		"delimiter":              {Delimiter: ";", Columns: stockMove.Columns},
		"or segments":            {Segments: stockMove.Columns, Columns: stockMove.Columns},
		"json: lines.x has no t": {Columns: []tree.Column{{Name: "lines", Type: "object", Parts: []tree.Column{{Name: "x"}}}}},
	} {
		if _, err := (webhook.Format{}).Dialect(decl); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAFileOfObjectsIsSplit(t *testing.T) {
	t.Parallel()
	d := dialect(t, stockMove)
	for _, file := range []string{`[{"id":"1"},{"id":"2"}]`, "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"} {
		parts, err := d.(tree.Splitter).Split([]byte(file))
		if err != nil || len(parts) != 2 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		m, err := d.Decode(parts[1], nil)
		if err != nil || treetest.Dump(m.Root) != "id=2" {
			t.Errorf("%v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"1","lines":[{"quantity":1e3,"lots":["a",null]}]}`))
	f.Add([]byte("[{\"id\":\"1\"}]\n"))
	d := dialect(f, stockMove)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = d.Decode(body, nil)
		parts, err := d.(tree.Splitter).Split(body)
		if err != nil {
			return
		}
		for _, p := range parts {
			if _, err := d.(tree.Splitter).Split(p); err != nil {
				t.Fatalf("a part is no object: %v", err)
			}
		}
	})
}
