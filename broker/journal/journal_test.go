package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

// open opens a journal that the test's end closes.
func open(tb testing.TB, cfg journal.Config) *journal.Journal {
	tb.Helper()
	cfg = settings(tb, cfg)
	j, err := journal.Open(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeJournal(tb, j) })
	return j
}

func settings(tb testing.TB, cfg journal.Config) journal.Config {
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	if cfg.Feeds == nil {
		cfg.Feeds = []journal.Feed{{Name: "adt", MaxBytes: 256 << 20}}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	return cfg
}

func closeJournal(tb testing.TB, j *journal.Journal) {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Error(err)
	}
}

// message is the i-th message of a feed.
func message(feed string, i int64, body []byte) *broker.Message {
	sender := strconv.FormatInt(i, 10)
	return &broker.Message{
		ID: broker.NewMessageID("t", "north", feed, sender, body), Tenant: "t", Site: "north", Feed: feed,
		Format: "hl7v2", Kind: "ADT^A08", SenderID: sender, ReceivedAt: time.Now().UTC(), Body: body,
	}
}

func batch(from, n int64, body []byte) []*broker.Message {
	ms := make([]*broker.Message, n)
	for i := range ms {
		ms[i] = message("adt", from+int64(i), body)
		ms[i].Group = broker.Group{ID: "g" + strconv.FormatInt(from, 10), Index: i, Count: int(n)}
	}
	return ms
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// entries reads all that the feed holds.
func entries(tb testing.TB, j *journal.Journal, feed string, after journal.Position) []journal.Entry {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	st, err := j.Stats(ctx, feed)
	must(tb, err)
	r, err := j.Read(ctx, feed, after)
	must(tb, err)
	var all []journal.Entry
	for st.Messages > 0 && (len(all) == 0 || all[len(all)-1].Position.Seq < st.Last.Seq) {
		e, err := r.Next(ctx)
		must(tb, err)
		all = append(all, e)
		if e.Position == st.Last {
			break
		}
	}
	return all
}

func senders(es []journal.Entry) []string {
	var ids []string
	for _, e := range es {
		ids = append(ids, e.SenderID)
	}
	return ids
}

func TestAMessageComesBackAsItWasAppended(t *testing.T) {
	t.Parallel()
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, c := range []struct {
		name string
		key  string
		m    broker.Message
	}{
		{name: "every field", m: broker.Message{Tenant: "t", Site: "north", Format: "hl7v2", Kind: "ADT^A08", SenderID: "MSG1", ReceivedAt: at, Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Group: broker.Group{ID: "a/b", Index: 2, Count: 3}, Body: broker.PHI("MSH|^~\\&|\r")}},
		{name: "a control id and a body of every byte", m: broker.Message{SenderID: string(all[:]), Kind: " %0d \r\n: é", ReceivedAt: at, Body: all[:]}},
		{name: "no body", m: broker.Message{SenderID: "1", ReceivedAt: at, Body: broker.PHI{}}},
		{name: "the largest body", m: broker.Message{SenderID: "1", ReceivedAt: at, Body: bytes.Repeat([]byte("x"), 16<<20)}},
		{name: "encrypted", key: "0123456789abcdef", m: broker.Message{SenderID: "1", ReceivedAt: at, Body: all[:]}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := open(t, journal.Config{Key: broker.NewSecret(c.key)})
			m := c.m
			m.Feed, m.ID = "adt", broker.NewMessageID(m.Tenant, m.Site, "adt", m.SenderID, m.Body)
			must(t, j.Append(context.Background(), "adt", &m))
			got := entries(t, j, "adt", journal.Position{})
			if len(got) != 1 {
				t.Fatalf("%d entries", len(got))
			}
			if diff := cmp.Diff(&m, got[0].Message, cmp.Comparer(func(a, b broker.PHI) bool { return bytes.Equal(a, b) })); diff != "" {
				t.Error(diff)
			}
			if got[0].Position != (journal.Position{Seq: 1, ID: m.ID}) {
				t.Errorf("position %v", got[0].Position)
			}
		})
	}
}

