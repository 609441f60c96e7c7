package main

import (
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// traceCmd is `vagus trace`.
type traceCmd struct {
	oneUnit
}

// Run prints every hop of one unit, its time and what passed since the hop
// before.
func (cmd *traceCmd) Run(c *console) error {
	d, err := cmd.find(c)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(d)
	}
	u := d.Unit
	c.say("unit %s", u.ID)
	c.say("%s from %s/%s to %s, sender's id %s: %s", u.Kind, u.Site, u.Feed, u.Target, u.SenderID, u.Status)
	if id := traceID(u.Trace); id != "" {
		c.say("trace %s", id)
	}
	c.say("")
	var rows [][]cell
	var before time.Time
	for _, h := range d.Hops {
		delay := ""
		if !before.IsZero() {
			delay = "+" + age(h.At.Sub(before))
			if h.At.Before(before) {
				delay = "clock " + age(h.At.Sub(before)) // another machine's clock, which is behind
			}
		}
		before = h.At
		var what []string
		for _, s := range []string{h.Worker, h.By, h.Class, h.Reason} {
			if s != "" {
				what = append(what, s)
			}
		}
		if h.Took > 0 {
			what = append(what, "took "+age(h.Took))
		}
		rows = append(rows, []cell{{text: h.At.In(c.loc).Format("2 Jan 15:04:05.000")}, {text: delay}, {h.What, statusInk(ledger.Status(h.What))}, {text: strings.Join(what, ": ")}})
	}
	if u.Warning != "" {
		rows = append(rows, []cell{{}, {}, {"warning", yellow}, {text: u.Warning}})
	}
	for _, r := range u.Records {
		rows = append(rows, texts("", "", "record", record(r)))
	}
	if !u.WaitingSince.IsZero() {
		rows = append(rows, []cell{{text: u.WaitingSince.In(c.loc).Format("2 Jan 15:04:05.000")}, {}, {"waits since", yellow}, {}})
	}
	for _, w := range u.Waits {
		rows = append(rows, []cell{{}, {}, {"waits", yellow}, {text: waitsFor(w)}})
	}
	if u.Status == ledger.Parked && !u.NextAttempt.IsZero() && len(u.Waits) == 0 {
		rows = append(rows, texts(u.NextAttempt.In(c.loc).Format("2 Jan 15:04:05.000"), "", "next attempt", ""))
	}
	c.table([]column{{head: "TIME"}, {head: "DELAY", right: true}, {head: "HOP"}, {head: "DETAIL"}}, rows)
	return nil
}

// traceID is the trace id of a W3C traceparent (Trace Context section 3.2), or "".
func traceID(traceparent string) string {
	if p := strings.Split(traceparent, "-"); len(p) >= 4 && len(p[1]) == 32 {
		return p[1]
	}
	return ""
}
