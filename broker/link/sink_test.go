package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/stream"
)

// A lab is a sink: what reached it, and what it says.
type lab struct {
	mu   sync.Mutex
	came []string // unit ids
	says func(n int) (broker.Outcome, error)
	well error
	hold chan struct{} // not nil: Apply waits for it
	in   chan struct{} // tells that it does
}

func (l *lab) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	l.mu.Lock()
	n, says, hold := len(l.came), l.says, l.hold
	for _, u := range units {
		l.came = append(l.came, u.ID)
	}
	l.mu.Unlock()
	if hold != nil {
		select {
		case l.in <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if says == nil {
		return []broker.Outcome{{Result: broker.Applied}}, nil
	}
	o, err := says(n)
	return []broker.Outcome{o}, err
}

func (l *lab) Check(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.well
}

func (l *lab) sick() bool { return l.Check(context.Background()) != nil }

func (l *lab) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.came)
}

func (l *lab) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func document(n int) *broker.Unit {
	id := broker.NewUnitID(fmt.Sprint(n), "out")
	return &broker.Unit{ID: id, MessageID: fmt.Sprint(n), Site: "cloud", Feed: "products", Target: "lab", Verdict: broker.Apply,
		Ops: []broker.Operation{{ID: "document", Model: "MFN_M16", Do: "emit", Format: "hl7v2", Document: fmt.Appendf(nil, "MSH|%d", n)}}}
}

// an outbound is a site with a sink, and the way to it.
type outbound struct {
	*cloud
	t      *testing.T
	lab    *lab
	dir    string
	remote *Remote
	stop   func()
}

func newOutbound(t *testing.T) *outbound {
	t.Helper()
	o := &outbound{cloud: newCloud(t, hub.Config{}), t: t, lab: &lab{}, dir: t.TempDir()}
	o.remote = o.to("lab")
	o.startSite(o.hub.URL())
	return o
}

func (o *outbound) to(sink string) *Remote {
	r, err := NewRemote(o.worker().Conn(), "north", sink)
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

func (o *outbound) startSite(url string) {
	_, o.stop = running(o.t, Config{Bundle: o.bundle, URLs: []string{url}, Journal: newMemory(), Map: mapOne, Sinks: map[string]broker.Target{"lab": o.lab, "other": &lab{}}, SinkDir: o.dir})
	short := *o.remote
	short.patience = time.Second // what is given before the hub knows that the site before is gone may be lost with it
	until(o.t, "the site takes documents", func() bool { return short.Check(o.t.Context()) == nil || o.lab.sick() })
}

func (o *outbound) give(r *Remote, units ...*broker.Unit) ([]broker.Outcome, error) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Second)
	defer cancel()
	return r.Apply(ctx, units)
}

func (o *outbound) mustGive(units ...*broker.Unit) {
	o.t.Helper()
	out, err := o.give(o.remote, units...)
	if err != nil {
		o.t.Fatal(err)
	}
	for i, x := range out {
		if x.Result != broker.Applied || len(out) != len(units) {
			o.t.Fatalf("unit %d of %d: %v", i, len(units), x)
		}
	}
}

func TestADocumentReachesItsSinkOnceHoweverOftenItIsGiven(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	a, b, c := document(1), document(2), document(3)
	o.mustGive(a, b)
	o.mustGive(b, c)
	o.stop()
	o.startSite(o.hub.URL()) // what it delivered it knows from its disk
	o.mustGive(c, a)
	if got := o.lab.got(); !slices.Equal(got, []string{a.ID, b.ID, c.ID}) {
		t.Errorf("the sink got %v", got)
	}
}

func TestWhatTheSinkSaysComesBackAndOnlyWhatIsAppliedIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	says := []broker.Outcome{{Result: broker.Rejected, Class: "hl7.ar", Reason: "the receiver answered AR"}, {Result: broker.Retry, Class: "hl7.ae", Reason: "later"},
		{Result: broker.Applied, Warning: "w", Records: []broker.Record{{Op: "document", Model: "MFN_M16", ID: 7}}}}
	o.lab.says = func(n int) (broker.Outcome, error) { return says[n], nil }
	for n, want := range says {
		out, err := o.give(o.remote, document(1))
		if err != nil || fmt.Sprintf("%+v", out[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("answer %d: %+v %v, want %+v", n, out, err, want)
		}
	}
	o.mustGive(document(1))
	if n := len(o.lab.got()); n != 3 {
		t.Errorf("the sink was asked %d times, want 3", n)
	}
}

