package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/internal/ops"
)

// messagesCmd is `vagus messages`.
type messagesCmd struct {
	Ls   messagesLsCmd   `cmd:"" help:"List messages, newest first."`
	Show messagesShowCmd `cmd:"" help:"Show what became of one message. Its content is never shown."`
}

// selection are the filters of lists.
type selection struct {
	Feed     string `placeholder:"NAME" help:"Only of this feed."`
	Site     string `placeholder:"NAME" help:"Only of this site."`
	Target   string `placeholder:"NAME" help:"Only for this target."`
	Kind     string `placeholder:"KIND" help:"Only of this kind, such as ADT^A08."`
	Since    string `placeholder:"TIME" help:"Received since: 2h, 3d, 15:04, 2026-03-01 or RFC 3339."`
	Until    string `placeholder:"TIME" help:"Received before."`
	SenderID string `name:"sender-id" placeholder:"ID" help:"Only with this id of the sender's (HL7 control id)."`
	Class    string `placeholder:"CLASS" help:"Only of this error class, such as odoo.ValidationError."`
	Limit    int    `default:"50" help:"How many at most, up to 1000."`
	Before   string `placeholder:"ID" help:"Go on after this one: the page before says it."`
}

func (f *selection) query(c *console, status []string) (ops.Query, error) {
	q := ops.Query{Feed: f.Feed, Site: f.Site, Target: f.Target, Kind: f.Kind, SenderID: f.SenderID, Class: f.Class, Limit: f.Limit, Before: f.Before}
	for _, s := range status {
		q.Status = append(q.Status, ledger.Status(s))
	}
	var err error
	if q.Since, err = c.parseTime(f.Since); err != nil {
		return q, fmt.Errorf("--since: %w", err)
	}
	if q.Until, err = c.parseTime(f.Until); err != nil {
		return q, fmt.Errorf("--until: %w", err)
	}
	return q, nil
}

// messagesLsCmd is `vagus messages ls`.
type messagesLsCmd struct {
	connection
	selection
	Status []string `placeholder:"STATUS" help:"Only these: claimed, applied, skipped, parked, dead, discarded."`
}

// Run lists units.
func (cmd *messagesLsCmd) Run(c *console) error {
	return c.list(&cmd.connection, &cmd.selection, cmd.Status, func(us []ledger.Unit) {
		var rows [][]cell
		for _, u := range us {
			rows = append(rows, []cell{{text: broker.ShortID(u.ID)}, {text: c.when(u.ReceivedAt)}, {text: u.Site + "/" + u.Feed}, {text: u.Kind}, {text: u.SenderID},
				{text: u.Target}, {string(u.Status), statusInk(u.Status)}, {text: strconv.Itoa(u.Attempts)}, {text: because(u)}})
		}
		c.table([]column{{head: "ID"}, {head: "RECEIVED"}, {head: "FEED", drop: 1}, {head: "KIND"}, {head: "SENDER ID", drop: 2},
			{head: "TARGET", drop: 3}, {head: "STATUS"}, {head: "TRIES", right: true, drop: 4}, {head: "WHY"}}, rows)
	})
}

// list prints a page of units as JSON or by show, and says how to go on.
func (c *console) list(conn *connection, sel *selection, status []string, show func([]ledger.Unit)) error {
	api, err := conn.client(c)
	if err != nil {
		return err
	}
	q, err := sel.query(c, status)
	if err != nil {
		return err
	}
	p, err := api.Messages(c.ctx, q)
	if err != nil {
		return err
	}
	if conn.Output == "json" {
		return c.printJSON(p)
	}
	if len(p.Messages) == 0 {
		c.note("none")
		return nil
	}
	show(p.Messages)
	if p.Next != "" {
		c.note("more: the same command with --before %s", p.Next)
	}
	return nil
}

