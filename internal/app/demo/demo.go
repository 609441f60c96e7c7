// Package demo runs the main jobs on one machine for somebody who sees Vagus for
// the first time: every part is the real one over real sockets and files, only the
// hospital, its partners and Odoo are invented. Tests use its hospital and its link as well.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/ops"
)

// A Fate is one message of the demo and what became of it.
type Fate struct {
	Source   string        `json:"source"` // what it is and how it came: "HL7 MLLP"
	Feed     string        `json:"feed"`
	SenderID string        `json:"sender_id"` // as the ledger has it; of what was refused, where it stood
	Kind     string        `json:"kind"`
	Ack      string        `json:"ack"` // what its sender was told: MSA-1, an HTTP status, the code in a 999
	AckTook  time.Duration `json:"ack_took_ns"`
	LinkCut  bool          `json:"sent_while_link_was_cut,omitempty"`
	Units    []ledger.Unit `json:"units"`                  // one by each mapping that takes it; none of what was refused
	Records  []string      `json:"odoo_records,omitempty"` // what they made or wrote, "sale.order(3) new"; of what goes out, whose change it is
	Took     time.Duration `json:"received_to_applied_ns,omitempty"`

	want ledger.Status // of each unit
	n    int           // of them
}

// Status is what became of the message: "refused", "applied" or what else became of one of its units.
func (f *Fate) Status() string {
	if len(f.Units) == 0 {
		return cmp.Or(map[bool]string{true: "refused"}[f.n == 0], "waits")
	}
	for _, u := range f.Units {
		if u.Status != ledger.Applied {
			return string(u.Status)
		}
	}
	return string(ledger.Applied)
}

// AsWanted says whether that is what the demo promised.
func (f *Fate) AsWanted() bool {
	for _, u := range f.Units {
		if u.Status != f.want {
			return false
		}
	}
	return len(f.Units) == f.n
}

// Config says how much of a demo it is to be.
type Config struct {
	Messages, Patients int // admissions, and whom they are about
	Version            string
	Say                func(format string, args ...any) // a line of the story; nil: silence
	Progress           func(settled, of int)
	Log                io.Writer // of the processes
}

// Run sends invented admissions while the link between site and cloud is cut in
// the middle, then one sample by each other way in, and one out; waits until
// all are applied, checks Odoo against what was sent, and returns the fate of every
// message in the order of sending. The error says what did not come out as promised.
func Run(ctx context.Context, c Config) (_ []Fate, err error) {
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	if c.Progress == nil {
		c.Progress = func(int, int) {}
	}
	dir, err := os.MkdirTemp("", "vagus-demo-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{Config: c, dir: dir}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) error{d.tariffOut, d.outage, d.story, d.visit, d.claims, d.items, d.price, d.priceOut} {
		if err := part(ctx); err != nil {
			return d.fates, err
		}
	}
	return d.fates, nil
}

type demo struct {
	Config
	dir     string
	odoo    *simulated.Server
	buyer   broker.Target // a person who works in Odoo
	link    *Link
	ward    *receiver
	partner *partner // whom claims come from
	hub     *app.Hub
	worker  *app.Worker
	agent   *app.Agent
	token   broker.Secret
	hook    []byte // the key of the webhook's signatures
	fates   []Fate
}

// sent notes a message of which so many units are to be applied.
func (d *demo) sent(source, feed, sender, kind, ack string, began time.Time, units int) *Fate {
	d.fates = append(d.fates, Fate{Source: source, Feed: feed, SenderID: sender, Kind: kind, Ack: ack, AckTook: time.Since(began), want: ledger.Applied, n: units})
	return &d.fates[len(d.fates)-1]
}

// note takes what the ledger says of the message.
func (f *Fate) note(units []ledger.Unit) {
	f.Units = units
	for _, u := range units {
		f.Took = max(f.Took, u.SettledAt.Sub(u.ReceivedAt))
		for _, r := range u.Records {
			name := fmt.Sprintf("%s(%d)", r.Model, r.ID)
			if slices.ContainsFunc(f.Records, func(s string) bool { return strings.TrimSuffix(s, " new") == name }) {
				continue
			}
			if r.Made {
				name += " new"
			}
			f.Records = append(f.Records, name)
		}
	}
	// What a contact is charged tells more than that there is a contact.
	slices.SortStableFunc(f.Records, func(a, b string) int {
		contact := func(s string) int { return map[bool]int{true: 1}[strings.HasPrefix(s, "res.partner(")] }
		return contact(a) - contact(b)
	})
}

// settle waits until of every message has become what should, and notes what the ledger says.
func (d *demo) settle(ctx context.Context) error {
	var late *Fate
	err := d.until(ctx, time.Minute, "all messages to be settled", func() (bool, error) {
		units, err := d.units(ctx, "")
		if err != nil {
			return false, err
		}
		of := map[[2]string][]ledger.Unit{}
		for _, u := range units {
			of[[2]string{u.Feed, u.SenderID}] = append(of[[2]string{u.Feed, u.SenderID}], u)
		}
		settled := 0
		late = nil
		for i := range d.fates {
			f := &d.fates[i]
			f.note(of[[2]string{f.Feed, f.SenderID}])
			if f.AsWanted() {
				settled++
			} else {
				late = cmp.Or(late, f)
			}
		}
		d.Progress(settled, len(d.fates))
		return settled == len(d.fates), nil
	})
	if err != nil && late != nil {
		why := ""
		for _, u := range late.Units {
			why = cmp.Or(why, u.Reason)
		}
		err = fmt.Errorf("%s %s: %s, %d of %d units %s: %w", late.Feed, late.SenderID, late.Status(), len(late.Units), late.n, why, err)
	}
	return err
}

// units are those of a feed, or all, the oldest first.
func (d *demo) units(ctx context.Context, feed string) (all []ledger.Unit, err error) {
	api, err := ops.NewClient("http://"+d.worker.OpsAddr(), d.token, "demo")
	if err != nil {
		return nil, err
	}
	q := ops.Query{Feed: feed, Limit: 1000}
	for {
		page, err := api.Messages(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b ledger.Unit) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, nil
}

func (d *demo) until(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", limit, what, cmp.Or(err, context.Cause(ctx)))
		case err := <-d.agent.Failed():
			return err
		case <-tick.C:
		}
	}
}
