package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/internal/config"
)

// WorkerOf returns what the worker of `vagus up` is configured with. Its bundle
// is there once the hub has run.
func WorkerOf(cfg *config.All) *config.Worker {
	w := config.NewWorker()
	w.Name, w.Bundle = "worker-1", filepath.Join(cfg.DataDir, "hub", "workers", cfg.Tenant)
	w.Ledger, w.Targets, w.Grace, w.Process = cfg.Ledger, cfg.Targets, cfg.Grace, cfg.Process
	return w
}

// A Reconciliation says which units are compared with what their target holds.
type Reconciliation struct {
	Feed, Site, Target string
	Since, Until       time.Time // of the receipt
	Last               int       // 0: all
	Hub                []string  // where to ask for bodies instead of where the bundle says
	// Found is called for each difference as it is found.
	Found func(odoo.Difference) error
	// Progress, when not nil, hears how many units were looked at, and of how many at most.
	Progress func(done, all int)
}

// Reconciled counts what was compared.
type Reconciled struct {
	Units     int            `json:"units"`          // applied, as the ledger says
	Records   int            `json:"records"`        // that they were about, each once
	Valueless int            `json:"without_values"` // of them, whose unit is not in the stream any more: no field was compared
	Kinds     map[string]int `json:"differences"`
	Serious   int            `json:"serious"`
	Notices   []string       `json:"not_compared"`
}

// Reconcile compares what the ledger says was applied with what the target
// holds, newest first, and writes nothing. Of a record the last applied unit of
// the feed counts. Memory does not grow with the units, and little with the records.
func Reconcile(ctx context.Context, cfg *config.Worker, r Reconciliation) (_ Reconciled, err error) {
	sum := Reconciled{Kinds: map[string]int{}, Notices: []string{}}
	t, ok := cfg.Targets[r.Target]
	if !ok || t.Odoo == nil {
		return sum, fmt.Errorf("the worker has no target %q", r.Target)
	}
	led, err := openLedger(ctx, cfg.Ledger)
	if err != nil {
		return sum, fmt.Errorf("ledger: %w", err)
	}
	defer func() { err = errors.Join(err, led.Close()) }()
	all, err := applied(ctx, led, r)
	if err != nil {
		return sum, err
	}
	target, err := odoo.New(*t.Odoo)
	if err != nil {
		return sum, err
	}
	compare, err := target.NewComparer(ctx)
	if err != nil {
		return sum, fmt.Errorf("target %s: %w", r.Target, err)
	}
	bodies, end, err := unitBodies(ctx, cfg.Bundle, r.Hub)
	if err != nil {
		sum.Notices = append(sum.Notices, "no field could be compared: the hub that has the units does not answer")
		bodies = func(context.Context, *ledger.Unit) *broker.Unit { return nil }
	} else {
		defer end()
	}
	seen := seenRecords{}
	f := ledger.Filter{Feed: r.Feed, Site: r.Site, Target: r.Target, Status: []ledger.Status{ledger.Applied}, Since: r.Since, Until: r.Until, Limit: odoo.MaxDeeds}
	for r.Last == 0 || sum.Units < r.Last {
		if r.Last > 0 {
			f.Limit = min(odoo.MaxDeeds, r.Last-sum.Units)
		}
		units, err := led.Units(ctx, f)
		if err != nil {
			return sum, err
		}
		if len(units) == 0 {
			break
		}
		deeds := deedsOf(ctx, units, seen, bodies)
		var found []odoo.Difference
		for len(deeds) > 0 {
			n := min(len(deeds), odoo.MaxDeeds)
			more, err := compare.Compare(ctx, deeds[:n])
			if err != nil {
				return sum, fmt.Errorf("target %s: %w", r.Target, err)
			}
			for _, d := range deeds[:n] {
				if sum.Records++; d.Body == nil {
					sum.Valueless++
				}
			}
			found, deeds = append(found, more...), deeds[n:]
		}
		for _, d := range found {
			if sum.Kinds[d.Kind]++; d.Serious() {
				sum.Serious++
			}
			if err := r.Found(d); err != nil {
				return sum, err
			}
		}
		sum.Units += len(units)
		if r.Progress != nil {
			r.Progress(min(sum.Units, all), all)
		}
		f.Before = units[len(units)-1].ID
		if len(units) < f.Limit {
			break
		}
	}
	sum.Notices = append(sum.Notices, compare.Notices()...)
	return sum, nil
}