func TestEachSendersOrderIsKeptAndNothingIsMissing(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{Feeds: []journal.Feed{{Name: "adt"}, {Name: "lab"}}})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const who, each = 16, 60
	var wg sync.WaitGroup
	for s := range who {
		feed := []string{"adt", "lab"}[s%2]
		wg.Go(func() {
			for n := 0; n < each; {
				ms := []*broker.Message{message(feed, int64(s*1000+n), []byte("x"))}
				for k := n + 1; s%4 == 1 && k < min(n+5, each); k++ { // some send in steps
					ms = append(ms, message(feed, int64(s*1000+k), []byte("x")))
				}
				if err := j.Append(ctx, feed, ms...); err != nil {
					t.Error(err)
					return
				}
				n += len(ms)
			}
		})
	}
	var mu sync.Mutex
	next := map[int]int{}
	for _, feed := range []string{"adt", "lab"} {
		wg.Go(func() { // reads while it is written
			r, err := j.Read(ctx, feed, journal.Position{})
			if err != nil {
				t.Error(err)
				return
			}
			for range who / 2 * each {
				e, err := r.Next(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(e.SenderID)
				mu.Lock()
				if next[n/1000] != n%1000 {
					t.Errorf("sender %d: message %d where %d was due", n/1000, n%1000, next[n/1000])
				}
				next[n/1000] = n%1000 + 1
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// A lone caller commits his own message. Some give up before, while and after
// the server has stored it: the next ones, readers and Close see no difference.
func TestALoneCallerWhoGivesUpHoldsNothingUp(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{})
	kept := map[string]bool{}
	gone := 0
	for i := range int64(400) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(2*time.Millisecond))))
		m := message("adt", i, []byte("body"))
		if err := j.Append(ctx, "adt", m); err == nil {
			kept[m.SenderID] = true
		} else {
			gone++
		}
		cancel()
	}
	last := message("adt", 400, []byte("body"))
	must(t, j.Append(t.Context(), "adt", last))
	if len(kept) == 0 || gone == 0 {
		t.Fatalf("%d were accepted and %d gave up: this proves nothing", len(kept), gone)
	}
	all := senders(entries(t, j, "adt", journal.Position{}))
	for _, id := range all {
		delete(kept, id)
	}
	if len(kept) > 0 || all[len(all)-1] != last.SenderID {
		t.Fatalf("%d accepted messages can not be read; the last one is %s", len(kept), all[len(all)-1])
	}
}

func TestAReaderWaitsForTheNextEntry(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{})
	ctx := context.Background()
	r, err := j.Read(ctx, "adt", journal.Position{})
	must(t, err)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an empty journal gives %v", err)
	}
	got := make(chan journal.Entry, 1)
	go func() {
		if e, err := r.Next(ctx); err == nil {
			got <- e
		}
	}()
	must(t, j.Append(ctx, "adt", message("adt", 1, []byte("x"))))
	select {
	case e := <-got:
		if e.SenderID != "1" {
			t.Errorf("it gave %s", e.SenderID)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it did not wake up")
	}
}

func TestAMessageThatIsThereIsNotStoredAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := context.Background()
	one, two := message("adt", 1, []byte("x")), message("adt", 2, []byte("x"))
	other := message("adt", 1, []byte("y"))      // the sender's id again, with other content
	clash := *message("adt", 9, []byte("clash")) // another message with the same short id
	clash.ID = broker.ShortID(one.ID) + clash.ID[13:]
	j, err := journal.Open(ctx, settings(t, journal.Config{Dir: dir}))
	must(t, err)
	must(t, j.Append(ctx, "adt", one))
	must(t, j.Append(ctx, "adt", one))
	must(t, j.Append(ctx, "adt", one, two, two))
	closeJournal(t, j)
	j = open(t, journal.Config{Dir: dir})
	must(t, j.Append(ctx, "adt", two))
	must(t, j.Append(ctx, "adt", other))
	must(t, j.Append(ctx, "adt", &clash))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := j.Append(ctx, "adt", message("adt", 3, []byte("x"))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff([]string{"1", "2", "1", "9", "3"}, senders(entries(t, j, "adt", journal.Position{}))); diff != "" {
		t.Error(diff)
	}
	must(t, j.Append(ctx, "adt", one))
}

func TestFind(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{})
	ctx := context.Background()
	must(t, j.Append(ctx, "adt", batch(0, 20, []byte("x"))...))
	want := message("adt", 7, []byte("x"))
	e, err := j.Find(ctx, "adt", broker.ShortID(want.ID))
	must(t, err)
	if e.ID != want.ID || e.Position != (journal.Position{Seq: 8, ID: want.ID}) {
		t.Errorf("found %v", e.Position)
	}
	for _, mid := range []string{"aaaaaaaaaaaaa", "", "*", ">", "a.b"} {
		if _, err := j.Find(ctx, "adt", mid); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("find %q gives %v", mid, err)
		}
	}
}