// because is why a unit is not simply in effect.
func because(u ledger.Unit) string {
	var parts []string
	for _, s := range []string{u.Class, u.Reason, u.Warning} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

func statusInk(s ledger.Status) ink {
	switch s {
	case ledger.Applied:
		return green
	case ledger.Parked, ledger.Claimed:
		return yellow
	case ledger.Dead:
		return red
	}
	return faint
}

// oneUnit is a command's question about one unit.
type oneUnit struct {
	connection
	ID string `arg:"" help:"Id of a unit or message, or its first 4 characters or more."`
}

func (q *oneUnit) find(c *console) (ops.Detail, error) {
	api, err := q.client(c)
	if err != nil {
		return ops.Detail{}, err
	}
	return api.Message(c.ctx, q.ID)
}

// messagesShowCmd is `vagus messages show`.
type messagesShowCmd struct {
	oneUnit
}

// Run shows one unit.
func (cmd *messagesShowCmd) Run(c *console) error {
	d, err := cmd.find(c)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(d)
	}
	c.unit(d.Unit)
	return nil
}

// waitsFor says what a parked unit waits for in one of its keys.
func waitsFor(w ledger.Wait) string {
	s := "for key " + w.Key + " at partition " + strconv.Itoa(w.Partition)
	if w.Unit == "" {
		return s + ": its worker has not come to this unit yet"
	}
	return s + ", behind unit " + broker.ShortID(w.Unit)
}

// unit prints what the ledger knows of a unit, and what can be done about it.
func (c *console) unit(u ledger.Unit) {
	var rows [][]cell
	add := func(name, text string) {
		if text != "" {
			rows = append(rows, []cell{{name, faint}, {text: text}})
		}
	}
	short := broker.ShortID(u.ID)
	st := string(u.Status)
	if !u.SettledAt.IsZero() {
		st += " since " + c.when(u.SettledAt)
	}
	rows = append(rows, []cell{{"status", faint}, {st, statusInk(u.Status)}})
	add("why", because(u))
	add("what", u.Kind+", sender's id "+u.SenderID)
	add("way", u.Site+"/"+u.Feed+" to "+u.Target+", partition "+strconv.Itoa(u.Partition))
	add("received", c.when(u.ReceivedAt))
	add("mapping", u.Mapping)
	add("attempts", strconv.Itoa(u.Attempts))
	if !u.WaitingSince.IsZero() {
		add("waits", "for what another message is to bring, since "+c.when(u.WaitingSince))
	}
	for _, w := range u.Waits {
		add("waits", waitsFor(w))
	}
	switch {
	case len(u.Waits) > 0:
	case !u.NextAttempt.IsZero():
		add("next", "tried again at "+u.NextAttempt.In(c.loc).Format("15:04:05"))
	case u.Status == ledger.Parked:
		add("next", "waits behind an earlier one of its key")
	}
	for _, r := range u.Records {
		add("record", record(r))
	}
	add("key", u.Key)
	for _, k := range u.OtherKeys {
		add("and key", k+", partition "+strconv.Itoa(broker.Partition(k, "")))
	}
	add("unit", u.ID)
	add("message", u.MessageID)
	add("content", "not shown here: it is in the journal of site "+u.Site+", feed "+u.Feed)
	switch {
	case u.Status == ledger.Dead && u.Remappable:
		add("to do", "correct the mapping or its tables at the site, then: vagus replay "+short)
		add("or", "vagus dead discard "+short+" --why '…'")
	case u.Status == ledger.Dead:
		add("to do", "correct the cause, then: vagus replay "+short)
		add("or", "vagus dead discard "+short+" --why '…'")
		if u.Hold {
			keys := "key"
			if len(u.OtherKeys) > 0 {
				keys = "keys"
			}
			add("held", "later messages of its "+keys+" wait until one of these is done")
		}
	}
	add("more", "vagus trace "+short)
	c.table([]column{{}, {}}, rows)
}

func record(r broker.Record) string {
	s := r.Model + " " + strconv.FormatInt(r.ID, 10)
	if r.Made {
		s += ", made"
	}
	return s + " by operation " + r.Op
}
