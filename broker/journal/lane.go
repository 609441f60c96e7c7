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
	steps    int    // steps published and not committed
	broken   bool   // a step could not be taken back: only the next session can
	durable  uint64 // entries up to here may be read
	recent   recent // some of them
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
	size   int // messages
	left   int // not yet acknowledged
	stored []uint64
	only   *broker.Message // of a step of one
	dups   []int
	err    error // the first refusal
	over   bool  // done is closed
	gone   bool  // its caller waits no longer
	done   chan struct{}
	alone  chan func() // holds one: the commit of a round that has this step only
}

func (p *step) finish(err error) {
	if p.over {
		return
	}
	p.over = true
	if p.err == nil {
		p.err = err
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

// append publishes ms and waits until they are durable. It returns how many
// were there already.
func (l *lane) append(ctx context.Context, ms []*broker.Message, once bool) (dups int, err error) {
	for range 5 {
		p, err := l.publish(ctx, ms, once)
		if err != nil {
			return 0, err
		}
		if err := l.await(ctx, p); err != nil {
			return 0, err
		}
		if p.err != nil {
			return 0, p.err
		}
		// The server knows a message by its short id. Look at the whole one.
		var again []*broker.Message
		for _, i := range p.dups {
			switch e, err := l.find(ctx, broker.ShortID(ms[i].ID)); {
			case errors.Is(err, ErrNotFound): // it was in a step that was taken back, or has been trimmed
				again = append(again, ms[i])
			case err != nil:
				return 0, err
			case e.ID == ms[i].ID:
				dups++
			default:
				if _, err := l.append(ctx, []*broker.Message{ms[i]}, false); err != nil {
					return 0, err
				}
			}
		}
		if len(again) == 0 {
			return dups, nil
		}
		ms = again
	}
	return 0, errors.New("an entry with the same id comes and goes")
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

func (l *lane) publish(ctx context.Context, ms []*broker.Message, once bool) (*step, error) {
	out := make([]*nats.Msg, len(ms))
	var sum int64
	for i, m := range ms {
		out[i] = encode(m, once)
		sum += size(out[i])
	}
	if err := ctx.Err(); err != nil {
		return nil, err // select would choose by chance when the turn is free
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.turn }()
	if err := l.j.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	s := l.s
	l.mu.Unlock()
	if s == nil {
		return nil, errDown
	}
	p := &step{size: len(ms), left: len(ms), done: make(chan struct{}), alone: make(chan func(), 1)}
	if p.size == 1 {
		p.only = ms[0]
	} else {
		if err := l.beginStep(ctx, s, broker.ShortID(ms[0].ID), sum); err != nil {
			return nil, err
		}
	}
	for i, m := range out {
		for range tokens(m) {
			select {
			case s.tokens <- struct{}{}:
			case <-s.down: // end has finished p, or will not know of it
				return nil, errDown
			}
		}
		l.mu.Lock()
		if l.s != s {
			l.mu.Unlock()
			return nil, errDown
		}
		if len(l.slots) == 0 {
			l.progress = time.Now()
		}
		l.next++
		n := l.next
		l.slots[n] = slot{p: p, i: i, tokens: tokens(m), bytes: size(m)}
		l.outBytes += size(m)
		l.mu.Unlock()
		m.Reply = s.prefix + strconv.FormatUint(n, 10)
		if err := s.nc.PublishMsg(m); err != nil {
			return nil, fmt.Errorf("%w (%v)", errDown, err) // its slot stays, so the watch will notice
		}
	}
	return p, nil
}

var errDown = fmt.Errorf("the embedded server is being started again: %w", broker.ErrFull)

// size is the least that a message adds to a block file.
func size(m *nats.Msg) int64 { return int64(len(m.Subject) + len(m.Data)) }

// beginStep sees to it that a step of several messages that does not come to
// its end is taken back by the next start.
func (l *lane) beginStep(ctx context.Context, s *session, first string, sum int64) error {
	info, err := s.stream.Info(ctx)
	if now, _ := l.current(); now != s {
		return errDown
	}
	if err != nil {
		return err
	}
	if _, err := l.find(ctx, first); err != nil && int64(info.State.Bytes)+sum > l.limit { // a duplicate needs no room
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
func (l *lane) begin(s *session, last uint64) error {
	if _, err := s.nc.ChanSubscribe(s.prefix+"*", s.acks); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s, l.slots, l.durable = s, map[uint64]slot{}, last
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
		sl.p.finish(errDown)
		delete(l.slots, n)
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