// applied is how many units there are to look at, at most.
func applied(ctx context.Context, led ledger.Ledger, r Reconciliation) (n int, err error) {
	lanes, err := led.Summary(ctx)
	if err != nil {
		return 0, err
	}
	feed := false
	for _, l := range lanes {
		if l.Feed == r.Feed && (r.Site == "" || l.Site == r.Site) && l.Target == r.Target {
			feed, n = true, n+l.Counts[ledger.Applied]
		}
	}
	if !feed {
		return 0, fmt.Errorf("the ledger knows of no feed %s that writes to %s: `vagus status` lists what there is", r.Feed, r.Target)
	}
	if r.Last > 0 {
		n = min(n, r.Last)
	}
	return n, nil
}

// deedsOf are the records of units, newest unit first, each record once.
func deedsOf(ctx context.Context, units []ledger.Unit, seen seenRecords, body func(context.Context, *ledger.Unit) *broker.Unit) (deeds []odoo.Deed) {
	from := make([][]odoo.Deed, len(units))
	for i := range units {
		u := &units[i]
		for j := len(u.Records) - 1; j >= 0; j-- { // of a unit's operations on one record the last counts
			rec := u.Records[j]
			if rec.ID > 0 && seen.add(rec.Model, rec.ID) {
				from[i] = append(from[i], odoo.Deed{Unit: u.ID, At: u.SettledAt, Record: rec})
			}
		}
	}
	const atOnce = 8 // questions to the hub
	var askers sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		askers.Go(func() {
			for i := range next {
				b := body(ctx, &units[i])
				for j := range from[i] {
					from[i][j].Body = b
				}
			}
		})
	}
	for i := range from {
		if len(from[i]) > 0 {
			next <- i
		}
	}
	close(next)
	askers.Wait()
	for _, d := range from {
		deeds = append(deeds, d...)
	}
	return deeds
}

// hubPatience is how long the hub may take to answer at all.
const hubPatience = 5 * time.Second

// unitBodies returns what finds a unit in the UNITS stream, nil when it is not
// there any more, and what ends the connection.
func unitBodies(ctx context.Context, dir string, urls []string) (func(context.Context, *ledger.Unit) *broker.Unit, func(), error) {
	bundle, err := link.LoadBundle(dir)
	if err != nil {
		return nil, nil, err
	}
	nc, err := link.Connect(bundle, link.Dial{URLs: urls, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err == nil {
		var units jetstream.Stream
		ctx, cancel := context.WithTimeout(ctx, hubPatience)
		defer cancel()
		if units, err = js.Stream(ctx, stream.Units); err == nil {
			return func(ctx context.Context, u *ledger.Unit) *broker.Unit {
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				m, err := units.GetMsg(ctx, u.Seq)
				if err != nil || m.Header.Get(stream.HeaderUnit) != u.ID {
					return nil
				}
				body, err := broker.DecodeUnit(m.Data)
				if err != nil || body.ID != u.ID || len(body.Ops) == 0 {
					return nil
				}
				return body
			}, nc.Close, nil
		}
	}
	nc.Close()
	return nil, nil, err
}

// seenRecords is a set of records: by model, 64 ids to a word. Odoo's ids are
// dense, so that a million take little.
type seenRecords map[string]map[int64]uint64

// add says whether the record is new.
func (s seenRecords) add(model string, id int64) bool {
	if s[model] == nil {
		s[model] = map[int64]uint64{}
	}
	word, bit := id>>6, uint64(1)<<(id&63)
	if s[model][word]&bit != 0 {
		return false
	}
	s[model][word] |= bit
	return true
}
