package odoo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
)

func TestEqualValuesForManyRecordsTravelInOneWrite(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		const n = 5
		calls := 0
		watched := *b
		watched.url = flaky(t, b.url, func(path string, body []byte) bool {
			if isMutating(path, body) {
				calls++
			}
			return false
		})
		target := watched.as(t, b.user, b.key)
		tag := b.xid("tag")
		b.applied(t, b.unit(broker.Operation{ID: "tag", Model: "res.partner.category", Do: "upsert", XID: tag, Vals: broker.Values{"name": "Tag " + b.prefix}}))
		all := func(op func(i int) broker.Operation) []*broker.Unit {
			var units []*broker.Unit
			for i := range n {
				o := op(i)
				o.ID, o.Model, o.XID = "it", "res.partner", b.xid(fmt.Sprint("equal", i))
				units = append(units, b.unit(o))
			}
			return units
		}
		b.applied(t, all(func(i int) broker.Operation {
			return broker.Operation{Do: "upsert", Vals: broker.Values{"name": fmt.Sprint("n", i), "city": "Austin", "zip": "1"}}
		})...)
		changed := broker.Values{"city": "Boston", "zip": nil, "is_company": true, "color": json.Number("4"), "comment": "hello",
			"country_id": refTo("res.country", map[string]any{"code": "US"}), "category_id": map[string]any{"$add": []any{map[string]any{"$xid": tag}}}}
		for i, step := range []broker.Operation{{Do: "update", Vals: changed}, {Do: "archive"}} {
			for range 2 { // a repeat writes nothing
				for _, o := range applyTo(t, target, all(func(int) broker.Operation { return step })...) {
					if o.Result != broker.Applied {
						t.Fatalf("%s: %s", o.Class, o.Reason)
					}
				}
			}
			if want := i + 1; calls != want {
				t.Errorf("%s: %d calls, want %d", step.Do, calls, want)
			}
		}
		for i := range n {
			got := b.read(t, b.xid(fmt.Sprint("equal", i)), "name", "city", "zip", "is_company", "color", "comment", "active", "category_id")
			if tags, _ := got["category_id"].([]any); len(tags) != 1 {
				t.Errorf("tags %v", got["category_id"])
			}
			want(t, got, map[string]any{"name": fmt.Sprint("n", i), "city": "Boston", "zip": false, "is_company": true, "color": int64(4), "comment": "<p>hello</p>", "active": false})
		}
	})
}

func TestEqualValuesOfTwoModelsOrInTwoContextsTravelApart(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		var calls []string
		watched := *b
		watched.url = flaky(t, b.url, func(path string, body []byte) bool {
			if isMutating(path, body) && (bytes.Contains(body, []byte("write")) || strings.HasSuffix(path, "/write")) {
				calls = append(calls, path)
			}
			return false
		})
		target := watched.as(t, b.user, b.key)
		archive := func(model, name string, in broker.Values) *broker.Unit {
			return b.unit(broker.Operation{ID: "it", Model: model, Do: "archive", XID: b.xid(name), Context: in})
		}
		tag := broker.Operation{ID: "tag", Model: "res.partner.category", Do: "upsert", XID: b.xid("tag"), Vals: broker.Values{"name": "Tag " + b.prefix}}
		b.applied(t, b.unit(tag), b.unit(upsert(b.xid("one"), broker.Values{"name": "n"})), b.unit(upsert(b.xid("two"), broker.Values{"name": "n"})))
		for _, o := range applyTo(t, target, archive("res.partner.category", "tag", nil), archive("res.partner", "one", nil), archive("res.partner", "two", broker.Values{"tracking_disable": false})) {
			if o.Result != broker.Applied {
				t.Errorf("%s: %s", o.Class, o.Reason)
			}
		}
		if len(calls) > 0 { // of one record each: by load
			t.Errorf("written together: %v", calls)
		}
	})
}

func TestOneBadRecordOfAnEqualWriteDoesNotSpoilTheOthers(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		// A contact may not become its own parent.
		root := b.xid("root")
		b.applied(t, b.unit(upsert(root, broker.Values{"name": "Root", "is_company": true})))
		units := []*broker.Unit{b.unit(broker.Operation{ID: "it", Model: "res.partner", Do: "update", XID: root, Vals: broker.Values{"parent_id": map[string]any{"$xid": root}}})}
		for i := range 3 {
			x := b.xid(fmt.Sprint("child", i))
			b.applied(t, b.unit(upsert(x, broker.Values{"name": "Child", "type": "other"})))
			units = append(units, b.unit(broker.Operation{ID: "it", Model: "res.partner", Do: "update", XID: x, Vals: broker.Values{"parent_id": map[string]any{"$xid": root}}}))
		}
		var got []string
		for _, o := range applyTo(t, b.target, units...) {
			got = append(got, o.Result.String())
		}
		if d := cmp.Diff([]string{"rejected", "applied", "applied", "applied"}, got); d != "" {
			t.Error(d)
		}
	})
}

func TestWhichRowsAreForWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row  row
		want map[string]any
	}{
		"a text, an empty one, nothing":    {row{cells: []cell{{column: "a", value: "x"}, {column: "b", value: ""}, {column: "c", value: false}}}, map[string]any{"a": "x", "b": false, "c": false}},
		"yes and no":                       {row{cells: []cell{{column: "a", value: "1", truth: true}, {column: "b", value: "0", truth: true}}}, map[string]any{"a": true, "b": false}},
		"a reference, and none":            {row{cells: []cell{{column: "a/.id", value: "7"}, {column: "b/.id", value: false}}}, map[string]any{"a": int64(7), "b": false}},
		"many, added":                      {row{add: true, cells: []cell{{column: "a/.id", value: "7,8", mode: add}}}, map[string]any{"a": []any{[]any{4, int64(7), 0}, []any{4, int64(8), 0}}}},
		"many, and none, replaced":         {row{cells: []cell{{column: "a/.id", value: "7", mode: set}, {column: "b/.id", value: false, mode: set}}}, map[string]any{"a": []any{[]any{6, 0, []any{int64(7)}}}, "b": []any{[]any{6, 0, []any{}}}}},
		"json is for load":                 {row{cells: []cell{{column: "a", value: `{"7":100}`}}}, nil},
		"an external id is for load":       {row{cells: []cell{{column: "a/id", value: "t.x"}}}, nil},
		"a new record is for load":         {row{kind: insert, cells: []cell{{column: "a", value: "x"}}}, nil},
		"lines are for load":               {row{nested: &nested{}, cells: []cell{{column: "a", value: "x"}}}, nil},
		"a record that is not known is so": {row{id: -1, cells: []cell{{column: "a", value: "x"}}}, nil},
	} {
		if c.row.kind == insert && name != "a new record is for load" {
			c.row.kind = update
		}
		c.row.id = 1 + c.row.id
		if d := cmp.Diff(c.want, c.row.written()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
