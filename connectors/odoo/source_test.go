package odoo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestASourceTellsEachChangeOnceAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, addon := range []string{"off", "require"} {
		t.Run("addon "+addon, func(t *testing.T) {
			t.Parallel()
			st := newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) { c.Addon, s.Addon = addon, true })
			a := st.create(st.person, "A", "Ann")
			b := st.create(st.person, "B", "Bob")
			st.mustLook()
			st.wants("write A Ann", "write B Bob")
			v := bodyOf(t, st.messages[0])
			version := strings.TrimPrefix(st.messages[0].SenderID, fmt.Sprintf("%s,%d,", partner, a))
			want := map[string]any{"_version": version, "_model": partner, "_change": "write", "id": float64(a), "name": "Ann", "ref": "A", "country_id": false, "active": true, "write_date": "2026-03-14 09:00:00"}
			if !maps.Equal(v, want) {
				t.Errorf("the body is %v\nwant %v", v, want)
			}
			m := st.messages[0]
			if m.Format != "odoo" || m.Kind != partner+":write" || !strings.HasPrefix(version, "2026-03-14 09:00:00.") || m.Feed != "erp" || m.Site != "cloud" || m.Tenant != "main" || m.ReceivedAt.IsZero() || m.ID != broker.NewMessageID("main", "cloud", "erp", m.SenderID, m.Body) {
				t.Errorf("the message is %+v", m)
			}
			for range 5 {
				st.clock = st.clock.Add(time.Minute)
				st.mustLook()
			}
			st.write(st.person, b, map[string]any{"name": "Bea"})
			st.write(st.person, a, map[string]any{"city": "Poseidonis"}) // not read
			st.clock = st.clock.Add(time.Minute)
			st.mustLook()
			st.write(st.person, a, map[string]any{"active": false}) // archived records are records
			st.clock = st.clock.Add(20 * time.Minute)
			st.mustLook()
			st.mustLook()
			st.wants("write A Ann", "write B Bob", "write B Bea", "write A Ann")
			st.do(st.person, "unlink", []any{b})
			st.clock = st.clock.Add(25 * time.Hour) // a comparison is due
			st.mustLook()
			st.wants("write A Ann", "write B Bob", "write B Bea", "write A Ann", "delete <nil> <nil>")
			if st.repeats > 0 {
				t.Errorf("%d messages were offered again", st.repeats)
			}
		})
	}
}

func TestASourceThatWasAwayForTooLongComparesAll(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) { c.Addon, s.Addon = "require", true })
	a := st.create(st.person, "A", "Ann")
	st.mustLook()
	st.write(st.person, a, map[string]any{"name": "Ann B"})
	st.clock = st.clock.Add(time.Minute)
	st.mustLook()
	st.write(st.person, a, map[string]any{"name": "Ann C"})
	st.create(st.person, "D", "Dan")
	st.server.ForgetChanges()
	for range 3 {
		st.clock = st.clock.Add(time.Minute)
		st.mustLook()
	}
	st.wants("write A Ann", "write A Ann B", "write A Ann C", "write D Dan")
}

func TestChangesWithinOneSecondAndLateOnesAreSeen(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	a := st.create(st.person, "A", "1")
	st.mustLook()
	st.write(st.person, a, map[string]any{"name": "2"}) // the same second
	st.mustLook()
	st.clock = st.clock.Add(3 * time.Second)
	st.mustLook()
	st.wants("write A 1", "write A 2")
	began := st.clock
	st.clock = st.clock.Add(9 * time.Minute)
	st.create(st.person, "B", "1")
	st.mustLook()
	now := st.clock
	st.clock = began
	st.create(st.person, "C", "late")
	st.clock = now
	st.mustLook()
	st.wants("write A 1", "write A 2", "write B 1", "write C late")
	// One that began in the second that was read, and ends when others have long been sent.
	st.clock = began.Add(time.Nanosecond)
	st.write(st.person, a+2, map[string]any{"name": "later"})
	st.clock = now.Add(11 * time.Minute)
	st.mustLook()
	st.wants("write A 1", "write A 2", "write B 1", "write C late", "write C later")
	// Later than settle: by the next comparison.
	st.clock = began
	d := st.create(st.person, "D", "much too late")
	st.clock = now.Add(12 * time.Minute)
	st.mustLook()
	if st.last(t)[d] != nil {
		t.Error("a commit later than settle was seen: the horizon does not move")
	}
	st.clock = now.Add(25 * time.Hour)
	st.mustLook()
	if st.last(t)[d] == nil {
		t.Error("the comparison of all records did not find a late commit")
	}
}

