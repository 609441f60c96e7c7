package workbench

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inWords writes a value of an operation for a person: plain ones as JSON,
// symbolic ones (broker.Operation) as what they mean.
func inWords(v any) string {
	switch x := v.(type) {
	case map[string]any:
		if s := symbolInWords(x); s != "" {
			return s
		}
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = inWords(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return compact(v)
}

func symbolInWords(x map[string]any) string {
	text := func(k string) string { s, _ := x[k].(string); return s }
	policies := ""
	for _, k := range []string{"on_none", "on_many"} {
		if x[k] != nil {
			policies += ", " + k + " " + text(k)
		}
	}
	switch {
	case x["$ref"] != nil:
		by, _ := x["by"].(map[string]any)
		var keys []string
		for _, k := range slices.Sorted(maps.Keys(by)) {
			keys = append(keys, k+" = "+inWords(by[k]))
		}
		return text("$ref") + " where " + strings.Join(keys, " and ") + policies
	case x["$xid"] != nil:
		return "the record " + text("$xid") + policies
	case x["$op"] != nil:
		return "the record of " + text("$op")
	}
	for _, k := range []string{"$add", "$replace", "$set", "$merge", "$distribution"} {
		if list, ok := x[k].([]any); ok {
			return strings.TrimPrefix(k, "$") + " " + inWords(list)
		}
	}
	return ""
}

// compact writes a value as JSON on one line.
func compact(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprintf("%T", v)
	}
	return strings.TrimSpace(b.String())
}
