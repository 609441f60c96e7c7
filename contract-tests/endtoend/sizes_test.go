package endtoend_test

import (
	"context"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/sizing"
)

// BenchmarkSizes holds what `vagus size` estimates against what a load leaves
// behind: each ratio is estimated to measured, and more than a fifth off is a failure.
func BenchmarkSizes(b *testing.B) {
	for range b.N {
		s := newSystem(b, 1, simulated.Config{})
		const senders = 32
		each := shorter(20_000, 3200) / senders
		s.load(senders, 500, 4, 0).wait() // streams, tables and caches come into being
		s.applied(senders * 4)
		before, began := s.sizes(), time.Now()
		s.load(senders, 500, each, 0).wait()
		s.applied(senders * (4 + each))
		took, after := time.Since(began), s.sizes()
		n := float64(senders * each)
		e, err := sizing.Of(sizing.Load{Sites: 1, Rate: n / took.Seconds(), Peak: 1, Body: int64(len(demo.NewAdmissions(1, 20).Next().Body)), Unit: 1460,
			Journal: took, Hub: took, Ledger: took, Replicas: 1, Odoo: 60, Machine: sizing.Machine{Cores: 2, Memory: 8e9, Disk: 1e11, Writes: 1000}})
		if err != nil {
			b.Fatal(err)
		}
		kept := func(disk int64) float64 { return float64(disk) * (1 - sizing.Reserve) }
		agent, hub, worker, ledger := e.Parts[0], e.Parts[1], e.Parts[2], e.Parts[3]
		ratio := func(what string, estimated, measured float64) {
			b.ReportMetric(estimated/measured, what+"-×")
			if r := estimated / measured; math.Abs(r-1) > 0.2 {
				b.Errorf("%s: %.3g estimated and %.3g measured: put the constants of internal/sizing right", what, estimated, measured)
			}
		}
		ratio("journal", kept(agent.Disk), after.journal-before.journal)
		ratio("hub", kept(hub.Disk), after.hub-before.hub)
		ratio("ledger", kept(ledger.Disk), after.ledger-before.ledger)
		ratio("rows", float64(ledger.Rows), after.rows-before.rows)
		if each == 20_000/senders { // a short run fills no cache
			ratio("agent-memory", float64(agent.Memory)/(1<<20), rss(b, s.agent.Pid()))
			ratio("hub-memory", float64(hub.Memory)/(1<<20), rss(b, s.hub.Pid()))
			ratio("worker-memory", float64(worker.Memory)/(1<<20), rss(b, s.workers[0].Pid()))
		}
		b.ReportMetric((after.journal-before.journal)/n, "journal-B/msg")
	}
}

// sizes are bytes on disk, and rows.
type sizes struct{ journal, hub, ledger, rows float64 }

func (s *system) sizes() (z sizes) {
	s.t.Helper()
	blocks := func(dir string) (sum float64) {
		err := filepath.WalkDir(filepath.Join(s.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".blk") {
				if info, err := d.Info(); err == nil {
					sum += float64(info.Size())
				}
			}
			return nil // a file may go meanwhile
		})
		if err != nil {
			s.t.Fatal(err)
		}
		return sum
	}
	z.journal, z.hub = blocks("agent"), blocks("hub")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(c.oid)), (SELECT count(*) FROM units) FROM pg_class c
		WHERE c.relkind = 'r' AND c.relname IN ('units', 'waiting', 'history', 'other_keys')`).Scan(&z.ledger, &z.rows); err != nil {
		s.t.Fatal(err)
	}
	return z
}
