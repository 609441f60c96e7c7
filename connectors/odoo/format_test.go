package odoo

import (
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

func recordDialect(t testing.TB) tree.Dialect {
	t.Helper()
	d, err := Format{}.Dialect(tree.Declaration{Columns: []tree.Column{
		{Name: "name", Type: "text", Labels: tree.Name}, {Name: "active", Type: "bool", Labels: tree.Admin}, {Name: "price", Type: "decimal", Labels: tree.Financial},
		{Name: "at", Type: "datetime", Labels: tree.Admin}, {Name: "day", Type: "date", Labels: tree.Admin},
		{Name: "partner_id", Type: "object", Labels: tree.Order, Parts: []tree.Column{{Name: "id", Type: "decimal"}, {Name: "display_name", Type: "text"}}},
		{Name: "line_ids", Type: "object", Repeats: true, Labels: tree.Order, Parts: []tree.Column{{Name: "qty", Type: "decimal"}, {Name: "product_id", Type: "object", Parts: []tree.Column{{Name: "default_code", Type: "code"}}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestARecordDecodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"values":                   {`{"_model":"x.y","_change":"write","id":7,"name":"N","active":false,"price":12.5,"other":1}`, "_model=x.y _change=write id=7 name=N active=false price=12.5"},
		"false is empty":           {`{"name":false,"price":false,"at":false,"partner_id":false,"active":true}`, "name null price null at null partner_id null active=true"},
		"points in time":           {`{"at":"2026-05-04 16:20:11","write_date":"2026-05-04 16:20:11","day":"2026-05-04"}`, "at=2026-05-04T16:20:11Z write_date=2026-05-04T16:20:11Z day=2026-05-04"},
		"relations":                {`{"partner_id":{"id":5,"display_name":"P"},"line_ids":[{"qty":1,"product_id":{"default_code":"A"}},{"qty":2,"product_id":false}]}`, "partner_id.id=5 partner_id.display_name=P line_ids.qty=1 line_ids.product_id.default_code=A line_ids[2].qty=2 line_ids[2].product_id null"},
		"no lines":                 {`{"id":1,"line_ids":[]}`, "id=1"},
		"a record that is no more": {`{"_model":"x.y","_change":"delete","id":7}`, "_model=x.y _change=delete id=7"},
	} {
		m, err := recordDialect(t).Decode([]byte(c.body), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := strings.ReplaceAll(treetest.Dump(m.Root), "\n", " "); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
	for name, c := range map[string]struct{ body, want string }{
		"a pair of id and name": {`{"partner_id":[5,"secret"]}`, "partner_id"},
		"another time":          {`{"at":"secret"}`, "at is not a time as Odoo writes it"},
		"no object":             {`[]`, "object"},
	} {
		if _, err := recordDialect(t).Decode([]byte(c.body), nil); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	only := tree.Selection{"": {"name": true}}
	if m, err := recordDialect(t).Decode([]byte(`{"at":"2026-05-04 16:20:11","name":"N"}`), only); err != nil || m.Root.Kids[len(m.Root.Kids)-1].Text != "N" {
		t.Errorf("a time that comes first and is not selected: %v", err)
	}
	parts, err := recordDialect(t).(tree.Splitter).Split([]byte(`[{"id":1},{"id":2}]`))
	if err != nil || len(parts) != 2 {
		t.Errorf("%d records, %v", len(parts), err)
	}
	if _, err := (Format{}).Dialect(tree.Declaration{Version: "18.0", Columns: []tree.Column{{Name: "a", Type: "text"}}}); err == nil {
		t.Error("a version is taken")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"_model":"x","id":7,"name":false,"at":"2026-05-04 16:20:11","line_ids":[{"qty":1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := recordDialect(t).Decode(body, nil)
		if (m == nil) == (err == nil) {
			t.Error("neither a message nor an error")
		}
	})
}

// What is read of a file that was written is what was; of any other it is an
// error, or some memory, and never much of it.
func FuzzMemory(f *testing.F) {
	m := &memory{known: map[int64]version{3: {at: 1_700_000_000, hash: 1, looks: once}, 70_000: {at: 1_600_000_000, hash: 1 << 63, looks: done}, 71_000: {}}}
	m.about = about{Database: "d", Reads: "r", Cursor: []int64{5, 6}, Floor: 9}
	f.Add(m.bytes())
	f.Add([]byte(memoryMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := &memory{known: map[int64]version{}}
		if got.decode(data) != nil {
			return
		}
		again := &memory{known: map[int64]version{}}
		if err := again.decode(got.bytes()); err != nil || len(again.known) != len(got.known) || !slices.Equal(again.about.Cursor, got.about.Cursor) {
			t.Errorf("%v, %d records of %d", err, len(again.known), len(got.known))
		}
	})
}

func TestADamagedMemoryIsLeftAside(t *testing.T) {
	t.Parallel()
	m := &memory{known: map[int64]version{3: {at: 5, hash: 1, looks: done}}, about: about{Database: "d"}}
	whole := m.bytes()
	for n := range whole {
		if (&memory{known: map[int64]version{}}).decode(whole[:n]) == nil {
			t.Fatalf("%d of %d bytes are taken", n, len(whole))
		}
		flipped := slices.Clone(whole)
		flipped[n] ^= 1
		if (&memory{known: map[int64]version{}}).decode(flipped) == nil {
			t.Fatalf("a flipped bit in byte %d is not noticed", n)
		}
	}
}
