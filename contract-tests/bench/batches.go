package main

import (
	"os"
	"strings"
)

// batches are the figures of units that reach Odoo, by model. Their targets are
// ratios to calls made by hand, on a real server: the simulated one answers in no
// time, so that a ratio to it compares two clients.
func batches(runs map[string]run) (fs []figure) {
	real := os.Getenv("VAGUS_ODOO_URL") != ""
	where := "simulated Odoo"
	if real {
		where = "real Odoo"
	}
	for _, model := range []string{"partner", "product", "invoice", "purchase-order", "employee"} {
		r := runs["contract-tests/batches Batches/"+model]
		for _, f := range []struct {
			unit, name, shown string
			target            string
			least             float64
		}{
			{"raw-units/s", "load by hand", "units/s", "", 0},
			{"one-units/s", "one unit at a time", "units/s", "", 0},
			{"one-calls/unit", "one unit at a time", "calls/unit", "", 0},
			{"batch-units/s", "batches", "units/s", "", 0},
			{"calls/unit", "batches", "calls/unit", "", 0},
			{"worker-units/s", "batches, whole worker", "units/s", "", 0},
			{"×raw", "batches, to load by hand", "×", "at least 0.9", 0.9},
			{"worker-×raw", "batches, whole worker, to load by hand", "×", "at least 0.9", 0.9},
			{"addon-units/s", "addon", "units/s", "", 0},
			{"addon-×raw", "addon, to load by hand", "×", "more than 1", 1},
			{"addon-worker-×raw", "addon, whole worker, to load by hand", "×", "more than 1", 1},
		} {
			v, ok := r[f.unit]
			if !ok {
				continue
			}
			out := figure{Name: where + ", " + strings.ReplaceAll(model, "-", " ") + ": " + f.name, Value: v, Unit: f.shown}
			if real && f.target != "" {
				met := v >= f.least
				out.Target, out.Met = f.target, &met
			}
			fs = append(fs, out)
		}
	}
	return fs
}
