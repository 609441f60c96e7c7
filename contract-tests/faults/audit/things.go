package audit

import (
	"regexp"
	"strconv"
)

// What people read at the target, not external ids, says what a record is:
//
//	patient REF    a res.partner with that ref; its version ends street2, "Apt 3 v7"
//	kin of THING   a res.partner without a ref whose parent is that thing
//	visit REF      a sale.order; its version ends client_order_ref, "REF v7"
//	claim REF      an account.move with that ref; its version is what its dearest line charges beyond 1000
var version = regexp.MustCompile(`^(.*) v(\d+)$`)

// ClaimBase is what the first line of version 0 of a claim would charge.
const ClaimBase = 1000

// versioned splits a text that ends in a version.
func versioned(text string) (string, int) {
	m := version.FindStringSubmatch(text)
	if m == nil {
		return text, 0
	}
	n, _ := strconv.Atoi(m[2])
	return m[1], n
}

// things finds what records are, from all that was ever said of them: their fields at the end, and those
// of their changes before.
type things struct {
	values map[Ref]map[string]any
}

func text(values map[string]any, field string) string {
	s, _ := values[field].(string)
	return s
}

// other is the id that a field which points at another record has: a number, or a pair of number and name.
func other(values map[string]any, field string) int64 {
	switch v := values[field].(type) {
	case float64:
		return int64(v)
	case []any:
		if len(v) > 0 {
			n, _ := v[0].(float64)
			return int64(n)
		}
	}
	return 0
}

// of names the thing that a record is or belongs to, "" if none. part says that it belongs to it.
func (t things) of(r Ref) (name string, part bool) {
	v := t.values[r]
	switch r.Model {
	case "res.partner":
		if ref := text(v, "ref"); ref != "" {
			return "patient " + ref, false
		}
		if parent := other(v, "parent_id"); parent != 0 {
			if of, _ := t.of(Ref{"res.partner", parent}); of != "" {
				return "kin of " + of, false
			}
		}
	case "sale.order":
		if ref := text(v, "client_order_ref"); ref != "" {
			of, _ := versioned(ref)
			return "visit " + of, false
		}
	case "account.move":
		if ref := text(v, "ref"); ref != "" {
			return "claim " + ref, false
		}
	case "account.move.line":
		if of, _ := t.of(Ref{"account.move", other(v, "move_id")}); of != "" {
			return of, true
		}
	}
	return "", false
}

// versionOf is the version that a record, or a change of one, says; 0 if none.
func versionOf(model string, values map[string]any) int {
	switch model {
	case "res.partner":
		_, n := versioned(text(values, "street2"))
		return n
	case "sale.order":
		_, n := versioned(text(values, "client_order_ref"))
		return n
	case "account.move.line":
		if price, _ := values["price_unit"].(float64); price > ClaimBase {
			return int(price) - ClaimBase
		}
	}
	return 0
}
