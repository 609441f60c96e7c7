package batches

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/broker/worker"
)

// timed notes when the first unit reaches the target.
type timed struct {
	broker.Target
	once  sync.Once
	first time.Time
}

func (t *timed) Apply(ctx context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	t.once.Do(func() { t.first = time.Now() })
	return t.Target.Apply(ctx, us)
}

// throughWorker delivers units that wait in a stream, with a ledger in a file:
// the time from the first Apply to the last outcome recorded.
func throughWorker(b *testing.B, target broker.Target, units []*broker.Unit) time.Duration {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		b.Fatal(err)
	}
	go srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(20 * time.Second) {
		b.Fatal("nats-server does not start")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = stream.Provision(b.Context(), js, stream.Settings{MaxBytes: 64 << 20})
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, u := range units {
		data, err := u.Encode()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishMsg(b.Context(), &nats.Msg{Subject: stream.UnitSubject(u), Data: data,
			Header: nats.Header{stream.HeaderUnit: {u.ID}, stream.HeaderMessage: {u.MessageID}}}); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "ledger.db")
	if _, err := sqlite.Migrate(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	l, err := sqlite.Open(b.Context(), path, sqlite.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	t := &timed{Target: target}
	w, err := worker.New(js, l, worker.Config{Name: "w", Targets: map[string]worker.TargetConfig{"odoo": {Target: t}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	deadline := time.Now().Add(5 * time.Minute)
	for w.Status()[0].Settled < uint64(len(units)) {
		if time.Now().After(deadline) {
			b.Fatalf("not all settled: %+v", w.Status()[0])
		}
		time.Sleep(time.Millisecond)
	}
	took := time.Since(t.first)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}
