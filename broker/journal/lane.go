package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
)

// A lane is one feed's way into its stream. Callers publish; one goroutine
// takes the server's acknowledgements, syncs once for all that have come and
// lets their callers go. While it syncs the next ones gather: that is the
// group commit. Who is alone waits for nobody and syncs himself, which saves
// waking him after the sync (a third of a lone sender's time); where there are
// others, a round waits a moment for them (patience).
type lane struct {
	j     *Journal
	feed  string
	limit int64
	turn  chan struct{} // held while publishing: one step's messages stay together

	syncMu sync.Mutex // held while block files are synced, or trimmed
	blocks blocks

	mu       sync.Mutex // guards what follows
	s        *session   // nil while the server is down
	slots    map[uint64]slot
	next     uint64
	outBytes int64     // published and not yet committed, at least
	progress time.Time // of the last acknowledgement, or when the first of slots was published
	mark     *mark
	marked   bool
	steps    int              // steps published and not committed
	broken   bool             // a step could not be taken back: only the next session can
	durable  uint64           // entries up to here may be read
	recent   recent           // some of them
	ids      *ids             // where all of them stand; nil until the first session
	coming   map[uint64]*step // by idHash: what is published and not committed
	changed  chan struct{}
	settled  chan struct{} // closed when less is in hand; nil while nobody waits for it
}

// A session is one life of the embedded server, as a lane sees it.
type session struct {
	nc     *nats.Conn
	stream jetstream.Stream
	prefix string // of reply subjects
	acks   chan *nats.Msg
	tokens chan struct{}  // bounds what is published and not acknowledged
	down   chan struct{}  // closed when the session ends
	done   chan struct{}  // closed when its goroutine has ended
	handed sync.WaitGroup // rounds that their callers commit
	turn   chan struct{}  // held by the caller who does
	wait   patience       // serve's own
}

// The most that is published and not acknowledged: 4096 tokens, one for each
// message and one for each 32 KiB of it, so about 128 MiB. The server refuses
// at 10,000 messages; acks never overflow.
const (
	window    = 4096
	tokenSize = 32 << 10
)

func tokens(m *nats.Msg) int { return min(1+len(m.Data)/tokenSize, window/2) }

// A step is what one Append publishes.
type step struct {
	size   int             // messages
	left   int             // not yet acknowledged
	places []place         // of its messages; seq is 0 until the server has stored it
	only   *broker.Message // of a step of one
	err    error           // the first refusal
	over   bool            // done is closed
	gone   bool            // its caller waits no longer
	done   chan struct{}
	alone  chan func() // holds one: the commit of a round that has this step only
}

// finish lets a step's caller go. l.mu is held.
func (l *lane) finish(p *step, err error) {
	if p.over {
		return
	}
	p.over = true
	if p.err == nil {
		p.err = err
	}
	for _, at := range p.places {
		if l.coming[at.hash] == p {
			delete(l.coming, at.hash)
		}
	}
	close(p.done)
}

// slot is one message that the server has not acknowledged yet.
type slot struct {
	p      *step
	i      int
	tokens int
	bytes  int64
}

