package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
)

func exec(t testing.TB, dsn, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func soon(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestASchemaThatIsNotThisProgramsIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	refused := func(want string) {
		t.Helper()
		if l, err := postgres.Open(t.Context(), dsn, postgres.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v, %v, want %q", l, err, want)
		}
	}
	refused("run `vagus ledger migrate -c worker.yaml`")
	var group sync.WaitGroup
	var mu sync.Mutex
	applied := 0
	for range 4 { // one of them does it
		group.Go(func() {
			names, err := postgres.Migrate(t.Context(), dsn)
			if err != nil {
				t.Errorf("migrate: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			applied += len(names)
		})
	}
	group.Wait()
	if applied != 4 {
		t.Errorf("%d migrations were applied, want 4", applied)
	}
	_ = open(t, dsn)
	exec(t, dsn, "UPDATE ledger_version SET version = 99")
	refused("newer than this program")
	if _, err := postgres.Migrate(t.Context(), dsn); err == nil || !strings.Contains(err.Error(), "newer than this program") {
		t.Errorf("migrate: %v", err)
	}
}

func TestAConnectionThatBreaksInTheMiddleLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	l := open(t, dsn)
	ctx := t.Context()
	leases, _, err := l.Lease(ctx, "odoo", "w", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	us := numbered(1, 3)
	if _, err := l.Claim(ctx, leases, us); err != nil {
		t.Fatal(err)
	}
	done := outcomes(us)
	done[2].Unit.Status, done[2].Unit.Hold, done[2].Unit.Body = ledger.Dead, true, []byte("{}")
	cursors := []ledger.Cursor{{Lease: leases[7], Seq: 42, Unit: "x"}}

	// Somebody keeps history locked: the settlement stops half-way, and is killed there.
	other, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(context.Background()) }()
	tx, err := other.Begin(ctx)
	if err == nil {
		_, err = tx.Exec(ctx, "LOCK TABLE history IN ACCESS EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Settle(ctx, "w", leases, cursors, done) }()
	soon(t, "the settlement waits for history", func() bool {
		var killed int
		scan(t, dsn, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%history%' AND pid <> pg_backend_pid()`, &killed)
		return killed == 1
	})
	if err := <-ended; err == nil {
		t.Fatal("a settlement whose connection was killed succeeded")
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	check := func(applied, dead, claimed int, cursor uint64) {
		t.Helper()
		sums, err := l.Summary(ctx)
		if err != nil || len(sums) != 1 || sums[0].Counts[ledger.Applied] != applied || sums[0].Counts[ledger.Dead] != dead || sums[0].Counts[ledger.Claimed] != claimed {
			t.Errorf("summary %+v, %v", sums, err)
		}
		parts, err := l.Cursors(ctx, "odoo")
		if err != nil || parts[7].Cursor != cursor {
			t.Errorf("cursor %d, %v", parts[7].Cursor, err)
		}
		us, err := l.Units(ctx, ledger.Filter{Status: []ledger.Status{ledger.Dead}})
		if err != nil || len(us) != dead {
			t.Errorf("%d units are dead, %v", len(us), err)
		}
	}
	check(0, 0, 3, 0)
	if err := l.Settle(ctx, "w", leases, cursors, done); err != nil {
		t.Fatal(err)
	}
	check(2, 1, 0, 42)
}

// TestNoCallReadsTheWholeTable runs every call often enough for the server to
// keep its plans while the tables are empty, fills them, runs every call again
// and looks at how many rows the server had to touch.
func TestNoCallReadsTheWholeTable(t *testing.T) {
	t.Parallel()
	const rows = 40000
	dsn := pgtest.Database(t)
	l := open(t, dsn)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n := 1
	everything := func() {
		leases, _, err := l.Lease(ctx, "odoo", "w", time.Minute)
		must(err)
		us := numbered(10*rows+n, 8)
		n += 8
		_, err = l.Claim(ctx, leases, us)
		must(err)
		_, err = l.Units(ctx, ledger.Filter{Status: []ledger.Status{ledger.Claimed}, Limit: 20})
		must(err)
		done := outcomes(us)
		for i := range 4 {
			u := &done[i].Unit
			u.Status, u.Hold, u.Body = ledger.Dead, true, []byte("{}")
		}
		done[4].Unit.Status, done[4].Unit.NextAttempt, done[4].Unit.Body = ledger.Parked, time.Now(), []byte("{}")
		must(l.Settle(ctx, "w", leases, []ledger.Cursor{{Lease: leases[1], Seq: uint64(n), Unit: "u"}}, done))
		_, err = l.HeldKeys(ctx, leases[:1])
		must(err)
		_, err = l.Due(ctx, leases[:1], 10)
		must(err)
		for _, f := range []ledger.Filter{{}, {Feed: "adt", Limit: 20}, {IDs: []string{us[0].ID[:8], us[1].MessageID}}, {SenderID: us[3].SenderID}, {Since: time.Now().Add(-time.Second)},
			{Status: []ledger.Status{ledger.Dead}, Limit: 20}, {Status: []ledger.Status{ledger.Parked, ledger.Dead}, Class: "x"}, {Before: us[5].ID, Limit: 20}} {
			_, err = l.Units(ctx, f)
			must(err)
		}
		_, _, err = l.Unit(ctx, us[0].ID)
		must(err)
		_, err = l.Summary(ctx)
		must(err)
		_, err = l.Cursors(ctx, "odoo")
		must(err)
		must(l.Discard(ctx, us[0].ID, "mona", "x"))
		r, err := l.PlanReplay(ctx, ledger.ReplayRequest{Filter: ledger.Filter{IDs: []string{us[1].ID, us[6].ID}}})
		must(err)
		must(l.StartReplay(ctx, r.ID, 0))
		_, err = l.Requeue(ctx, r.ID, us[1].ID)
		must(err)
		_, err = l.ReplayItems(ctx, r.ID, 0, 10, true)
		must(err)
		_, err = l.Replays(ctx)
		must(err)
		_, err = l.Prune(ctx, time.Now().Add(-time.Hour), 10)
		must(err)
	}
	for range 8 {
		everything()
	}
	fill := func(table, columns, values string) {
		exec(t, dsn, "INSERT INTO "+table+" ("+columns+") SELECT "+values+" FROM generate_series(1, "+"40000"+") AS i")
	}
	const unit = "message_id, tenant, site, feed, target, partition, key, idem, kind, sender_id, mapping, seq, status, attempts, class, reason, warning, records, trace, remappable, hold, received_at, mapped_at, stored_at, claimed_at, settled_at, took, request, worker"
	fill("units", "id, "+unit, "md5('u' || i), md5('m' || i), 't', 'north', 'adt', 'odoo', 100, md5('k' || i), md5('i' || i), 'ADT^A08', 's' || i, 'x', i, CASE WHEN i % 100 = 0 THEN 'parked' ELSE 'applied' END, 1, '', '', '', '', '', false, false, 1700000000000000 + i, 1, 1, 1, 1700000000000000 + i, 1, '', 'w'")
	exec(t, dsn, "INSERT INTO waiting SELECT id, target, partition, key, seq, 'parked', true, 1, site, feed, received_at, '' FROM units WHERE partition = 100 AND status = 'parked'")
	fill("history", "unit, at, what, worker, took, class, reason, person", "md5('u' || i), 1, 'attempt', 'w', 1, '', '', ''")
	touched := func() (units, waiting, history int64) {
		for table, n := range map[string]*int64{"units": &units, "waiting": &waiting, "history": &history} {
			scan(t, dsn, "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = '"+table+"'", n)
		}
		return units, waiting, history
	}
	must(l.Close()) // its sessions tell their numbers when they end
	quiet := func() bool {
		var sessions int
		scan(t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'", &sessions)
		return sessions == 0
	}
	soon(t, "the sessions end", quiet)
	u0, _, h0 := touched()
	l = open(t, dsn)
	for range 8 { // first plans of one's own, then those that are kept
		everything()
	}
	must(l.Close())
	soon(t, "the sessions end", quiet)
	var u1, h1 int64
	soon(t, "the numbers are there", func() bool { u1, _, h1 = touched(); return u1 > u0 })
	if each := (u1 - u0) / 8; each > rows/10 {
		t.Errorf("a round of calls touches %d of %d rows in units", each, rows)
	}
	if each := (h1 - h0) / 8; each > rows/10 {
		t.Errorf("a round of calls touches %d of %d rows in history", each, rows)
	}
}
