package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.opentelemetry.io/otel/metric"

	"github.com/vagus-health/vagus/broker/stream"
)

const (
	// pace is the least time from one send to the next while units keep coming:
	// they gather meanwhile. One that comes after a pause goes at once.
	pace     = 20 * time.Millisecond
	mapWait  = 5 * time.Millisecond // what a batch waits for a mapping behind it
	batchMax = 500
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
	lastSend           time.Time      // when the last send began

	mu        sync.Mutex
	confirmed mark      // the newest unit that the cloud has
	stored    uint64    // sequence of the newest that it stored, and did not know as a duplicate
	whole     Position  // the newest entry of which the cloud has all units
	oldest    time.Time // ReceivedAt of the entry at the head, zero if none waits
	failing   string    // class of what stops the lane
	since     time.Time
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
	timer := time.NewTimer(max(time.Until(l.lastSend.Add(pace)), 0))
	defer timer.Stop()
	paced := time.Since(l.lastSend) < pace
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

// send sends parcels in order and returns when the cloud has confirmed all of
// them. There is never more than one publish, or one batch, without an answer:
// so whatever a broken link delivers late is either the next in order or a
// duplicate, and never overtakes.
func (l *lane) send(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, parcels []*parcel) error {
	l.lastSend = time.Now()
	limit := nc.MaxPayload()
	for i, p := range parcels {
		if int64(p.size) > limit {
			small, err := l.tooLarge(ctx, p)
			if err != nil {
				return &laneError{"link.encode", err}
			}
			parcels[i] = small
		}
	}
	for len(parcels) > 0 {
		n := l.fit(parcels)
		var dup bool
		var err error
		if n < batchMin || l.careful > 0 {
			n = 1
			dup, err = l.publishOne(ctx, js, parcels[0])
		} else {
			err = l.publishBatch(ctx, js, parcels[:n])
		}
		if err != nil {
			for _, p := range parcels {
				p.span.RecordError(err)
				p.span.End()
			}
			return err
		}
		l.confirm(parcels[n-1].mark, dup)
		l.link.metrics.units.Add(ctx, int64(n), l.attr)
		for _, p := range parcels[:n] {
			p.span.End()
		}
		parcels = parcels[n:]
	}
	return nil
}

// fit returns how many of the parcels, at least one, may go together.
func (l *lane) fit(parcels []*parcel) int {
	size := 0
	for n, p := range parcels {
		if size += p.size; n > 0 && (size > l.bytes || n == batchMax) {
			return n
		}
	}
	return len(parcels)
}

// publishBatch publishes all or none. The time that it takes decides how large
// the next one may be.
func (l *lane) publishBatch(ctx context.Context, js jetstream.JetStream, parcels []*parcel) error {
	msgs := make([]*nats.Msg, len(parcels))
	for i, p := range parcels {
		msgs[i] = p.msg
	}
	wait, cancel := context.WithTimeout(ctx, l.link.cfg.AckTimeout)
	defer cancel()
	began := time.Now()
	_, err := jetstreamext.PublishMsgBatch(wait, js, msgs, jetstreamext.BatchFlowControl{})
	took := time.Since(began)
	switch {
	case err != nil && isTimeout(err):
		l.bytes = max(l.bytes/4, bytesMin)
	case err == nil && took < l.link.cfg.AckTimeout/20:
		l.bytes = min(l.bytes*2, bytesMax)
	case took > l.link.cfg.AckTimeout/5:
		l.bytes = max(l.bytes/2, bytesMin)
	}
	if err == nil {
		l.link.metrics.batches.Add(ctx, 1, l.attr)
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		// One of them is a duplicate, or too large, or the hub's stream is full:
		// one by one it shows which.
		l.careful = len(parcels)
	}
	return classify(ctx, err)
}

// publishOne publishes one parcel and reports whether the cloud had it
// already, which is as good as new.
func (l *lane) publishOne(ctx context.Context, js jetstream.JetStream, p *parcel) (dup bool, err error) {
	wait, cancel := context.WithTimeout(ctx, l.link.cfg.AckTimeout)
	defer cancel()
	ack, err := js.PublishMsg(wait, p.msg, jetstream.WithRetryAttempts(0))
	if isTooLarge(err) {
		small, terr := l.tooLarge(ctx, p)
		if terr != nil {
			return false, &laneError{"link.encode", terr}
		}
		ack, err = js.PublishMsg(wait, small.msg, jetstream.WithRetryAttempts(0))
		small.span.End()
	}
	if err != nil {
		return false, classify(ctx, err)
	}
	if ack.Duplicate {
		l.link.metrics.duplicates.Add(ctx, 1, l.attr)
	}
	l.careful = max(l.careful-1, 0)
	return ack.Duplicate, nil
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

func (l *lane) position() mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.confirmed
}

// known is what the cloud must have stored, as far as this process knows.
func (l *lane) known() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// resumed takes the cloud's word for where the lane stands.
func (l *lane) resumed(ctx context.Context, m mark) {
	l.link.metrics.resumes.Add(ctx, 1, l.attr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed, l.stored, l.whole = m, m.Seq, Position{}
	if m.complete() {
		l.whole = m.Position
	}
	if l.failing == "link.down" || l.failing == "hub.timeout" || l.failing == "hub.no_stream" {
		l.failing = "" // the other classes end when a unit goes through
	}
}

func (l *lane) confirm(m mark, dup bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed, l.failing = m, ""
	if !dup {
		l.stored = m.Seq
	}
}

// waits notes the entry at the head, passed that it and all before it are in
// the cloud.
func (l *lane) waits(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.oldest = it.entry.Message.ReceivedAt
}

func (l *lane) passed(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole, l.oldest = it.entry.Position, time.Time{}
}

// note records what stops the lane, and logs it when it changes.
func (l *lane) note(ctx context.Context, err error) {
	class := "link.error"
	var le *laneError
	if errors.As(err, &le) {
		class = le.class
	}
	l.link.metrics.errors.Add(ctx, 1, l.attr, classAttr(class))
	l.mu.Lock()
	changed := l.failing != class
	if changed {
		l.failing, l.since = class, time.Now()
	}
	l.mu.Unlock()
	if changed {
		l.link.cfg.Logger.Warn("lane stopped; it goes on by itself", "feed", l.feed, "class", class, "err", err)
	}
}

func (l *lane) snapshot(ctx context.Context) LaneState {
	l.mu.Lock()
	s := LaneState{Feed: l.feed, Sent: l.whole, Oldest: l.oldest, Error: l.failing}
	if l.failing != "" {
		s.Since = l.since
	}
	l.mu.Unlock()
	if last, err := l.link.cfg.Journal.Last(ctx, l.feed); err == nil {
		s.Journal = last
		s.Backlog = last - min(s.Sent.Seq, last)
	}
	switch {
	case s.Backlog == 0:
		s.Oldest = time.Time{}
	case s.Oldest.IsZero() && s.Sent.ID != "": // it came while the link was down
		s.Oldest = l.peek(ctx, s.Sent)
	}
	return s
}

// peek returns when the entry after a position was received.
func (l *lane) peek(ctx context.Context, after Position) time.Time {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	r, err := l.link.cfg.Journal.Read(ctx, l.feed, after)
	if err != nil {
		return time.Time{}
	}
	e, err := r.Next(ctx)
	if err != nil {
		return time.Time{}
	}
	return e.Message.ReceivedAt
}

// classify names why the cloud did not confirm. ctx ends when the link does.
func classify(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var api *jetstream.APIError
	class := "link.down"
	switch {
	case errors.As(err, &api) && api.ErrorCode == 10077:
		class = "hub.full"
	case errors.As(err, &api):
		class = "hub.refused"
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		class = "hub.no_stream"
	case isTimeout(err):
		class = "hub.timeout"
	}
	return &laneError{class, err}
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// isTooLarge tells the two ways in which a hub refuses a message for its size:
// max_payload, and a max_msg_size of the stream (10054).
func isTooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && api.ErrorCode == 10054
}

func newBackoff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 5 * time.Second}
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
