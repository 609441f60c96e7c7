package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
)

// numbered returns n units from the first on, each with a key and an
// idempotency value of its own.
func numbered(first, n int) []ledger.Unit {
	now := time.Now()
	us := make([]ledger.Unit, n)
	for i := range us {
		no := strconv.Itoa(first + i)
		u := &us[i]
		*u = ledger.Unit{MessageID: broker.NewMessageID("t", "north", "adt", no, nil), Tenant: "t", Site: "north", Feed: "adt", Target: "odoo",
			Key: broker.OrderingKey([]byte("s"), no), Idem: broker.OrderingKey([]byte("i"), no), Kind: "ADT^A08", SenderID: "MSG" + no,
			Mapping: "hl7-adt-patient@4#1f2e3d4c5b6a", Seq: uint64(first + i), Trace: fmt.Sprintf("00-%032x-%016x-01", first+i, i),
			ReceivedAt: now.Add(time.Duration(i) * time.Microsecond), MappedAt: now, StoredAt: now}
		u.ID = broker.NewUnitID(u.MessageID, "hl7-adt-patient")
		u.Partition = broker.Partition(u.Key, u.ID)
	}
	return us
}

func outcomes(us []ledger.Unit) []ledger.Settlement {
	done := make([]ledger.Settlement, len(us))
	for i, u := range us {
		u.Status, u.Attempts, u.SettledAt = ledger.Applied, 1, time.Now()
		u.Records = []broker.Record{{Op: "patient", Model: "res.partner", ID: 4711, Made: true}}
		done[i] = ledger.Settlement{Unit: u, Attempt: true, Took: 40 * time.Millisecond}
	}
	return done
}

// BenchmarkClaimSettle claims and settles one unit per iteration, in batches.
// own-cpu-us/unit is the time of this process, server-cpu-us/unit that of the
// whole server.
func BenchmarkClaimSettle(b *testing.B) {
	for _, size := range []int{1, 50, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			dsn := pgtest.Database(b)
			l := open(b, dsn)
			ctx := context.Background()
			leases, _, err := l.Lease(ctx, "odoo", "w", time.Hour)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			turn := func() {
				us := numbered(n, size)
				n += size
				if _, err := l.Claim(ctx, leases, us); err != nil {
					b.Fatal(err)
				}
				cursors := []ledger.Cursor{{Lease: leases[0], Seq: uint64(n), Unit: us[0].ID}, {Lease: leases[1], Seq: uint64(n), Unit: us[0].ID}}
				if err := l.Settle(ctx, "w", leases, cursors, outcomes(us)); err != nil {
					b.Fatal(err)
				}
			}
			for range 10 { // plans and caches
				turn()
			}
			own, server := cpu(b, dsn)
			n0 := n
			for b.Loop() {
				turn()
			}
			units := float64(n - n0)
			ownAfter, serverAfter := cpu(b, dsn)
			b.ReportMetric(float64((ownAfter-own).Microseconds())/units, "own-cpu-us/unit")
			b.ReportMetric(float64((serverAfter-server).Microseconds())/units, "server-cpu-us/unit")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/units, "us/unit")
			var total, hot float64
			scan(b, dsn, "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'units'", &total, &hot)
			b.ReportMetric(hot/max(total, 1), "hot/update")
		})
	}
}

// cpu is the CPU time that this process used, and all processes of the server.
func cpu(t testing.TB, dsn string) (own, sum time.Duration) {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	own = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	var pid int
	scan(t, dsn, "SELECT pg_backend_pid()", &pid)
	_, server := stat(pid)
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		p, _ := strconv.Atoi(filepath.Base(d))
		used, parent := stat(p)
		if parent == server || p == server {
			sum += used
		}
	}
	return own, sum
}

// stat reads a process' CPU time (of the server itself: with that of its ended
// children) and its parent.
func stat(pid int) (used time.Duration, parent int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(f[1])
	for _, i := range []int{11, 12, 13, 14} {
		ticks, _ := strconv.Atoi(f[i])
		used += time.Duration(ticks) * 10 * time.Millisecond
	}
	return used, parent
}

func scan(t testing.TB, dsn, sql string, dest ...any) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, sql).Scan(dest...); err != nil {
		t.Fatal(err)
	}
}