func TestARecordThatLeavesTheDomainIsNotSentNorTakenForDeleted(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	a := st.create(st.person, "A", "1")
	st.mustLook()
	st.write(st.person, a, map[string]any{"ref": false, "name": "out"})
	for range 3 {
		st.clock = st.clock.Add(20 * time.Minute)
		st.mustLook()
	}
	st.clock = st.clock.Add(25 * time.Hour)
	st.mustLook()
	st.wants("write A 1")
	st.write(st.person, a, map[string]any{"ref": "A", "name": "in again"})
	st.mustLook()
	st.wants("write A 1", "write A in again")
}

func TestADeletionIsSeenEarlyOfWhatIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	a := st.create(st.person, "A", "1")
	st.mustLook()
	st.do(st.person, "unlink", []any{a})
	st.clock = st.clock.Add(time.Minute)
	st.mustLook()
	st.mustLook()
	st.wants("write A 1", "delete <nil> <nil>")
}

func TestADateInTheFutureDoesNotHideWhatIsWrittenNow(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	now := st.clock
	st.clock = now.Add(5 * time.Hour) // the server's clock was wrong for a while
	st.create(st.person, "A", "future")
	st.clock = now
	st.mustLook()
	st.create(st.person, "B", "now")
	st.clock = now.Add(time.Minute)
	st.mustLook()
	st.wants("write A future", "write B now")
}

func TestWhatComesBackWithinItsSecondIsSentAgain(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	began := st.clock
	a := st.create(st.person, "A", "1")
	st.mustLook()
	st.write(st.person, a, map[string]any{"name": "2"})
	st.clock = began.Add(3 * time.Second)
	st.mustLook()
	st.clock = began.Add(time.Millisecond) // in a transaction that began then
	st.write(st.person, a, map[string]any{"name": "1"})
	st.clock = began.Add(11 * time.Minute)
	st.mustLook()
	st.wants("write A 1", "write A 2", "write A 1")
}

func TestALookThatFailsMovesNothingOn(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	st.create(st.person, "A", "x")
	st.mustLook()
	st.clock = st.clock.Add(time.Minute)
	st.create(st.person, "B", "x")
	st.clock = st.clock.Add(30 * time.Minute)
	st.create(st.person, "C", "x")
	st.refuse = broker.ErrFull
	if err := st.look(); err == nil {
		t.Fatal("a look that could not hand on its messages succeeds")
	}
	st.refuse = nil
	st.mustLook()
	st.wants("write A x", "write B x", "write C x")
}

func TestTheAddonsFeedKeepsToTheDomain(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) { c.Addon, s.Addon = "require", true })
	st.mustLook()
	st.do(st.person, "create", map[string]any{"name": "without a reference"})
	st.create(st.person, "A", "x")
	st.mustLook()
	st.wants("write A x")
}

func TestOurOwnChangesAreNotSentBack(t *testing.T) {
	t.Parallel()
	for _, echo := range []bool{false, true} {
		t.Run(fmt.Sprint("echo ", echo), func(t *testing.T) {
			t.Parallel()
			st := newSite(t, t.TempDir(), func(c *SourceConfig, _ *simulated.Config) { c.Echo = echo })
			a := st.create(st.us, "A", "ours")
			st.mustLook()
			st.clock = st.clock.Add(time.Minute)
			st.write(st.person, a, map[string]any{"name": "theirs"})
			st.mustLook()
			st.clock = st.clock.Add(time.Minute)
			st.write(st.us, a, map[string]any{"name": "ours again"})
			st.mustLook()
			if want := []string{"write A theirs"}; echo {
				st.wants("write A ours", "write A theirs", "write A ours again")
			} else {
				st.wants(want...)
			}
		})
	}
}

