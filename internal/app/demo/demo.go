// Package demo runs the main job on one machine for somebody who sees Vagus for
// the first time: every part is the real one over real sockets, only the
// hospital and Odoo are invented. Tests use its hospital and its link as well.
package demo

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// A Fate is one message of the demo and what became of it.
type Fate struct {
	ControlID string        `json:"control_id"`
	Event     string        `json:"event"`
	Want      ledger.Status `json:"-"`
	Ack       string        `json:"ack"` // MSA-1
	AckTook   time.Duration `json:"ack_took_ns"`
	LinkCut   bool          `json:"sent_while_link_was_cut"`
	Unit      ledger.Unit   `json:"unit"`
	Took      time.Duration `json:"received_to_applied_ns"`
}

// Config says how much of a demo it is to be.
type Config struct {
	Messages, Patients int
	Version            string
	Say                func(format string, args ...any) // a line of the story; nil: silence
	Progress           func(settled int)
	Log                io.Writer // of the processes
}

// Run sends invented admissions while the link between site and cloud is cut in
// the middle, waits until all are applied, checks Odoo against what was sent,
// and returns the fate of every message in the order of sending. The error
// says what did not come out as promised.
func Run(ctx context.Context, c Config) (_ []Fate, err error) {
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	if c.Progress == nil {
		c.Progress = func(int) {}
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
	if err := d.send(ctx); err != nil {
		return d.fates, err
	}
	if err := d.settle(ctx); err != nil {
		return d.fates, err
	}
	if err := d.check(); err != nil {
		return d.fates, err
	}
	err = d.tell(ctx)
	return d.fates, err
}

type demo struct {
	Config
	dir    string
	odoo   *simulated.Server
	link   *Link
	hub    *app.Hub
	worker *app.Worker
	agent  *app.Agent
	token  broker.Secret
	last   map[string]Admission // each patient's last message
	fates  []Fate
}

func (d *demo) start(ctx context.Context) error {
	key := rand.Text()
	d.token = broker.NewSecret(rand.Text())
	d.odoo = simulated.New(simulated.Config{Database: "demo", User: "vagus", Key: key, Seeds: tariff})
	url, err := d.odoo.Start("127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the simulated Odoo: %w", err)
	}
	o := app.Options{Version: d.Version, Log: d.Log}
	anyPort := config.Process{Ops: config.Ops{Listen: "127.0.0.1:0", Token: d.token}, Log: config.Log{Level: "info"}}

	hub := config.NewHub()
	hub.DataDir, hub.Name, hub.Listen, hub.MaxBytes, hub.Process = filepath.Join(d.dir, "hub"), "hub-1", "127.0.0.1:0", 1<<30, anyPort
	if d.hub, err = app.StartHub(ctx, hub, o); err != nil {
		return err
	}
	d.Say("hub         %s (TLS 1.3, one account for the tenant, one user for the site)", d.hub.URL())
	if d.link, err = NewLink(strings.TrimPrefix(d.hub.URL(), "tls://")); err != nil {
		return err
	}
	bundle, err := d.hub.AddSite(ctx, "north", "tls://"+d.link.Addr())
	if err != nil {
		return err
	}

	worker := config.NewWorker()
	worker.Name, worker.Bundle, worker.Process = "worker-1", d.hub.WorkerBundle(), anyPort
	worker.Ledger.SQLite = filepath.Join(d.dir, "ledger.db")
	worker.Targets = map[string]config.Target{"odoo": {Odoo: &odoo.Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret(key)}}}
	if _, err := app.MigrateLedger(ctx, worker.Ledger); err != nil {
		return err
	}
	if d.worker, err = app.StartWorker(ctx, worker, o); err != nil {
		return err
	}
	d.Say("worker      64 partitions by lease, ledger in SQLite, target %s (simulated Odoo 18)", url)

	agent := config.NewAgent()
	agent.DataDir, agent.Bundle, agent.Process = filepath.Join(d.dir, "agent"), bundle, anyPort
	agent.Journal.MaxBytes = 1 << 30
	feed := func(name string, mappings ...string) config.Feed {
		f := config.Feed{Name: name, Target: "odoo", HL7: &hl7.Config{Listen: "127.0.0.1:0"}}
		for _, m := range mappings {
			f.Mappings = append(f.Mappings, config.Builtin+m+".map.yaml")
		}
		return f
	}
	agent.Feeds = []config.Feed{
		feed("adt", "admissions/adt-patient"),
		feed("stay", "admissions/adt-patient", "admissions/adt-encounter", "admissions/adt-merge", "lab/orm-oml-order", "lab/oru-charge", "billing/dft-charges"),
	}
	if d.agent, err = app.StartAgent(ctx, agent, o); err != nil {
		return err
	}
	d.Say("site north  MLLP on %s, journal on disk, link through %s", d.agent.FeedAddr("adt"), d.link.Addr())
	return nil
}

