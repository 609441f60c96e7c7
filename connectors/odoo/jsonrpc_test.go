package odoo

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAnswersAreReadAsEncodingJSONReadsThem(t *testing.T) {
	t.Parallel()
	check := func(t interface{ Errorf(string, ...any) }, data []byte) {
		var want any
		err := json.Unmarshal(data, &want)
		got, ok := readJSON(data)
		if !ok {
			if err == nil {
				t.Errorf("%q is refused", data)
			}
			return
		}
		if err != nil { // what is no JSON need not be refused, as long as nothing is made up
			return
		}
		ours, err := json.Marshal(got)
		if err != nil {
			t.Errorf("%q: %v", data, err)
			return
		}
		var again any
		if err := json.Unmarshal(ours, &again); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%q is read as %s", data, ours)
		}
	}
	for _, s := range []string{`{"a":[1,-2.5e3,true,false,null,"x\u00e9\ud83d\ude00\n\"",{}],"a":[],"é":"ü"}`, " [ ] \n", `[[],[[]]]`, `{"a" : {"b" : [ 1 , 2 ] } }`,
		"", "{", `{"a"`, `{"a":`, `[1,]`, `[1 2]`, `{"a":1,}`, `{,}`, `"abc`, `"\`, `"\x"`, "\"\x01\"", "\"\xff\"", `tru`, `nul`, `-`, `1e`, `9223372036854775808`, `[]]`, `{} x`, "\x00"} {
		check(t, []byte(s))
	}
	for _, s := range []string{"", "{", `{"a"`, `[1,]`, `{"a":1,}`, `"abc`, `tru`, `[]]`, `{} x`, `-`, "<html>", strings.Repeat("[", 1000) + strings.Repeat("]", 1000)} {
		if v, ok := readJSON([]byte(s)); ok {
			t.Errorf("%q is read as %v", s, v)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.SliceOf(rapid.SampledFrom([]byte(`{}[]",:\u00e9truefalsn -1.x`))).Draw(t, "data"))
		v, err := json.Marshal(map[string]any{rapid.String().Draw(t, "k"): []any{rapid.String().Draw(t, "s"), rapid.Float64().Draw(t, "f"), rapid.Int64().Draw(t, "n"), nil, true}})
		if err != nil {
			t.Fatal(err)
		}
		check(t, v)
	})
}

func TestJSONOfACallReadsBackAsItWas(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		s := texts.Draw(t, "s")
		told := s
		s = clean(s)
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
		if raw := string(appendText(nil, told)); raw != string(appendText(nil, s)) {
			t.Errorf("%q is written as %s", told, raw)
		}
	})
	for _, v := range []any{math.NaN(), json.Number("one"), map[string]any{"a": []any{math.Inf(1)}}, [][]any{{make(chan int)}}} {
		if b, err := appendJSON(nil, v); err == nil {
			t.Errorf("%T became %s", v, b)
		}
	}
}