func TestAPositionIsTheMessageNotTheSequence(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{})
	ctx := context.Background()
	must(t, j.Append(ctx, "adt", batch(0, 5, []byte("x"))...))
	id := func(i int64) string { return message("adt", i, []byte("x")).ID }
	for _, c := range []struct {
		name  string
		after journal.Position
		first string
	}{
		{"the beginning", journal.Position{}, "0"},
		{"where it says", journal.Position{Seq: 2, ID: id(1)}, "2"},
		{"the id stands elsewhere", journal.Position{Seq: 4, ID: id(1)}, "2"},
		{"the id stands elsewhere and nothing at the sequence", journal.Position{Seq: 400, ID: id(1)}, "2"},
		{"only the id", journal.Position{ID: id(1)}, "2"},
		{"the id is nowhere", journal.Position{Seq: 4, ID: id(99)}, "0"},
		{"no id", journal.Position{Seq: 4}, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := entries(t, j, "adt", c.after)
			if len(got) == 0 || got[0].SenderID != c.first {
				t.Errorf("reading begins with %v, want %s", senders(got), c.first)
			}
		})
	}
}

func TestAFullJournalRefusesAndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	for _, always := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync always %v", always), func(t *testing.T) {
			t.Parallel()
			j := open(t, journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 100_000}}, SyncAlways: always})
			ctx := context.Background()
			body := bytes.Repeat([]byte("x"), 1000)
			n := int64(0)
			var err error
			for ; err == nil; n++ {
				err = j.Append(ctx, "adt", message("adt", n, body))
			}
			if !errors.Is(err, broker.ErrFull) {
				t.Fatalf("full gives %v", err)
			}
			stored := len(entries(t, j, "adt", journal.Position{}))
			if int64(stored) != n-1 || n < 20 {
				t.Errorf("%d acknowledged, %d there", n-1, stored)
			}
			must(t, j.Append(ctx, "adt", message("adt", 0, body))) // a duplicate needs no room
			must(t, j.Append(ctx, "adt", batch(0, n-1, body)...))
			st, err := j.Stats(ctx, "adt")
			must(t, err)
			removed, err := j.Trim(ctx, "adt", st.Last, time.Now().Add(time.Hour))
			if err != nil || removed != stored {
				t.Fatalf("trim removed %d of %d, %v", removed, stored, err)
			}
			must(t, j.Append(ctx, "adt", message("adt", n, body)))
		})
	}
}

func TestAStepThatDoesNotFitLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		n, size int64
	}{
		{"its bodies alone are too much", 200, 1000},
		{"its bodies fit, with their headers they do not", 400, 200},
	} {
		for _, always := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sync always %v", c.name, always), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				cfg := journal.Config{Dir: dir, Feeds: []journal.Feed{{Name: "adt", MaxBytes: 120_000}}, SyncAlways: always}
				j, err := journal.Open(context.Background(), settings(t, cfg))
				must(t, err)
				ctx := context.Background()
				must(t, j.Append(ctx, "adt", message("adt", -1, []byte("x"))))
				ms := batch(0, c.n, bytes.Repeat([]byte("x"), int(c.size)))
				for range 3 {
					if err := j.Append(ctx, "adt", ms...); !errors.Is(err, broker.ErrFull) {
						t.Fatalf("it gives %v", err)
					}
				}
				must(t, j.Append(ctx, "adt", ms[0]))
				must(t, j.Append(ctx, "adt", ms[:20]...))
				want := []string{"-1"}
				for i := range 20 {
					want = append(want, strconv.Itoa(i))
				}
				if diff := cmp.Diff(want, senders(entries(t, j, "adt", journal.Position{}))); diff != "" {
					t.Error(diff)
				}
				closeJournal(t, j)
				if diff := cmp.Diff(want, senders(entries(t, open(t, cfg), "adt", journal.Position{}))); diff != "" {
					t.Error("after a restart:", diff)
				}
			})
		}
	}
}

