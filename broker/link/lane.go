package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"github.com/vagus-health/vagus/broker/stream"
)

const (
	// While units keep coming they gather between sends, for paceTimes as long as
	// the last send took, within these bounds: a hub whose disk is slow gets fewer and larger
	// batches, and the site's own fsyncs find the disk free. A unit that comes after a pause goes at once.
	paceTimes        = 3
	paceMin, paceMax = 20 * time.Millisecond, 150 * time.Millisecond
	mapWait          = 5 * time.Millisecond // what a batch waits for a mapping behind it
	batchMax         = 500
	// Under batchMin single publishes are faster than a batch and cost no more.
	batchMin = 4
	// A batch's bytes adapt to the link between these: the hub gives up a batch
	// that takes 10 s.
	bytesMin, bytesStart, bytesMax = 16 << 10, 512 << 10, 4 << 20
)

// A lane carries one feed. Only run's goroutine sends.
type lane struct {
	link               *Link
	site, feed, source string
	attr               metric.MeasurementOption
	remaps             chan *remap
	work               sync.WaitGroup // readers and mappings of the session
	bytes              int            // what a batch may hold now
	careful            int            // so many parcels go one by one: the hub refused them as a batch
	nextSend           time.Time      // until then units gather
	window             atomic.Pointer[ahead]

	mu        sync.Mutex
	confirmed mark      // the newest unit that the cloud has
	stored    uint64    // sequence of the newest that it stored, and did not know as a duplicate
	whole     Position  // the newest entry of which the cloud has all units
	oldest    time.Time // ReceivedAt of the entry at the head, zero if none waits
	failing   string    // class of what stops the lane
	since     time.Time
	damaged   Position // the last message in the cloud when the journal was found to have lost it
	damagedAt time.Time
}

func newLane(l *Link, feed string) *lane {
	site := l.cfg.Bundle.Name
	return &lane{link: l, site: site, feed: feed, source: "/vagus/" + l.cfg.Bundle.Tenant + "/" + site + "/" + feed,
		attr: feedAttr(feed), remaps: make(chan *remap), bytes: bytesStart}
}

// laneError is what ends a session. Class is a short stable token.
type laneError struct {
	class string
	err   error
}

func (e *laneError) Error() string { return e.class + ": " + e.err.Error() }
func (e *laneError) Unwrap() error { return e.err }

// run keeps the lane going until ctx is done: after any error it starts over
// from what the cloud says that it has.
func (l *lane) run(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	up := nc.StatusChanged(nats.CONNECTED)
	b := newBackoff()
	for ctx.Err() == nil {
		before := l.position()
		err := l.session(ctx, nc, js)
		l.work.Wait()
		if ctx.Err() != nil {
			return
		}
		if l.position() != before {
			b.Reset()
		}
		l.note(ctx, err)
		timer := time.NewTimer(b.NextBackOff())
		select {
		case <-ctx.Done():
		case <-up: // the link is back: no reason to wait
		case <-timer.C:
		}
		timer.Stop()
	}
}

// session looks up where to go on and sends from there until something fails.
// What is on its way when ctx ends is waited for.
func (l *lane) session(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wire, cut := whileConnected(context.WithoutCancel(ctx), nc)
	defer cut()
	last, err := l.lookup(wire, nc)
	if err != nil {
		return err
	}
	a, err := l.readAhead(ctx, last)
	if err != nil {
		return err
	}
	l.resumed(ctx, last)
	var head *item
	for {
		if head == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-wire.Done():
				return context.Cause(wire)
			case r := <-l.remaps:
				r.done <- l.sendRemap(wire, nc, js, r)
				continue
			case it, ok := <-a.queue:
				if !ok {
					return a.err
				}
				head = it
			}
		}
		l.waits(head)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wire.Done():
			return context.Cause(wire)
		case r := <-l.remaps:
			r.done <- l.sendRemap(wire, nc, js, r)
			continue
		case <-head.ready:
		}
		if head, err = l.sendFrom(ctx, wire, nc, js, a, head); err != nil {
			return err
		}
	}
}

// whileConnected returns a context that ends as soon as the connection is
// lost: nobody will answer what was asked over it.
func whileConnected(ctx context.Context, nc *nats.Conn) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	lost := nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	if !nc.IsConnected() {
		cancel(errDown)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-lost:
			cancel(errDown)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-gone
		nc.RemoveStatusListener(lost)
	}
}

var errDown = &laneError{"link.down", nats.ErrDisconnected}

