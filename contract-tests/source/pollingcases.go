package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

func eachOnce(t *testing.T, p Peer) {
	j, dir := newJournal(t, p), t.TempDir()
	p.Put(t, 1, "a")
	p.Put(t, 2, "a")
	src, stop := j.run(dir)
	j.wants("1 a", "2 a")
	p.Put(t, 1, "b")
	j.wants("1 a", "2 a", "1 b")
	p.Put(t, 1, "a") // as it was, and a version of its own
	j.wants("1 a", "2 a", "1 b", "1 a")
	isWell(t, src)
	stop()
	p.Put(t, 2, "while it was away")
	_, stop = j.run(dir)
	j.wants("1 a", "2 a", "1 b", "1 a", "2 while it was away")
	p.Put(t, 3, "a") // when this is told, it has looked at the others again
	j.wants("1 a", "2 a", "1 b", "1 a", "2 while it was away", "3 a")
	stop()
	j.neverAgain()
}

func isWell(t *testing.T, src Polling) {
	t.Helper()
	if !reaches(func() bool { return src.Problem() == "" }) {
		t.Errorf("all is well, and Problem says %q", src.Problem())
	}
}

func saysWhatIsWrong(t *testing.T, src Polling) {
	t.Helper()
	if !reaches(func() bool { return src.Problem() != "" }) {
		t.Error("nothing comes, and Problem does not say why")
	}
}

func pages(t *testing.T, p Peer) {
	j := newJournal(t, p)
	want := p.fill(t, 3)
	_, stop := j.run(t.TempDir())
	j.wants(want...)
	stop()
	if j.largest > p.Page {
		t.Errorf("%d messages were handed over at once, want %d at most", j.largest, p.Page)
	}
	j.neverAgain()
}

func notAccepted(t *testing.T, p Peer) {
	j, dir := newJournal(t, p), t.TempDir()
	want := append(j.begun(dir), p.fill(t, 2)...)
	var calls atomic.Int32
	src, stop := j.run(dir, func(ctx context.Context, ms ...*broker.Message) error {
		if calls.Add(1) > 1 {
			return fmt.Errorf("append: %w", broker.ErrFull)
		}
		return j.accept(ctx, ms...)
	})
	saysWhatIsWrong(t, src)
	stop()
	var works atomic.Bool
	src, stop = j.run(dir, func(ctx context.Context, ms ...*broker.Message) error {
		if !works.Load() {
			return errors.New("something nobody thought of")
		}
		return j.accept(ctx, ms...)
	})
	saysWhatIsWrong(t, src)
	works.Store(true)
	j.wants(want...)
	isWell(t, src)
	stop()
	_, stop = j.run(dir)
	p.Put(t, 0, "b")
	j.wants(append(want, "0 b")...)
	stop()
	j.neverAgain()
}

func refusedForGood(t *testing.T, p Peer) {
	j := newJournal(t, p)
	for n := range 6 {
		p.Put(t, n, "a")
	}
	j.run(t.TempDir(), func(ctx context.Context, ms ...*broker.Message) error {
		for _, m := range ms {
			if n, text := p.Read(t, m); n == 3 && text == "a" {
				return &broker.RejectError{Code: "too_large", Err: errors.New("over the limit")}
			}
		}
		return j.accept(ctx, ms...)
	})
	j.wants("0 a", "1 a", "2 a", "4 a", "5 a")
	p.Put(t, 3, "b")
	j.wants("0 a", "1 a", "2 a", "4 a", "5 a", "3 b")
}

// killed stops a source at a page: a call of accept that does not return lets
// nothing happen after it.
func killed(page int32, stored bool) func(*testing.T, Peer) {
	return func(t *testing.T, p Peer) {
		j, dir := newJournal(t, p), t.TempDir()
		want := append(j.begun(dir), p.fill(t, 2)...)
		var calls atomic.Int32
		reached, release := make(chan struct{}), make(chan struct{})
		j.run(dir, func(ctx context.Context, ms ...*broker.Message) error {
			n := calls.Add(1)
			if n < page || n == page && stored {
				if err := j.accept(ctx, ms...); err != nil || n < page {
					return err
				}
			}
			if n == page {
				close(reached)
			}
			<-release
			return errors.New("it was killed")
		})
		t.Cleanup(func() { close(release) })
		<-reached
		_, stop := j.run(dir)
		j.wants(want...)
		p.Put(t, 0, "b")
		j.wants(append(want, "0 b")...)
		stop()
	}
}

func forgotten(t *testing.T, p Peer) {
	j := newJournal(t, p)
	want := p.fill(t, 2)
	_, stop := j.run(t.TempDir())
	j.wants(want...)
	stop()
	_, stop = j.run(t.TempDir())
	p.Put(t, 0, "b")
	j.wants(append(want, "0 b")...)
	stop()
}