func TestTrimRemovesWhatIsSentAndOldAndNeverMore(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	h := func(n float64) time.Time { return now.Add(time.Duration(n * float64(time.Hour))) }
	for _, c := range []struct {
		name     string
		received []float64 // hours from now
		sent     uint64
		before   time.Time
		left     int
	}{
		{"all is sent and old", []float64{-5, -4, -3}, 3, h(-1), 0},
		{"all is sent, none is old", []float64{-5, -4, -3}, 3, h(-6), 3},
		{"all is old, none is sent", []float64{-5, -4, -3}, 0, h(-1), 3},
		{"some is sent", []float64{-5, -4, -3}, 2, h(-1), 1},
		{"some is old", []float64{-5, -4, -3}, 3, h(-3.5), 1},
		{"exactly as old is not older", []float64{-5, -4, -3}, 3, h(-4), 2},
		{"a young one keeps the old ones behind it", []float64{-5, -0.5, -3, -3}, 4, h(-1), 3},
		{"one from the future goes with the next old one", []float64{-5, 9999, -3, -0.5}, 4, h(-1), 1},
		{"one from the future with none after it stays", []float64{-5, 9999}, 2, h(-1), 1},
		{"one from the future stays if the old one behind it is not sent", []float64{-5, 9999, -3}, 2, h(-1), 2},
		{"a clock that was set back", []float64{-3, -2, -9, -8}, 3, h(-2.5), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := open(t, journal.Config{})
			ctx := context.Background()
			sent := journal.Position{}
			for i, at := range c.received {
				m := message("adt", int64(i), []byte("x"))
				m.ReceivedAt = h(at)
				must(t, j.Append(ctx, "adt", m))
				if uint64(i+1) == c.sent {
					sent = journal.Position{Seq: c.sent, ID: m.ID}
				}
			}
			n, err := j.Trim(ctx, "adt", sent, c.before)
			must(t, err)
			left := entries(t, j, "adt", journal.Position{})
			if len(left) != c.left || n != len(c.received)-c.left {
				t.Errorf("%d left, %d removed, want %d left", len(left), n, c.left)
			}
			must(t, j.Append(ctx, "adt", message("adt", 100, []byte("x"))))
		})
	}
	t.Run("a position that another message stands at", func(t *testing.T) {
		t.Parallel()
		j := open(t, journal.Config{})
		ctx := context.Background()
		must(t, j.Append(ctx, "adt", batch(0, 3, []byte("x"))...))
		for _, sent := range []journal.Position{{Seq: 3}, {Seq: 3, ID: message("adt", 77, nil).ID}} {
			if n, err := j.Trim(ctx, "adt", sent, time.Now().Add(time.Hour)); n != 0 || err != nil {
				t.Errorf("%v removed %d, %v", sent, n, err)
			}
		}
		first := message("adt", 0, []byte("x"))
		if n, err := j.Trim(ctx, "adt", journal.Position{Seq: 3, ID: first.ID}, time.Now().Add(time.Hour)); n != 1 || err != nil {
			t.Errorf("the first message's id removed %d, %v", n, err)
		}
	})
}

// The server rewrites the block that is cut, and begins new ones, while
// messages come in.
func TestTrimmingUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "0123456789abcdef"} {
		t.Run(fmt.Sprintf("encrypted %v", key != ""), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := journal.Config{Dir: dir, Key: broker.NewSecret(key)}
			j, err := journal.Open(context.Background(), settings(t, cfg))
			must(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			defer cancel()
			const who, each = 8, 150
			body := bytes.Repeat([]byte("x"), 20_000) // 24 MB: several blocks
			var wg sync.WaitGroup
			defer func() { cancel(); wg.Wait() }()
			for s := range who {
				wg.Go(func() {
					for i := range each {
						if err := j.Append(ctx, "adt", message("adt", int64(s*1000+i), body)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			r, err := j.Read(ctx, "adt", journal.Position{})
			must(t, err)
			removed, seen := 0, 0
			for ; seen < who*each; seen++ {
				e, err := r.Next(ctx)
				must(t, err)
				if rand.IntN(60) == 0 {
					n, err := j.Trim(ctx, "adt", e.Position, time.Now().Add(time.Minute))
					must(t, err)
					if removed += n; removed != seen+1 {
						t.Fatalf("%d removed of %d sent", removed, seen+1)
					}
				}
			}
			wg.Wait()
			closeJournal(t, j)
			if got := len(entries(t, open(t, cfg), "adt", journal.Position{})); got != seen-removed {
				t.Errorf("%d left, want %d", got, seen-removed)
			}
		})
	}
}

func TestWhatIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{MaxMessage: 1000})
	ctx := context.Background()
	var reject *broker.RejectError
	if err := j.Append(ctx, "adt", message("adt", 1, make([]byte, 1001))); !errors.As(err, &reject) {
		t.Errorf("too large gives %v", err)
	}
	if err := j.Append(ctx, "lab", message("lab", 1, nil)); err == nil {
		t.Error("an unknown feed is taken")
	}
	if err := j.Append(ctx, "adt", message("lab", 1, nil)); err == nil {
		t.Error("another feed's message is taken")
	}
	if err := j.Append(ctx, "adt", &broker.Message{Feed: "adt", ID: "a.b"}); err == nil {
		t.Error("an id that is no token is taken")
	}
	must(t, j.Append(ctx, "adt"))
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := j.Append(done, "adt", message("adt", 1, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is done gives %v", err)
	}
}

func TestTooLittleFreeSpaceRefuses(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Config{MinFree: 1 << 60})
	if err := j.Append(context.Background(), "adt", message("adt", 1, nil)); !errors.Is(err, broker.ErrFull) {
		t.Errorf("it gives %v", err)
	}
	if err := j.Err(); !errors.Is(err, broker.ErrFull) {
		t.Errorf("its state is %v", err)
	}
}
