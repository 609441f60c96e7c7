package journal

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

func openTest(t *testing.T, dir string, feeds ...string) *Journal {
	t.Helper()
	cfg := Config{Dir: dir}
	for _, f := range feeds {
		cfg.Feeds = append(cfg.Feeds, Feed{Name: f})
	}
	j, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func testMessage(i int) *broker.Message {
	body := make([]byte, 1000)
	return &broker.Message{ID: broker.NewMessageID("t", "s", "adt", strconv.Itoa(i), body), Feed: "adt", SenderID: strconv.Itoa(i), Body: body}
}

func TestAfterAFailedFsyncNothingIsAcceptedAnyMore(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt", "lab")
	ctx := context.Background()
	for i := range 2 {
		if err := j.Append(ctx, "adt", testMessage(i)); err != nil {
			t.Fatal(err)
		}
	}
	// A gap before the last durable entry: a request for two entries finds the unsynced one.
	if n, err := j.Trim(ctx, "adt", Position{Seq: 1, ID: testMessage(0).ID}, time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	l := j.lanes["adt"]
	l.syncMu.Lock()
	_ = l.blocks.cur.Close() // its Sync fails from now on
	l.syncMu.Unlock()
	for _, feed := range []string{"adt", "adt", "lab"} { // the first fails, the others are not tried
		m := testMessage(2)
		m.Feed = feed
		if err := j.Append(ctx, feed, m); err == nil || !strings.Contains(err.Error(), "until the agent is started again") {
			t.Errorf("append to %s gives %v", feed, err)
		}
	}
	if err := j.Err(); err == nil || errors.Is(err, broker.ErrFull) {
		t.Errorf("its state is %v, want an error that does not pass", err)
	}
	j.watch(ctx)
	if j.Err() == nil {
		t.Error("the watch has made it accept again")
	}
	r, err := j.Read(ctx, "adt", Position{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(ctx); err != nil || e.SenderID != "1" {
		t.Errorf("what was stored can not be read: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a message that was not synced is read: %v", err)
	}
}

func TestAStepThatWasCutShortIsTakenBackByTheNextStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := context.Background()
	j, err := Open(ctx, Config{Dir: dir, Feeds: []Feed{{Name: "adt"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(ctx, "adt", testMessage(1), testMessage(2)); err != nil {
		t.Fatal(err)
	}
	l := j.lanes["adt"]
	s, durable := l.current()
	if err := l.mark.set(durable); err != nil {
		t.Fatal(err)
	}
	for i := 3; i < 6; i++ { // as far as the step came
		if _, err := s.nc.RequestMsg(encode(testMessage(i)), 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.stream.DeleteMsg(ctx, 4); err != nil { // as far as the start before this one came
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openTest(t, dir, "adt")
	if err := j.Append(ctx, "adt", testMessage(4), testMessage(3)); err != nil {
		t.Fatal(err)
	}
	r, err := j.Read(ctx, "adt", Position{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1", "2", "4", "3"} {
		if e, err := r.Next(ctx); err != nil || e.SenderID != want {
			t.Fatalf("read %v, want %s", err, want)
		}
	}
}

func TestAServerThatWritesElsewhereIsNoticed(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt", "lab")
	ctx := context.Background()
	if err := j.Append(ctx, "adt", testMessage(1)); err != nil {
		t.Fatal(err)
	}
	l := j.lanes["adt"]
	l.syncMu.Lock()
	l.blocks.close()
	l.blocks = blocks{dir: t.TempDir()}
	l.syncMu.Unlock()
	if err := j.Append(ctx, "adt", testMessage(2)); err == nil || !strings.Contains(err.Error(), "set sync_always") {
		t.Errorf("it gives %v", err)
	}
}

func TestARestartOfTheServerFailsWhoWaitsAndLosesNothing(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt", "lab")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	acked := map[string]bool{}
	writing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for s := range 8 {
		wg.Go(func() {
			for i := s * 20; writing.Err() == nil; i += 2 { // what others have appended already, or will
				ms := []*broker.Message{testMessage(i), testMessage(i + 1)}[:1+i/2%2]
				if err := j.Append(ctx, "adt", ms...); err == nil {
					mu.Lock()
					for _, m := range ms {
						acked[m.SenderID] = true
					}
					mu.Unlock()
				} else if !errors.Is(err, broker.ErrFull) {
					t.Error(err)
				}
			}
		})
	}
	r, err := j.Read(ctx, "adt", Position{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	next := func() {
		e, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seen[e.SenderID]++
	}
	for range 3 {
		for range 200 {
			next()
		}
		if err := j.restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	wg.Wait()
	st, err := j.Stats(ctx, "adt")
	if err != nil {
		t.Fatal(err)
	}
	for len(seen) < int(st.Messages) {
		next()
	}
	for id := range acked {
		if seen[id] != 1 {
			t.Errorf("message %s was acknowledged and is read %d times", id, seen[id])
		}
	}
}

func TestWhatIsNotOnStableStorageYetIsNotTheLast(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	j := openTest(t, t.TempDir(), "adt")
	last := func() uint64 {
		t.Helper()
		st, err := j.Stats(ctx, "adt")
		if err != nil {
			t.Fatal(err)
		}
		return st.Last.Seq
	}
	l, err := j.lane("adt")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // the first with nothing before it
		l.syncMu.Lock() // what is published now waits for its sync
		accepted := make(chan error, 1)
		go func() { accepted <- j.Append(ctx, "adt", testMessage(i)) }()
		s, _ := l.current()
		for stored := 0; stored <= i; {
			info, err := s.stream.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			stored = int(info.State.Msgs)
		}
		if got := last(); got != uint64(i) {
			t.Errorf("the last of %d that are synced is %d", i, got)
		}
		l.syncMu.Unlock()
		if err := <-accepted; err != nil {
			t.Fatal(err)
		}
		if got := last(); got != uint64(i+1) {
			t.Errorf("the last of %d is %d", i+1, got)
		}
	}
}

func TestAMarkSurvivesATornWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mark")
	reopen := func() (uint64, bool) {
		m, seq, open, err := openMark(path)
		if err != nil {
			t.Fatal(err)
		}
		m.close()
		return seq, open
	}
	if _, open := reopen(); open {
		t.Error("a new mark is open")
	}
	m, _, _, err := openMark(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for _, seq := range []uint64{0, 7, 1 << 40} {
		if err := m.set(seq); err != nil {
			t.Fatal(err)
		}
		if got, open := reopen(); !open || got != seq {
			t.Errorf("it says %d, %v, want %d", got, open, seq)
		}
	}
	newest := int64(m.turn%2) * markSlot
	if _, err := m.f.WriteAt([]byte{0xff}, newest+9); err != nil {
		t.Fatal(err)
	}
	if got, open := reopen(); !open || got != 7 {
		t.Errorf("torn, it says %d, %v, want the one before", got, open)
	}
	if err := m.clear(); err != nil {
		t.Fatal(err)
	}
	if _, open := reopen(); open {
		t.Error("it is open after clear")
	}
}

func TestATraceIsReadWhereEarlierVersionsLeftIt(t *testing.T) {
	t.Parallel()
	m := &broker.Message{ID: "abc", Feed: "adt", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Body: broker.PHI("body")}
	h := encode(m).Header
	if got, err := decode("adt", h, m.Body); err != nil || got.Trace != m.Trace {
		t.Errorf("as it is written now: %v", err)
	}
	h["traceparent"] = h[headerTrace]
	delete(h, headerTrace)
	if got, err := decode("adt", h, m.Body); err != nil || got.Trace != m.Trace {
		t.Errorf("as it was written before: %v", err)
	}
}

func TestARoundThatWasHandedOverIsCommittedAlsoByACallerWhoGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // which of two ready channels is taken is a matter of chance
		committed := false
		p := &step{done: make(chan struct{}), alone: make(chan func(), 1)}
		p.alone <- func() { committed = true }
		_ = (&lane{}).await(ctx, p)
		if !committed {
			t.Fatal("nobody committed the round")
		}
	}
}

func TestDrainingEndsWithTheLastCommit(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt")
	l, err := j.lane("adt")
	if err != nil {
		t.Fatal(err)
	}
	l.syncMu.Lock() // the disk is slow
	stored, drained := make(chan error, 1), make(chan struct{})
	go func() { stored <- j.Append(context.Background(), "adt", testMessage(1)) }()
	for out := int64(0); out == 0; {
		l.mu.Lock()
		out = l.outBytes
		l.mu.Unlock()
	}
	go func() { l.drain(time.Hour); close(drained) }()
	for waiting := false; !waiting; {
		select {
		case <-drained:
			t.Fatal("drained with a message in hand")
		default:
		}
		l.mu.Lock()
		waiting = l.settled != nil && len(l.slots) == 0
		l.mu.Unlock()
	}
	l.syncMu.Unlock()
	select {
	case <-drained:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is in hand any more, and it waits on")
	}
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
}