func TestNothingIsRememberedThatWasNotAccepted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st := newSite(t, dir, nil)
	for i := range 120 {
		st.create(st.person, fmt.Sprintf("R%03d", i), "x")
	}
	st.refuse = broker.ErrFull
	if err := st.look(); !errors.Is(err, broker.ErrFull) {
		t.Fatalf("look says %v", err)
	}
	st.start()
	st.refuse = nil
	calls := 0
	err := st.src.watches[0].look(context.Background(), func(ctx context.Context, ms ...*broker.Message) error {
		if calls++; calls > 1 {
			return errors.New("the disk is gone")
		}
		return st.accept(ctx, ms...)
	})
	if err == nil || len(st.messages) != 60 {
		t.Fatalf("%d messages, %v", len(st.messages), err)
	}
	st.start() // it was killed, and remembers what was accepted
	st.mustLook()
	if len(st.messages) != 120 || st.repeats != 0 {
		t.Errorf("%d messages, %d of them offered twice", len(st.messages), st.repeats)
	}
}

func TestWithoutItsMemoryASourceRepeatsWithTheSameIdentities(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	for i := range 10 {
		st.create(st.person, fmt.Sprint("R", i), "x")
	}
	st.mustLook()
	st.cfg.Dir = t.TempDir() // another machine
	st.start()
	st.clock = st.clock.Add(time.Hour)
	st.mustLook()
	if len(st.messages) != 10 || st.repeats != 10 {
		t.Errorf("%d messages and %d repeats, want 10 and 10", len(st.messages), st.repeats)
	}
}

func TestOtherFieldsAreReadOfAllRecords(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	a := st.create(st.person, "A", "x")
	st.write(st.person, a, map[string]any{"city": "Poseidonis"})
	st.create(st.person, "B", "x")
	st.mustLook()
	st.cfg.Models = slices.Clone(st.cfg.Models)
	st.cfg.Models[0].Fields = append(slices.Clone(st.cfg.Models[0].Fields), "city")
	st.start()
	st.mustLook()
	if got := st.last(t)[a]["city"]; got != "Poseidonis" || len(st.messages) != 4 {
		t.Errorf("the city is %v after %d messages", got, len(st.messages))
	}
	st.cfg.Database = "other"
	st.start()
	if n := len(st.src.watches[0].memory.known); n != 0 {
		t.Errorf("%d records of one database are remembered for another", n)
	}
}

func TestWhatOdooCannotReadDoesNotHoldBackTheRest(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	for i := range 9 {
		st.create(st.person, fmt.Sprint("R", i), "x")
	}
	bad := st.create(st.person, "BAD", "x")
	st.server.Poison("BAD", simulated.PoisonReject)
	if err := st.look(); !errors.Is(err, errUnreadable) {
		t.Fatalf("look says %v", err)
	}
	if len(st.messages) != 9 {
		t.Errorf("%d messages, want 9", len(st.messages))
	}
	st.clock = st.clock.Add(time.Hour)
	st.create(st.person, "later", "x")
	for range 2 { // what is looked at moves past the one that cannot be read
		if err := st.look(); !errors.Is(err, errUnreadable) {
			t.Fatalf("look says %v", err)
		}
		st.clock = st.clock.Add(time.Hour)
	}
	st.server.Heal()
	st.start()
	st.clock = st.clock.Add(time.Hour)
	st.mustLook()
	if len(st.messages) != 11 || st.last(t)[bad] == nil {
		t.Errorf("%d messages, want 11", len(st.messages))
	}
}

func TestARecordThatIsRefusedDoesNotHoldBackTheRest(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	for i := range 5 {
		st.create(st.person, fmt.Sprint("R", i), "x")
	}
	err := st.src.watches[0].look(context.Background(), func(ctx context.Context, ms ...*broker.Message) error {
		for _, m := range ms {
			if strings.Contains(string(m.Body), "R3") {
				return &broker.RejectError{Code: "too_large", Err: errors.New("too large")}
			}
		}
		return st.accept(ctx, ms...)
	})
	if err != nil || len(st.messages) != 4 {
		t.Errorf("%d messages, %v", len(st.messages), err)
	}
}

