// Package effects_test holds Odoo's database to the promise that a unit has one
// effect. A worker, a process of its own, is killed (SIGKILL) after each change
// that it makes has been committed and before it hears of it, once for every
// different call, and again when it has heard and is about to tell the ledger, and
// when it just has; what is in the database in the end must be what an undisturbed
// worker leaves there, and no change may have happened twice. Then a whole day
// is applied again, with the ledger and without it.
//
// NATS and PostgreSQL are real. Odoo is the simulated one, by its own interface and with
// the addon, and also a real one when VAGUS_ODOO_URL, VAGUS_ODOO_DB, VAGUS_ODOO_USER and
// VAGUS_ODOO_KEY name one, by the wire of its version or by VAGUS_ODOO_PROTOCOL. That one keeps
// what the tests make: contacts named after them.
package effects_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/worker"
	"github.com/vagus-health/vagus/connectors/odoo"
)

// The test binary is the worker as well: with this set it runs one.
const childSettings = "VAGUS_TEST_WORKER"

// settings are those of one worker.
type settings struct {
	NATS, DSN, Target        string
	URL, DB, User, Key, Mode string // of Odoo; Mode is the addon's
	Protocol                 string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childSettings); text != "" {
		var s settings
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			err = work(s)
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// work delivers until the process is killed. Leases are short, so that the next
// process need not wait long for those of one that was.
func work(s settings) error {
	ctx := context.Background()
	nc, err := nats.Connect(s.NATS)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	l, err := postgres.Open(ctx, s.DSN, postgres.Config{})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	t, err := odoo.New(odoo.Config{URL: s.URL, Database: s.DB, User: s.User, Key: broker.NewSecret(s.Key), Addon: s.Mode, PlainHTTP: true, Protocol: s.Protocol, Logger: log})
	if err != nil {
		return err
	}
	w, err := worker.New(js, lethal{l, s.URL}, worker.Config{Name: "w", LeaseTTL: time.Second, Logger: log, Targets: map[string]worker.TargetConfig{
		s.Target: {Target: t, Concurrency: 1, RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond, MaxAttempts: -1,
			Breaker: worker.BreakerConfig{ProbeMin: 20 * time.Millisecond, ProbeMax: 100 * time.Millisecond}},
	}})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// lethal is a ledger that lets the killer strike around each thing it is told.
type lethal struct {
	ledger.Ledger
	killer string // its address
}

func (l lethal) Settle(ctx context.Context, name string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	if err := l.pause("before", done); err != nil {
		return err
	}
	if err := l.Ledger.Settle(ctx, name, leases, cursors, done); err != nil {
		return err
	}
	return l.pause("after", done)
}

// pause does not return when the killer strikes.
func (l lethal) pause(when string, done []ledger.Settlement) error {
	if len(done) == 0 {
		return nil
	}
	told := when
	for _, d := range done {
		told += " " + d.Unit.ID + string(d.Unit.Status)
	}
	res, err := http.Post(l.killer+settling, "text/plain", strings.NewReader(told))
	if err != nil {
		return err
	}
	return res.Body.Close()
}