// send sends a third of the messages, cuts the link, sends a third, restores
// the link, and sends the rest.
func (d *demo) send(ctx context.Context) error {
	sender, err := Dial(ctx, d.agent.FeedAddr("adt").String())
	if err != nil {
		return err
	}
	defer sender.Close()
	hospital := NewAdmissions(1, d.Patients)
	d.last = map[string]Admission{}
	cutAt, restoreAt, isCut := d.Messages/3, 2*d.Messages/3, false
	for n := range d.Messages {
		switch n {
		case cutAt:
			d.link.Cut()
			isCut = true
			d.Say("            link cut after %d messages; the hospital goes on sending", n)
		case restoreAt:
			if err := d.waiting(ctx, restoreAt-cutAt); err != nil {
				return err
			}
			d.link.Restore()
			isCut = false
			d.Say("            link restored")
		}
		m := hospital.Next()
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		ack, answered, err := sender.Send(attempt, m.Body)
		cancel()
		if err != nil {
			return fmt.Errorf("send %s: %w", m.ControlID, err)
		}
		d.fates = append(d.fates, Fate{ControlID: m.ControlID, Event: m.Event, Want: ledger.Applied, Ack: ack, AckTook: time.Since(began), LinkCut: isCut})
		if ack != "CA" || answered != m.ControlID { // enhanced mode: the messages ask for a commit acknowledgement
			return fmt.Errorf("%s was answered %s for %s", m.ControlID, ack, answered)
		}
		d.last[m.MRN] = m
	}
	return nil
}

// waiting tells what the site says of itself while its link is down.
func (d *demo) waiting(ctx context.Context, atLeast int) error {
	site, err := ops.NewClient("http://"+d.agent.OpsAddr(), d.token, "demo")
	if err != nil {
		return err
	}
	return d.until(ctx, 20*time.Second, "the site to notice that its link is down", func() (bool, error) {
		s, err := site.Status(ctx)
		if err != nil || s.Sites[0].LinkUp || s.Sites[0].Feeds[0].Waiting < atLeast {
			return false, err
		}
		d.Say("            the site says: %s; %s", s.Sites[0].Verdict.Text, s.Sites[0].Feeds[0].Verdict.Text)
		return true, nil
	})
}

// settle waits until of every message has become what should, and notes what the ledger says.
func (d *demo) settle(ctx context.Context) error {
	api, err := ops.NewClient("http://"+d.worker.OpsAddr(), d.token, "demo")
	if err != nil {
		return err
	}
	return d.until(ctx, time.Minute, "all messages to be settled", func() (bool, error) {
		page, err := api.Messages(ctx, ops.Query{Limit: 1000})
		if err != nil {
			return false, err
		}
		units := map[string]ledger.Unit{}
		for _, u := range page.Messages {
			if before, more := units[u.SenderID]; !more || before.Status == ledger.Applied { // a message may have several
				units[u.SenderID] = u
			}
		}
		settled := 0
		for i := range d.fates {
			f := &d.fates[i]
			f.Unit = units[f.ControlID]
			if f.Unit.Status == f.Want {
				f.Took = f.Unit.SettledAt.Sub(f.Unit.ReceivedAt)
				settled++
			}
		}
		d.Progress(settled)
		return settled == len(d.fates), nil
	})
}

// check holds Odoo against what was sent.
func (d *demo) check() error {
	patients := map[string]simulated.Record{}
	for _, r := range d.odoo.Records("res.partner") {
		ref, _ := r.Values["ref"].(string)
		if _, twice := patients[ref]; ref != "" && twice {
			return errors.New("a patient is twice in Odoo")
		}
		patients[ref] = r
	}
	for mrn, m := range d.last {
		street2, _ := patients[mrn].Values["street2"].(string)
		if !strings.HasSuffix(street2, fmt.Sprintf(" v%d", m.Version)) {
			return fmt.Errorf("the patient of %s is not in Odoo as that message, its last one, says", m.ControlID)
		}
	}
	calls := d.odoo.Calls()
	total := 0
	for name, n := range calls {
		if name != "authenticate" {
			total += n.Calls
		}
	}
	d.Say("            Odoo has %d patients, each once and as its last message says; %d calls for %d messages", len(d.last), total, len(d.fates))
	return nil
}

func (d *demo) until(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", limit, what, cmp.Or(err, context.Cause(ctx)))
		case err := <-d.failed():
			return err
		case <-tick.C:
		}
	}
}

func (d *demo) failed() <-chan error { return d.agent.Failed() }

func (d *demo) stop() error {
	var errs []error
	if d.agent != nil {
		errs = append(errs, d.agent.Stop())
	}
	if d.worker != nil {
		errs = append(errs, d.worker.Stop())
	}
	if d.link != nil {
		d.link.Close()
	}
	if d.hub != nil {
		errs = append(errs, d.hub.Stop())
	}
	if d.odoo != nil {
		errs = append(errs, d.odoo.Close())
	}
	return errors.Join(errs...)
}