// sendFrom sends the parcels of an item that is ready and of those behind it
// that are, as many as fit. It returns the first item that it took and could
// not send yet because it is still being mapped.
func (l *lane) sendFrom(ctx, wire context.Context, nc *nats.Conn, js jetstream.JetStream, a *ahead, head *item) (*item, error) {
	timer := time.NewTimer(max(time.Until(l.nextSend), 0))
	defer timer.Stop()
	paced := time.Now().Before(l.nextSend)
	var items []*item
	var parcels []*parcel
	size := 0
	for head != nil {
		if head.err != nil {
			return nil, head.err
		}
		items = append(items, head)
		parcels = append(parcels, head.parcels...)
		for _, p := range head.parcels {
			size += p.size
		}
		if head = nil; len(parcels) >= batchMax || size >= l.bytes {
			break
		}
		if head = a.next(ctx, paced, timer.C); head == nil {
			break
		}
		if !head.isReady(ctx) {
			break
		}
	}
	if err := l.send(wire, nc, js, parcels); err != nil {
		return nil, err
	}
	for _, it := range items {
		a.done(it)
	}
	l.passed(items[len(items)-1])
	return head, nil
}

// isReady waits a moment for a mapping that has just begun: it must not make
// those before it wait for longer.
func (it *item) isReady(ctx context.Context) bool {
	select {
	case <-it.ready:
		return true
	default:
	}
	t := time.NewTimer(mapWait)
	defer t.Stop()
	select {
	case <-it.ready:
		return true
	case <-t.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// next returns the next item: one that is there, or that comes before due.
func (a *ahead) next(ctx context.Context, paced bool, due <-chan time.Time) *item {
	select {
	case it := <-a.queue: // nil when closed: the session learns why on its next turn
		return it
	default:
	}
	if !paced {
		return nil
	}
	select {
	case it := <-a.queue:
		return it
	case <-due:
		return nil
	case <-ctx.Done():
		return nil
	}
}

// lookup asks the cloud for the lane's last message and reads where to go on.
func (l *lane) lookup(ctx context.Context, nc *nats.Conn) (mark, error) {
	known := l.known()
	for try := 0; ; try++ {
		m, err := l.ask(ctx, nc)
		if err != nil {
			return mark{}, err
		}
		// Any replica may answer, also one that is behind. What was confirmed to us
		// is there; only if the cloud insists has it lost it.
		if m.Seq >= known {
			return m, nil
		}
		if try == 5 {
			l.link.cfg.Logger.Warn("the cloud does not have what it confirmed; sending again what the journal has", "feed", l.feed, "confirmed", known, "has", m.Seq)
			return m, nil
		}
		if !wait(ctx, 200*time.Millisecond) {
			return mark{}, context.Cause(ctx)
		}
	}
}

func (l *lane) ask(ctx context.Context, nc *nats.Conn) (mark, error) {
	wait, cancel := context.WithTimeout(ctx, l.link.cfg.AckTimeout)
	defer cancel()
	r, err := nc.RequestWithContext(wait, "$JS.API.DIRECT.GET."+stream.Units+"."+stream.FeedFilter(l.site, l.feed), nil)
	if err != nil {
		return mark{}, classify(ctx, err)
	}
	switch status := r.Header.Get("Status"); status {
	case "":
		m, err := readMark(r.Header)
		if err != nil {
			return mark{}, &laneError{"hub.refused", err}
		}
		return m, nil
	case "404":
		return mark{}, nil
	default:
		return mark{}, &laneError{"hub.refused", fmt.Errorf("status %s for the lane's last message", status)}
	}
}

// trim tells the journal from time to time what it may forget.
func (l *lane) trim(ctx context.Context) {
	for wait(ctx, l.link.cfg.TrimEvery) {
		l.mu.Lock()
		sent := l.whole
		l.mu.Unlock()
		if sent.ID == "" {
			continue
		}
		if err := l.link.cfg.Journal.Trim(ctx, l.feed, sent, time.Now().Add(-l.link.cfg.Retention)); err != nil && ctx.Err() == nil {
			l.link.cfg.Logger.Warn("journal is not trimmed", "feed", l.feed, "err", err)
		}
	}
}

// pauses are times that double, each by a random half more or less.
type pauses struct{ backoff.ExponentialBackOff }

func newBackoff() *pauses {
	return &pauses{backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, MaxInterval: 5 * time.Second}}
}

// NextBackOff returns the next pause.
func (p *pauses) NextBackOff() time.Duration {
	return halfMoreOrLess(p.ExponentialBackOff.NextBackOff())
}

// halfMoreOrLess returns a time from half to one and a half of d. Its chance comes from
// crypto/rand, which a test can make repeat itself.
func halfMoreOrLess(d time.Duration) time.Duration {
	var chance [4]byte
	_, _ = rand.Read(chance[:])
	return d/2 + time.Duration(float64(d)*float64(binary.NativeEndian.Uint32(chance[:]))/(1<<32))
}

// wait waits and reports whether ctx still goes on.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