func TestASinkThatIsUnwellIsAnErrorAndLosesNothing(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	down := errors.New("connection refused")
	o.lab.set(func() {
		o.lab.well = down
		o.lab.says = func(n int) (broker.Outcome, error) {
			if n == 1 {
				return broker.Outcome{}, down
			}
			if n == 2 {
				panic("Siobhan")
			}
			return broker.Outcome{}, nil
		}
	})
	for _, give := range [][]*broker.Unit{{document(1), document(2)}, {document(2)}} {
		if out, err := o.give(o.remote, give...); err == nil || strings.Contains(err.Error(), "Siobhan") {
			t.Errorf("got %v %v", out, err)
		}
	}
	if err := o.remote.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "sink lab at site north: connection refused") {
		t.Errorf("check: %v", err)
	}
	o.lab.set(func() { o.lab.well = nil })
	if err := o.remote.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	o.mustGive(document(1), document(2))
	if got := o.lab.got(); len(got) != 4 || got[3] != document(2).ID {
		t.Errorf("the sink got %d, want the first one once and the second one three times", len(got))
	}
}

func TestASiteThatIsAwayIsAnErrorAndGetsNothingLate(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	o.mustGive(document(1))
	o.stop()
	o.remote.patience = time.Second
	if out, err := o.give(o.remote, document(2)); err == nil || !strings.Contains(err.Error(), "site north took 0 of 1 documents within 1s: is its agent running") {
		t.Errorf("got %v %v", out, err)
	}
	if err := o.remote.Check(t.Context()); err == nil {
		t.Error("the check says that it is there")
	}
	js := o.worker()
	until(t, "the hub forgets what nobody waits for", func() bool {
		s, err := js.Stream(t.Context(), stream.Down)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context())
		return err == nil && info.State.Msgs <= 1 // the first was taken, and is still kept
	})
	o.startSite(o.hub.URL())
	o.remote.patience = patience
	o.mustGive(document(3))
	if got := o.lab.got(); !slices.Equal(got, []string{document(1).ID, document(3).ID}) {
		t.Errorf("the sink got %d, want the first and the last", len(got))
	}
}

func TestAnAnswerThatIsLostWithTheLinkIsGivenAgain(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	o.stop()
	w := newWire(t, func() string { return strings.TrimPrefix(o.hub.URL(), "tls://") })
	o.lab.hold, o.lab.in = make(chan struct{}), make(chan struct{})
	o.startSite(w.url())
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		short := *o.remote
		_, err := short.Apply(ctx, []*broker.Unit{document(1)})
		ended <- err
	}()
	<-o.lab.in // the document is at the sink
	w.cut()
	close(o.lab.hold)
	o.lab.set(func() { o.lab.hold = nil })
	until(t, "it is remembered", func() bool {
		data, _ := os.ReadFile(filepath.Join(o.dir, "lab.sent"))
		return strings.Contains(string(data), document(1).ID)
	})
	w.mend()
	if err := <-ended; err != nil { // it is told when the link is back
		t.Error(err)
	}
	o.mustGive(document(1), document(2))
	if got := o.lab.got(); !slices.Equal(got, []string{document(1).ID, document(2).ID}) {
		t.Errorf("the sink got %v", got)
	}
}

func TestAnAgentThatBeginsAnewSaysThatItForgot(t *testing.T) {
	t.Parallel()
	o := &outbound{cloud: newCloud(t, hub.Config{}), t: t, lab: &lab{hold: make(chan struct{}), in: make(chan struct{})}, dir: t.TempDir()}
	o.remote = o.to("lab")
	w := newWire(t, func() string { return strings.TrimPrefix(o.hub.URL(), "tls://") })
	o.startSite(w.url())
	began, ended := time.Now(), make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := o.remote.Apply(ctx, []*broker.Unit{document(1)})
		ended <- err
	}()
	<-o.lab.in
	if err := o.to("other").Check(t.Context()); err != nil { // its answer comes after that the document is taken
		t.Fatal(err)
	}
	w.cut()
	second := *o // another agent of the site, as after a kill: the first one hears and says nothing more
	second.lab, second.dir = &lab{}, t.TempDir()
	second.startSite(o.hub.URL())
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "was started again") || time.Since(began) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	close(o.lab.hold)
}

func TestASlowSinkHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	o.lab.hold, o.lab.in = make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := o.give(o.remote, document(1), document(2))
		ended <- err
	}()
	<-o.lab.in
	if out, err := o.give(o.to("other"), document(3)); err != nil || out[0].Result != broker.Applied {
		t.Errorf("%v %v", out, err)
	}
	go func() { <-o.lab.in }()
	close(o.lab.hold)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWhatTheSiteCanNotTakeIsSaid(t *testing.T) {
	t.Parallel()
	o := newOutbound(t)
	if _, err := o.give(o.to("nobody"), document(1)); err == nil || !strings.Contains(err.Error(), "the site has no such sink") {
		t.Errorf("got %v", err)
	}
	if err := o.to("nobody").Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no such sink") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", "a.b", "North"} {
		if _, err := NewRemote(o.remote.nc, bad, "lab"); err == nil {
			t.Errorf("a site may be called %q", bad)
		}
		if _, err := NewRemote(o.remote.nc, "north", bad); err == nil {
			t.Errorf("a sink may be called %q", bad)
		}
	}
	l, _ := New(Config{Bundle: o.bundle, Journal: newMemory(), Map: mapOne, Sinks: map[string]broker.Target{"lab": o.lab}})
	if l != nil {
		t.Error("a link with sinks works without a directory")
	}
	full := &outlet{queue: make(chan *given, 1), room: make(chan int, 1)}
	full.room <- 0
	for i, want := range []bool{true, false} {
		if full.put(&given{size: 1}) != want {
			t.Errorf("document %d: put is %v", i, !want)
		}
	}
	full.queue = make(chan *given, 5)
	if full.put(&given{size: outletBytes}) {
		t.Error("more bytes than may wait are taken")
	}
}

func TestTheMemoryOfASinkSurvivesWhatHappensToItsFile(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	filled := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "lab.sent")
		s, err := openSent(path, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range []string{"a", "b", "c"} {
			if err := s.add(u, now); err != nil {
				t.Fatal(err)
			}
		}
		s.close()
		return path
	}
	for _, tt := range []struct {
		name string
		harm func(data []byte) []byte
		at   time.Time
		has  string
	}{
		{"nothing", func(d []byte) []byte { return d }, now, "abc"},
		{"the last line was cut off", func(d []byte) []byte { return d[:len(d)-3] }, now, "ab"},
		{"a byte of the first line", func(d []byte) []byte { d[11] = 'x'; return d }, now, "bc"},
		{"it is something else", func([]byte) []byte { return []byte(strings.Repeat("x", 5000)) }, now, ""},
		{"it is older than anybody asks", func(d []byte) []byte { return d }, now.Add(sentKeep), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filled(t)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.harm(data), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time from what the first one mended
				s, err := openSent(path, tt.at)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range []string{"a", "b", "c"} {
					if s.has(u) != strings.Contains(tt.has, u) {
						t.Errorf("it knows %s: %v", u, s.has(u))
					}
				}
				if s.has("new") {
					t.Error("it knows what it was never told")
				}
				s.close()
			}
			s, err := openSent(path, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.add("new", tt.at); err != nil || !s.has("new") {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("it is bounded, and so is its file", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lab.sent")
		s, err := openSent(path, now)
		if err != nil {
			t.Fatal(err)
		}
		s.max = 10
		for i := range 95 {
			if err := s.add(fmt.Sprint("u", i), now); err != nil {
				t.Fatal(err)
			}
		}
		s.close()
		data, _ := os.ReadFile(path)
		if n := strings.Count(string(data), "\n"); n > 20 {
			t.Errorf("the file has %d lines", n)
		}
		if s, err = openSent(path, now); err != nil {
			t.Fatal(err)
		}
		defer s.close()
		for i := range 95 {
			if s.has(fmt.Sprint("u", i)) && i < 75 || !s.has(fmt.Sprint("u", i)) && i >= 85 {
				t.Errorf("u%d: %v", i, s.has(fmt.Sprint("u", i)))
			}
		}
	})
}
