package odoo

import (
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// check refuses a unit that can never be applied, before anything of it is.
// whole says that the addon takes it, which applies it as one.
func check(u *broker.Unit, whole bool) *broker.Outcome {
	bad := func(class, format string, args ...any) *broker.Outcome {
		return &broker.Outcome{Result: broker.Rejected, Class: class, Reason: fmt.Sprintf(format, args...)}
	}
	if u.Atomic && !whole {
		return bad("odoo.needs_addon", "the mapping asks for one transaction, which takes the addon in this database; install it and replay, or let the mapping say unit: resumable")
	}
	for i := range u.Ops {
		op := &u.Ops[i]
		name := safe(op.ID)
		if !dottedName(op.Model) {
			return bad("odoo.invalid", "operation %s names no model; correct the mapping", name)
		}
		if op.XID == "" && len(op.By) == 0 && op.Do != "create" && (op.Do != "call" || op.On == "") {
			return bad("odoo.invalid", "operation %s says neither by external id nor by fields which record it means; correct the mapping", name)
		}
		if !validXID(op.XID) {
			return bad("odoo.invalid_xid", "the external id of operation %s holds a space, comma or control character; correct the mapping", name)
		}
		switch op.Do {
		case "upsert", "create", "update", "archive":
		case "merge":
			if op.Model != "res.partner" || op.On == "" {
				return bad("odoo.unsupported", "operation %s merges something else than a contact into another one (on:), which Odoo cannot do; nothing of the unit was applied", name)
			}
		case "call":
			if !methodName(op.Method) {
				return bad("odoo.invalid", "operation %s calls something that is not the name of a public method; correct the mapping", name)
			}
			if len(op.OnlyIf) == 0 && !whole {
				return bad("odoo.unguarded", "operation %s calls a method without only_if: after a lost answer nothing tells whether it ran; say which state the method leaves", name)
			}
		default:
			return bad("odoo.invalid", "operation %s does something unknown; correct the mapping", name)
		}
		for _, vals := range []broker.Values{op.Vals, op.OnCreate, op.OnUpdate, op.OnlyIf, op.Args} {
			for f := range vals {
				if !fieldName(f) {
					return bad("odoo.invalid", "operation %s has a field whose name is not one; correct the mapping", name)
				}
			}
		}
		for _, ours := range []string{"ids", "context"} {
			if _, ok := op.Args[ours]; ok {
				return bad("odoo.invalid", "operation %s has an argument that is called ids or context; correct the mapping", name)
			}
		}
	}
	return nil
}

// methodName says whether s can be the name of a method that Odoo lets us call.
func methodName(s string) bool { return fieldName(s) && s[0] != '_' }

// safe returns an operation's id when it looks like one.
func safe(id string) string {
	if id == "" || len(id) > 80 || !madeOf(id, "_.#-") {
		return "unnamed"
	}
	return id
}

// dottedName says whether s is the name of a model, a class, or a path of
// fields: "res.partner", "country_id.code".
func dottedName(s string) bool { return s != "" && !startsOdd(s[0]) && madeOf(s, "_.") }

// fieldName says whether s is the name of a field: lower case first, no dots.
func fieldName(s string) bool {
	return s != "" && !startsOdd(s[0]) && (s[0] < 'A' || s[0] > 'Z') && madeOf(s, "_")
}

func startsOdd(c byte) bool { return c >= '0' && c <= '9' || c == '.' }

// madeOf says whether s is made of ASCII letters, digits and the bytes of others.
func madeOf(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}
