package main

import (
	"fmt"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// deadCmd is `vagus dead`.
type deadCmd struct {
	Ls      deadLsCmd      `cmd:"" help:"List what needs a person, newest first."`
	Show    deadShowCmd    `cmd:"" help:"Show one dead letter and what can be done about it."`
	Discard deadDiscardCmd `cmd:"" help:"Say that a dead letter is not wanted: it is never applied, and its key goes on."`
}

// deadLsCmd is `vagus dead ls`.
type deadLsCmd struct {
	connection
	selection
}

// Run lists dead units.
func (cmd *deadLsCmd) Run(c *console) error {
	return c.list(&cmd.connection, &cmd.selection, []string{string(ledger.Dead)}, func(us []ledger.Unit) {
		var rows [][]cell
		for _, u := range us {
			held := ""
			if u.Hold {
				held = "yes"
			}
			rows = append(rows, []cell{{text: broker.ShortID(u.ID)}, {text: c.when(u.ReceivedAt)}, {text: u.Site + "/" + u.Feed}, {text: u.Kind}, {text: u.SenderID},
				{text: u.Target}, {held, yellow}, {text: because(u)}})
		}
		c.table([]column{{head: "ID"}, {head: "RECEIVED"}, {head: "FEED", drop: 1}, {head: "KIND"}, {head: "SENDER ID", drop: 2},
			{head: "TARGET", drop: 3}, {head: "HOLDS"}, {head: "WHY"}}, rows)
		c.note("HOLDS: later messages of the same key wait for it.  Next: vagus dead show ID, vagus replay ID, vagus dead discard ID --why '…'")
	})
}

// deadShowCmd is `vagus dead show`.
type deadShowCmd struct {
	oneUnit
}

// Run shows one dead unit.
func (cmd *deadShowCmd) Run(c *console) error {
	d, err := cmd.find(c)
	if err != nil {
		return err
	}
	if d.Unit.Status != ledger.Dead {
		return fmt.Errorf("unit %s is %s, not dead: see vagus messages show %s", d.Unit.ID, d.Unit.Status, cmd.ID)
	}
	if cmd.Output == "json" {
		return c.printJSON(d)
	}
	c.unit(d.Unit)
	return nil
}

// deadDiscardCmd is `vagus dead discard`.
type deadDiscardCmd struct {
	connection
	ID  string `arg:"" help:"Id of a unit, or its first 4 characters or more."`
	Why string `required:"" placeholder:"TEXT" help:"Why it is not wanted, for those who ask later. Name no patient."`
}

// Run discards one dead unit.
func (cmd *deadDiscardCmd) Run(c *console) error {
	api, err := cmd.client(c)
	if err != nil {
		return err
	}
	d, err := api.Discard(c.ctx, cmd.ID, cmd.Why)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(d)
	}
	c.say("discarded %s (%s, sender's id %s): it is never applied; what waited behind it goes on", d.Unit.ID, d.Unit.Kind, d.Unit.SenderID)
	return nil
}