func stopInHand(t *testing.T, p Peer) {
	j, dir := newJournal(t, p), t.TempDir()
	p.Put(t, 1, "a")
	src := p.Source(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	inHand, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- src.Run(ctx, func(ctx context.Context, ms ...*broker.Message) error {
			close(inHand)
			<-goOn
			if ctx.Err() != nil {
				t.Error("the stop takes away what is in hand")
			}
			return j.accept(ctx, ms...)
		})
	}()
	<-inHand
	cancel()
	select {
	case err := <-ended:
		t.Fatalf("Run returned (%v) with a message in hand", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Run did not return after its last message")
	}
	j.wants("1 a")
	_, stop := j.run(dir)
	p.Put(t, 2, "a")
	j.wants("1 a", "2 a")
	stop()
	j.neverAgain()
}

// writers change records while the source is stopped and started and accept
// fails at times.
func writers(t *testing.T, p Peer) {
	const records, versions = 5, 30
	j, dir := newJournal(t, p), t.TempDir()
	var calls atomic.Int32
	unreliable := func(ctx context.Context, ms ...*broker.Message) error {
		if calls.Add(1)%3 == 2 {
			return broker.ErrFull
		}
		return j.accept(ctx, ms...)
	}
	_, stop := j.run(dir, unreliable)
	for v := range versions {
		for n := range records {
			p.Put(t, n, fmt.Sprintf("%03d", v))
		}
		if v%10 == 9 {
			before, _ := j.all()
			reaches(func() bool { now, _ := j.all(); return len(now) > len(before) })
			stop()
			_, stop = j.run(dir, unreliable)
		}
	}
	last := fmt.Sprintf("%03d", versions-1)
	reaches(func() bool {
		got, _ := j.all()
		return strings.Count(strings.Join(got, "\n")+"\n", " "+last+"\n") == records
	})
	stop()
	said := map[string]string{}
	got, _ := j.all()
	for _, line := range got {
		n, text, _ := strings.Cut(line, " ")
		if text <= said[n] {
			t.Errorf("record %s: %q was told after %q", n, text, said[n])
		}
		said[n] = text
	}
	for n := range records {
		if text := said[fmt.Sprint(n)]; text != last {
			t.Errorf("record %d: told last is %q, and it is %q", n, text, last)
		}
	}
	j.neverAgain()
}

func deletion(t *testing.T, p Peer) {
	j, dir := newJournal(t, p), t.TempDir()
	p.Put(t, 1, "a")
	p.Put(t, 2, "a")
	_, stop := j.run(dir)
	j.wants("1 a", "2 a")
	p.Delete(t, 1)
	j.wants("1 a", "2 a", "1 ")
	stop()
	p.Delete(t, 2)
	_, stop = j.run(dir)
	j.wants("1 a", "2 a", "1 ", "2 ")
	p.Put(t, 3, "a")
	j.wants("1 a", "2 a", "1 ", "2 ", "3 a")
	stop()
	j.neverAgain()
}

func ties(t *testing.T, p Peer) {
	j := newJournal(t, p)
	now := time.Now()
	p.Clock(func() time.Time { return now })
	p.Put(t, 1, "a")
	_, stop := j.run(t.TempDir())
	j.wants("1 a")
	p.Put(t, 2, "a")
	p.Put(t, 1, "b")
	j.wants("1 a", "2 a", "1 b")
	p.Put(t, 1, "c")
	j.wants("1 a", "2 a", "1 b", "1 c")
	stop()
	j.neverAgain()
}

func skew(by time.Duration) func(*testing.T, Peer) {
	return func(t *testing.T, p Peer) {
		p.Clock(func() time.Time { return time.Now().Add(by) })
		eachOnce(t, p)
	}
}

// lateCommit: the transaction of a change began long before others that are
// seen, and ends after them.
func lateCommit(t *testing.T, p Peer) {
	j, dir := newJournal(t, p), t.TempDir()
	began := time.Now()
	late := p.Late * 9 / 10
	p.Put(t, 1, "a")
	p.Put(t, 2, "a")
	_, stop := j.run(dir)
	j.wants("1 a", "2 a")
	p.Clock(func() time.Time { return time.Now().Add(late) })
	p.Put(t, 3, "a")
	j.wants("1 a", "2 a", "3 a")
	stop() // the memory of what is open outlives the process
	p.Clock(func() time.Time { return began })
	p.Put(t, 4, "late")
	p.Clock(func() time.Time { return time.Now().Add(late) })
	_, stop = j.run(dir)
	j.wants("1 a", "2 a", "3 a", "4 late")
	stop()
	j.neverAgain()
}

func fails(name string) func(*testing.T, Peer) {
	return func(t *testing.T, p Peer) {
		j, dir := newJournal(t, p), t.TempDir()
		p.Put(t, 1, "a")
		src, stop := j.run(dir)
		j.wants("1 a")
		p.Put(t, 2, "a")
		heal := p.Faults[name](t)
		saysWhatIsWrong(t, src)
		stop()
		src, stop = j.run(dir) // it starts while the peer fails
		saysWhatIsWrong(t, src)
		heal()
		p.Put(t, 1, "b")
		j.wants("1 a", "2 a", "1 b")
		isWell(t, src)
		stop()
		j.neverAgain()
	}
}

func silentPeer(t *testing.T, p Peer) {
	j := newJournal(t, p)
	asked := p.Silent(t)
	_, stop := j.run(t.TempDir())
	<-asked
	stop()
	j.wants()
}
