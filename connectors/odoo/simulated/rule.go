package simulated

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// kinds are the names of faults in rules.
var kinds = map[string]Fault{
	"serialization":     {Kind: FaultRaise},
	"deadlock":          {Kind: FaultRaise, Class: "psycopg2.errors.DeadlockDetected", Message: "deadlock detected\n"},
	"database-down":     {Kind: FaultRaise, Class: "psycopg2.OperationalError", Message: "connection to server failed: Connection refused\n"},
	"access-denied":     {Kind: FaultRaise, Class: "odoo.exceptions.AccessDenied", Message: "Access Denied"},
	"user-error":        {Kind: FaultRaise, Class: "odoo.exceptions.UserError", Message: "This is refused by a rule of the simulated server."},
	"unknown":           {Kind: FaultRaise, Class: "odoo.addons.simulated.SurpriseError", Message: "nobody has seen this before"},
	"hang-up":           {Kind: FaultHangUp},
	"drop-after-commit": {Kind: FaultDieBeforeReply},
	"timeout":           {Kind: FaultStall},
	"garbage":           {Kind: FaultGarbage},
	"html500":           {Kind: FaultStatus, Status: 500},
	"html502":           {Kind: FaultStatus, Status: 502},
	"html503":           {Kind: FaultStatus, Status: 503},
	"html429":           {Kind: FaultStatus, Status: 429},
}

// Rule reads a fault from "calls:kind" or "calls:kind:times". Calls are a
// method ("load"), one of a model ("res.partner.load"), all of a model
// ("res.partner.*") or all ("*"); without times they fail until the fault is
// taken away.
func Rule(text string) (Fault, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return Fault{}, fmt.Errorf("simulated: a rule is calls:kind or calls:kind:times, such as res.partner.load:serialization:3")
	}
	f, ok := kinds[parts[1]]
	if !ok {
		return Fault{}, fmt.Errorf("simulated: there is no fault %q; there are %s", parts[1], strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	if f.Method = parts[0]; strings.Contains(f.Method, ".") {
		i := strings.LastIndexByte(f.Method, '.')
		f.Model, f.Method = f.Method[:i], f.Method[i+1:]
	}
	if f.Method == "*" {
		f.Method = ""
	} else if f.Method == "" {
		return Fault{}, fmt.Errorf("simulated: a rule names a method, or * for all")
	}
	if len(parts) == 3 {
		n, err := strconv.Atoi(parts[2])
		if err != nil || n < 1 {
			return Fault{}, fmt.Errorf("simulated: times is a number from 1 on")
		}
		f.Times = n
	}
	return f, nil
}

// rule is the fault as Rule reads it.
func (f *Fault) rule() string {
	calls, kind := f.Method, "custom"
	if calls == "" {
		calls = "*"
	}
	if f.Model != "" {
		calls = f.Model + "." + calls
	}
	serialization := serializationFailure().class
	for name, k := range kinds {
		if k.Kind == f.Kind && k.Status == f.Status && (k.Class == f.Class || k.Class == "" && f.Class == serialization) {
			kind = name
		}
	}
	if f.Times > 0 {
		return calls + ":" + kind + ":" + strconv.Itoa(f.Times)
	}
	return calls + ":" + kind
}