// Random writers, late commits, kills and lost memories: in the end everybody
// knows what there is, and in between nothing was said twice.
func TestNoChangeIsMissedWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, addon := range []string{"off", "require"} {
		t.Run("addon "+addon, func(t *testing.T) {
			t.Parallel()
			dir, n := t.TempDir(), 0
			rapid.Check(t, func(t *rapid.T) {
				n++
				st := newSite(t, filepath.Join(dir, fmt.Sprint(n)), func(c *SourceConfig, s *simulated.Config) {
					c.Addon, s.Addon = addon, true
					c.Models[0].Domain = nil
					c.Batch = 3
				})
				var ids []int64
				lost := 0
				pick := func() int64 { return ids[rapid.IntRange(0, len(ids)-1).Draw(t, "record")] }
				steps := map[string]func(){
					"create": func() { ids = append(ids, st.create(st.person, fmt.Sprint("R", len(ids)), "new")) },
					"write": func() {
						if len(ids) > 0 {
							st.write(st.person, pick(), map[string]any{"name": rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")})
						}
					},
					"delete": func() {
						if len(ids) > 1 {
							id := pick()
							st.do(st.person, "unlink", []any{id})
							ids = slices.DeleteFunc(ids, func(x int64) bool { return x == id })
						}
					},
					"late": func() { // the transaction began up to nine minutes ago
						now := st.clock
						st.clock = now.Add(-time.Duration(rapid.IntRange(0, 540_000).Draw(t, "ms")) * time.Millisecond)
						ids = append(ids, st.create(st.person, fmt.Sprint("L", len(ids)), "late"))
						st.clock = now
					},
					"wait":      func() { st.clock = st.clock.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "s")) * time.Second) },
					"same time": func() { st.clock = st.clock.Add(time.Millisecond) },
					"look":      func() { st.mustLook() },
					"kill": func() {
						stop := rapid.IntRange(0, 3).Draw(t, "after")
						_ = st.src.watches[0].look(context.Background(), func(ctx context.Context, ms ...*broker.Message) error {
							if stop--; stop < 0 {
								return errors.New("killed")
							}
							return st.accept(ctx, ms...)
						})
						st.start()
					},
					"lose": func() { st.cfg.Dir = filepath.Join(dir, fmt.Sprint(n, "-", lost)); lost++; st.start() },
				}
				names := slices.Sorted(maps.Keys(steps))
				for range rapid.IntRange(1, 25).Draw(t, "steps") {
					steps[rapid.SampledFrom(names).Draw(t, "step")]()
				}
				st.clock = st.clock.Add(time.Minute)
				st.mustLook()
				st.clock = st.clock.Add(11 * time.Minute)
				st.mustLook()
				if lost == 0 && st.repeats > 0 {
					t.Fatalf("%d messages were offered again", st.repeats)
				}
				check := func(deletions bool) {
					last := st.last(t)
					for _, rec := range st.server.Records(partner) {
						if last[rec.ID] == nil || last[rec.ID]["name"] != rec.Values["name"] {
							t.Fatalf("record %d is %v, the last message says %v", rec.ID, rec.Values["name"], last[rec.ID])
						}
						delete(last, rec.ID)
					}
					for id, v := range last {
						if v != nil && deletions {
							t.Fatalf("record %d is not there, the last message says %v", id, v)
						}
					}
				}
				check(addon != "off" && lost == 0)
				st.clock = st.clock.Add(25 * time.Hour)
				st.mustLook()
				check(lost == 0)
			})
		})
	}
}

func TestRecordsAreToldInTheOrderInWhichTheyWereWritten(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), nil)
	first := st.create(st.person, "first", "x")
	for _, ref := range []string{"second", "third"} {
		st.clock = st.clock.Add(time.Second)
		st.create(st.person, ref, "x")
	}
	st.clock = st.clock.Add(time.Second)
	st.write(st.person, first, map[string]any{"name": "last"})
	st.clock = st.clock.Add(time.Minute)
	st.mustLook()
	st.wants("write second x", "write third x", "write first last")
}
