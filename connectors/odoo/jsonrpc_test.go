package odoo

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestJSONOfACallReadsBackAsItWas(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		s := texts.Draw(t, "s")
		v := []any{s, []string{s, "x"}, [][]any{{s, false, nil}, {}}, []any{}, rapid.Int64().Draw(t, "n"), rapid.Float64().Draw(t, "f"), true,
			map[string]any{s: "a", "k": map[string]any{}, "l": []any{nil}}, 7, json.Number("1.50")}
		ours, err := appendJSON(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(ours, &got); err != nil {
			t.Fatalf("%s: %v", ours, err)
		}
		if err := json.Unmarshal(theirs, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s, want %s", ours, theirs)
		}
	})
	for _, v := range []any{math.NaN(), json.Number("one"), map[string]any{"a": []any{math.Inf(1)}}, [][]any{{make(chan int)}}} {
		if b, err := appendJSON(nil, v); err == nil {
			t.Errorf("%T became %s", v, b)
		}
	}
}