// append publishes those of ms that are not there yet and waits until they are durable. It returns
// how many were there already.
func (l *lane) append(ctx context.Context, ms []*broker.Message) (dups int, err error) {
	for {
		fresh, places, err := l.absent(ctx, ms)
		if err != nil || len(fresh) == 0 {
			return len(ms), err
		}
		p, other, err := l.publish(ctx, fresh, places)
		switch {
		case err != nil:
			return 0, err
		case p != nil:
			err := l.await(ctx, p)
			if err == nil {
				err = p.err
			}
			return len(ms) - len(fresh), err
		case other != nil: // brings one of them: what becomes of it decides
			select {
			case <-other.done:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
}

// absent returns those of ms that the feed does not hold, with the hashes of their ids and where another message
// with that hash stands.
func (l *lane) absent(ctx context.Context, ms []*broker.Message) (fresh []*broker.Message, places []place, err error) {
	l.mu.Lock()
	x := l.ids
	l.mu.Unlock()
	fresh, places = make([]*broker.Message, 0, len(ms)), make([]place, 0, len(ms))
	seen := map[string]bool{}
	for _, m := range ms {
		if seen[m.ID] {
			continue
		}
		if len(ms) > 1 {
			seen[m.ID] = true
		}
		at := place{hash: idHash(m.ID)}
		if at.seq = x.where(at.hash); at.seq > 0 {
			switch e, err := l.one(ctx, request{Seq: at.seq}); {
			case err == nil && e.Position.Seq == at.seq && e.ID == m.ID:
				continue
			case err != nil && !errors.Is(err, ErrNotFound):
				return nil, nil, err
			}
		}
		fresh, places = append(fresh, m), append(places, at)
	}
	return fresh, places, nil
}

// await returns when the step is durable or refused, or ctx is done.
func (l *lane) await(ctx context.Context, p *step) error {
	select {
	case <-p.done:
		return nil
	case commit := <-p.alone:
		commit()
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	p.gone = true
	l.mu.Unlock()
	select {
	case commit := <-p.alone: // it came at the same moment
		commit()
	default:
	}
	return ctx.Err()
}

// publish publishes ms as one step, whose places still say with what each was compared. It
// returns other instead when a step that is on its way has one of them, and neither when one has been committed since.
func (l *lane) publish(ctx context.Context, ms []*broker.Message, places []place) (p, other *step, err error) {
	out := make([]*nats.Msg, len(ms))
	var sum int64
	for i, m := range ms {
		out[i] = encode(m)
		sum += size(out[i])
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err // select would choose by chance when the turn is free
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	defer func() { <-l.turn }()
	if err := l.j.Err(); err != nil {
		return nil, nil, err
	}
	own := &step{size: len(ms), left: len(ms), places: places, done: make(chan struct{}), alone: make(chan func(), 1)}
	s, other, changed := l.reserve(own)
	switch {
	case s == nil:
		return nil, nil, errDown
	case other != nil || changed:
		return nil, other, nil
	}
	defer func() {
		if err != nil { // nothing of it is on its way, or the session is over
			l.mu.Lock()
			l.finish(own, err)
			l.mu.Unlock()
		}
	}()
	if own.size == 1 {
		own.only = ms[0]
	} else if err := l.beginStep(ctx, s, sum); err != nil {
		return nil, nil, err
	}
	for i, m := range out {
		for range tokens(m) {
			select {
			case s.tokens <- struct{}{}:
			case <-s.down: // end has finished p, or will not know of it
				return nil, nil, errDown
			}
		}
		l.mu.Lock()
		if l.s != s {
			l.mu.Unlock()
			return nil, nil, errDown
		}
		if len(l.slots) == 0 {
			l.progress = time.Now()
		}
		l.next++
		n := l.next
		l.slots[n] = slot{p: own, i: i, tokens: tokens(m), bytes: size(m)}
		l.outBytes += size(m)
		l.mu.Unlock()
		m.Reply = s.prefix + strconv.FormatUint(n, 10)
		if err := s.nc.PublishMsg(m); err != nil {
			return nil, nil, fmt.Errorf("%w (%v)", errDown, err) // its slot stays, so the watch will notice
		}
	}
	return own, nil, nil
}

// reserve takes the hashes of a step's messages for it. It does not when other has one of them, and when
// one was committed since the step's places were looked up.
func (l *lane) reserve(p *step) (s *session, other *step, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.s == nil {
		return nil, nil, false
	}
	for _, at := range p.places {
		if other := l.coming[at.hash]; other != nil {
			return l.s, other, false
		}
		if l.ids.where(at.hash) != at.seq {
			return l.s, nil, true
		}
	}
	for i := range p.places {
		l.coming[p.places[i].hash] = p
		p.places[i].seq = 0
	}
	return l.s, nil, false
}

var errDown = fmt.Errorf("the embedded server is being started again: %w", broker.ErrFull)

// size is the least that a message adds to a block file.
func size(m *nats.Msg) int64 { return int64(len(m.Subject) + len(m.Data)) }

// beginStep sees to it that a step of several messages that does not come to
// its end is taken back by the next start.
func (l *lane) beginStep(ctx context.Context, s *session, sum int64) error {
	info, err := s.stream.Info(ctx)
	if now, _ := l.current(); now != s {
		return errDown
	}
	if err != nil {
		return err
	}
	if int64(info.State.Bytes)+sum > l.limit {
		return fmt.Errorf("%d bytes do not fit: %w", sum, broker.ErrFull)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.s != s {
		return errDown
	}
	if !l.marked {
		if err := l.mark.set(l.durable); err != nil {
			return l.j.fail(err)
		}
		l.marked = true
		atMarked.Hit()
	}
	l.steps++
	return nil
}

// wake tells readers to look again. l.mu is held.
func (l *lane) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// begin starts a session.
func (l *lane) begin(s *session, last uint64, x *ids) error {
	if _, err := s.nc.ChanSubscribe(s.prefix+"*", s.acks); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s, l.slots, l.durable, l.ids, l.coming = s, map[uint64]slot{}, last, x, map[uint64]*step{}
	l.outBytes, l.steps, l.marked, l.broken = 0, 0, false, false
	l.recent.forget(last + 1)
	l.wake()
	go l.serve(s)
	return nil
}

// end ends the session: who waits for the server gets an error.
func (l *lane) end() {
	l.mu.Lock()
	s := l.s
	l.s = nil
	l.lessInHand()
	for n, sl := range l.slots {
		l.finish(sl.p, errDown)
		delete(l.slots, n)
	}
	if l.ids != nil {
		l.ids.mu.Lock()
		l.ids.close()
		l.ids.mu.Unlock()
	}
	l.mu.Unlock()
	if s != nil {
		close(s.down)
		<-s.done
		s.handed.Wait()
	}
}

// stuck says whether the server has owed an answer for longer than d.
func (l *lane) stuck(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.s == nil || l.broken || len(l.slots) > 0 && time.Since(l.progress) > d
}

// drain waits until nothing is in hand, or the server stands still for d.
func (l *lane) drain(d time.Duration) {
	l.turn <- struct{}{} // whoever was publishing has done so, and the next one sees that we are closed
	<-l.turn
	for !l.stuck(d) {
		l.mu.Lock()
		if len(l.slots) == 0 && l.outBytes == 0 {
			l.mu.Unlock()
			return
		}
		if l.settled == nil {
			l.settled = make(chan struct{})
		}
		settled, left := l.settled, d-time.Since(l.progress)
		l.mu.Unlock()
		select {
		case <-settled:
		case <-time.After(max(left, time.Millisecond)): // look whether it stands still
		}
	}
}

// lessInHand tells drain to look again. l.mu is held.
func (l *lane) lessInHand() {
	if l.settled != nil {
		close(l.settled)
		l.settled = nil
	}
}
