package journal

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
)

// What a reader gets from memory is what it would have got from the server.
func TestWhatIsRememberedIsWhatWasStored(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt")
	ctx := context.Background()
	var sent []*broker.Message
	for i, body := range []string{"MSH|1", "", "MSH|2\x00\xff"} {
		m := &broker.Message{ID: broker.NewMessageID("t", "s", "adt", strconv.Itoa(i), []byte(body)), Tenant: "t", Site: "s", Feed: "adt", Format: "hl7v2",
			Kind: "ADT^A08", SenderID: "é %2F\xff\n" + strconv.Itoa(i), ReceivedAt: time.Now(), Trace: "00-1", Group: broker.Group{ID: "g/1", Index: i, Count: 3}, Body: []byte(body)}
		if err := j.Append(ctx, "adt", m); err != nil {
			t.Fatal(err)
		}
		m.Body = append(m.Body[:0], "gone"[:min(len(body), 4)]...) // the sender's buffer
		sent = append(sent, m)
	}
	read := func() (all []Entry) {
		r, err := j.Read(ctx, "adt", Position{})
		if err != nil {
			t.Fatal(err)
		}
		for range sent {
			e, err := r.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	l := j.lanes["adt"]
	remembered := read()
	for seq, e := range remembered {
		if l.recent.get(uint64(seq+1)) != e.Message {
			t.Errorf("entry %d was not read from memory", seq+1)
		}
	}
	l.mu.Lock()
	l.recent.forget(4)
	l.mu.Unlock()
	stored := read()
	for i := range stored {
		if len(stored[i].Body) == 0 { // nil or not
			stored[i].Body = remembered[i].Body
		}
	}
	if d := cmp.Diff(stored, remembered); d != "" {
		t.Errorf("read from the server (-) and from memory (+):\n%s", d)
	}
}

func TestWhatIsRememberedHasBounds(t *testing.T) {
	t.Parallel()
	var r recent
	r.forget(1)
	put := func(seq uint64, bytes int) {
		r.put(seq, &broker.Message{ReceivedAt: time.Now(), Body: make([]byte, bytes)})
		held, n := 0, 0
		for _, at := range r.at {
			if at.m != nil {
				held, n = held+len(at.m.Body), n+1
			}
		}
		if held != r.bytes || held > recentBytes || n > recentMessages {
			t.Fatalf("after %d it holds %d bytes in %d messages and counts %d", seq, held, n, r.bytes)
		}
	}
	for seq := uint64(1); seq < 3*recentMessages; seq++ {
		put(seq^1, 100) // not in order
	}
	if r.get(recentMessages) != nil || r.get(3*recentMessages-3) == nil {
		t.Error("it holds what is old and not what is new")
	}
	for seq := uint64(3 * recentMessages); seq < 4*recentMessages; seq++ {
		put(seq, recentBytes/10)
	}
	put(4*recentMessages, recentBytes/8+1)
	if r.get(4*recentMessages) != nil || r.get(4*recentMessages-10) == nil || r.get(4*recentMessages-11) != nil {
		t.Error("it does not hold the last ten large ones, and no larger one")
	}
	put(10*recentMessages, 1)
	if r.get(4*recentMessages-1) != nil || r.get(10*recentMessages) == nil {
		t.Error("after a jump it holds what was before")
	}
}

func TestTrimmedEntriesAreForgotten(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt")
	ctx := context.Background()
	var last Position
	for i := range 3 {
		m := testMessage(i)
		m.ReceivedAt = time.Now()
		if err := j.Append(ctx, "adt", m); err != nil {
			t.Fatal(err)
		}
		last = Position{uint64(i + 1), m.ID}
	}
	if n, err := j.Trim(ctx, "adt", Position{2, testMessage(1).ID}, time.Now().Add(time.Hour)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	r, err := j.Read(ctx, "adt", Position{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(ctx); err != nil || e.Position != last {
		t.Errorf("the first entry is %v, %v", e.Position, err)
	}
}

// Those who come while another syncs, or right after, share the next sync.
func TestAReleasedSenderIsWaitedFor(t *testing.T) {
	t.Parallel()
	p := patience{}
	for range 50 {
		p.took(8 * time.Millisecond)
	}
	p.learn(2, 2)
	for range 20 {
		p.learn(4, 2)
	}
	if p.now != maxPatience {
		t.Errorf("when half of them come it waits for %s, not %s", p.now, maxPatience)
	}
	for range 20 {
		p.learn(4, 0)
	}
	if p.now != maxPatience/16 {
		t.Errorf("when nobody comes it waits for %s, not %s", p.now, maxPatience/16)
	}
}

// After a restart a sequence may be another message's.
func TestARestartForgets(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt")
	ctx := context.Background()
	m := testMessage(1)
	m.ReceivedAt = time.Now()
	if err := j.Append(ctx, "adt", m); err != nil {
		t.Fatal(err)
	}
	if err := j.restart(ctx); err != nil {
		t.Fatal(err)
	}
	l := j.lanes["adt"]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recent.get(1) != nil {
		t.Error("it remembers what was before")
	}
}

// A round that waits for another caller's sync when the server goes away has
// been written: it is synced all the same, and its callers are let go.
func TestARoundInHandComesToItsEnd(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l := j.lanes["adt"]
	until := func(what string, is func() bool) {
		t.Helper()
		for {
			l.mu.Lock()
			ok := is()
			l.mu.Unlock()
			if ok {
				return
			}
			if ctx.Err() != nil {
				t.Fatal(what)
			}
			time.Sleep(time.Millisecond)
		}
	}
	s, _ := l.current()
	l.syncMu.Lock()
	ended := make(chan error, 3)
	for i, m := range []*broker.Message{testMessage(1), testMessage(2)} {
		go func() { ended <- j.Append(ctx, "adt", m) }()
		until("the server has it", func() bool { return len(s.turn) == 1 && l.next == uint64(i+1) && len(l.slots) == 0 })
	}
	go func() { ended <- j.restart(ctx) }()
	until("the session ends", func() bool { return l.s == nil })
	l.syncMu.Unlock()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
