package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker"
)

// A round is what one sync serves.
type round struct {
	ready   []*step
	partial int // steps of which some messages are acknowledged
	bytes   int64
	last    uint64
}

// serve takes acknowledgements until the session is down.
func (l *lane) serve(s *session) {
	defer close(s.done)
	before := 0 // how many the last sync served
	for {
		var r round
		l.gather(s, &r)
		expected := before + len(r.ready) // those who came meanwhile, and those who got their answer just now
		if len(r.ready) == 0 && r.partial == 0 {
			select {
			case m := <-s.acks:
				l.settle(s, m, &r)
				l.gather(s, &r)
			case <-s.down:
				return
			}
		}
		if expected <= 1 && l.hand(s, &r) {
			before = 1
			continue
		}
		if l.free(s, &r) {
			expected = before + len(r.ready)
		}
		l.company(s, &r, expected)
		before = len(r.ready)
		if !l.hand(s, &r) {
			began := time.Now()
			l.commit(s, &r)
			s.wait.took(time.Since(began))
		}
	}
}

// gather takes the acknowledgements that are there.
func (l *lane) gather(s *session, r *round) {
	for {
		select {
		case m := <-s.acks:
			l.settle(s, m, r)
		default:
			return
		}
	}
}

// free takes acknowledgements until no caller commits a round of his own, and
// every step has all of its or the session is down. It says whether it had to
// wait for such a caller.
func (l *lane) free(s *session, r *round) (waited bool) {
	for {
		select {
		case s.turn <- struct{}{}:
			<-s.turn
			if r.partial == 0 {
				return waited
			}
			select {
			case m := <-s.acks:
				l.settle(s, m, r)
			case <-s.down:
				return waited
			}
			continue
		default:
		}
		waited = true
		select {
		case s.turn <- struct{}{}:
			<-s.turn
		case m := <-s.acks:
			l.settle(s, m, r)
		case <-s.down:
			return waited
		}
	}
}

// company waits a moment for the others: a sender that has just got its answer
// is back before long with its next message, and a sync costs the same for all.
func (l *lane) company(s *session, r *round, expected int) {
	missing := expected - len(r.ready)
	if missing <= 0 {
		return
	}
	timer := time.NewTimer(s.wait.now)
	defer timer.Stop()
	for len(r.ready) < expected || r.partial > 0 {
		select {
		case m := <-s.acks:
			l.settle(s, m, r)
		case <-timer.C:
			for r.partial > 0 {
				select {
				case m := <-s.acks:
					l.settle(s, m, r)
				case <-s.down:
					return
				}
			}
			s.wait.learn(missing, missing-(expected-len(r.ready)))
			return
		case <-s.down:
			return
		}
	}
	s.wait.learn(missing, missing)
}

// A patience is how long a round waits for company: longer when some came the
// last times, never longer than half of what a sync takes.
type patience struct{ now, sync time.Duration }

const maxPatience = 2 * time.Millisecond

func (p *patience) took(sync time.Duration) {
	p.sync += (sync - p.sync) / 8
}

func (p *patience) learn(missing, came int) {
	most := min(p.sync, maxPatience)
	switch {
	case came == 0:
		p.now /= 2
	case 2*came >= missing:
		p.now *= 2
	}
	p.now = min(max(p.now, most/16), most)
}

// hand gives the round of a lone sender to that sender to commit.
func (l *lane) hand(s *session, r *round) bool {
	if len(r.ready) != 1 || r.bytes == 0 || r.ready[0].size != 1 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := r.ready[0]
	if p.gone || len(l.slots) > 0 {
		return false
	}
	select {
	case s.turn <- struct{}{}:
	default: // another one has not come to his end
		return false
	}
	mine := *r // serve's own stays on its stack
	s.handed.Add(1)
	p.alone <- func() {
		defer s.handed.Done()
		defer func() { <-s.turn }()
		l.commit(s, &mine)
	}
	return true
}

// settle notes one acknowledgement.
func (l *lane) settle(s *session, m *nats.Msg, r *round) {
	n, _ := strconv.ParseUint(strings.TrimPrefix(m.Subject, s.prefix), 10, 64)
	seq, refused := readAck(m.Data)
	l.mu.Lock()
	defer l.mu.Unlock()
	sl, ok := l.slots[n]
	if !ok {
		return
	}
	delete(l.slots, n)
	l.lessInHand()
	l.progress = time.Now()
	for range sl.tokens {
		<-s.tokens
	}
	p := sl.p
	if p.size > 1 && p.left == p.size {
		r.partial++
	}
	p.left--
	switch {
	case refused == nil:
		p.places[sl.i].seq = seq
		r.bytes += sl.bytes
		r.last = max(r.last, seq)
	default:
		l.outBytes -= sl.bytes
		if p.err == nil {
			p.err = refused
		}
	}
	if p.left == 0 {
		if p.size > 1 {
			r.partial--
		}
		r.ready = append(r.ready, p)
	}
}

// commit makes a round durable and lets its callers go.
func (l *lane) commit(s *session, r *round) {
	var err error
	if p := l.j.poison.Load(); p != nil {
		err = *p
	}
	steps, tookBack := 0, false
	for _, p := range r.ready {
		if p.size == 1 {
			continue
		}
		steps++
		if p.err != nil {
			l.takeBack(s, p)
			tookBack = true
		}
	}
	l.syncMu.Lock()
	atAppended.Hit()
	grown, known := int64(0), false
	if err == nil && r.bytes > 0 && l.j.group {
		start := time.Now()
		if tookBack { // the server may have removed or rewritten blocks
			err = l.blocks.rebase()
		} else {
			grown, known, err = l.blocks.sync()
		}
		if err != nil {
			err = l.j.fail(err)
		}
		l.j.met.synced(l.feed, len(r.ready), time.Since(start))
	}
	l.mu.Lock()
	l.outBytes -= r.bytes
	l.lessInHand()
	l.steps -= steps
	if err == nil && l.broken {
		err = errDown
	}
	if err == nil && known {
		err = l.audit(grown, r.bytes)
	} else {
		l.blocks.ahead = l.outBytes
	}
	if err == nil && l.marked {
		// A step that is on its way now began after this round's last entry.
		if l.steps == 0 {
			err, l.marked = l.mark.clear(), false
		} else {
			err = l.mark.set(max(r.last, l.durable))
		}
		if err != nil {
			err = l.j.fail(err)
		}
	}
	if err == nil && r.last > l.durable {
		l.durable = r.last
		l.wake()
	}
	atSynced.Hit()
	for _, p := range r.ready {
		if err == nil && p.err == nil {
			l.ids.put(p.places)
			if p.only != nil {
				l.recent.put(p.places[0].seq, p.only)
			}
		}
		l.finish(p, err)
	}
	x := l.ids
	l.mu.Unlock()
	x.save()
	l.syncMu.Unlock()
}

// audit compares by how much the block files have grown with what the server
// has acknowledged. What was found too much belongs to messages whose
// acknowledgement is on its way.
func (l *lane) audit(grown, acked int64) error {
	if l.blocks.ahead += grown - acked; l.blocks.ahead < 0 {
		return l.j.fail(fmt.Errorf("feed %s: the server acknowledged %d bytes more than its block files have grown by: group commit does not fit this server, set sync_always", l.feed, -l.blocks.ahead))
	}
	l.blocks.ahead = min(l.blocks.ahead, l.outBytes)
	return nil
}

// takeBack removes what was stored of a step that failed. When the server can
// not do that, nothing more is acknowledged in this session: the next one
// finds the mark and does it.
func (l *lane) takeBack(s *session, p *step) {
	ctx, cancel := context.WithTimeout(context.Background(), stuckAfter)
	defer cancel()
	for _, at := range p.places {
		if at.seq == 0 { // refused
			continue
		}
		if err := s.stream.DeleteMsg(ctx, at.seq); err != nil {
			l.j.log.Error("journal: take back an unfinished step", "feed", l.feed, "error", err)
			l.mu.Lock()
			l.broken = true
			l.mu.Unlock()
			return
		}
	}
}

// Error codes of the JetStream API (nats-server errors.json).
const codeTooLarge = 10054

// What stands around the stream's name and the sequence in a PubAck.
var ackBegins, ackGoesOn, ackEnds = []byte(`{"stream":"`), []byte(`","seq":`), []byte(`}`)

// readAck reads a PubAck: the sequence, or why the message was refused.
func readAck(data []byte) (uint64, error) {
	if rest, ok := bytes.CutPrefix(data, ackBegins); ok { // all but a few are so, and encoding/json takes 5 µs
		if _, number, ok := bytes.Cut(rest, ackGoesOn); ok {
			if number, ok = bytes.CutSuffix(number, ackEnds); ok {
				if seq, err := strconv.ParseUint(string(number), 10, 64); err == nil && seq > 0 {
					return seq, nil
				}
			}
		}
	}
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(data, &ack); {
	case err != nil:
		return 0, fmt.Errorf("the server's acknowledgement: %w", err)
	case ack.Error == nil && ack.Seq > 0:
		return ack.Seq, nil
	case ack.Error == nil:
		return 0, errors.New("the server's acknowledgement has no sequence")
	case ack.Error.Code == 503 || ack.Error.Code == 429 || ack.Error.Code == 500:
		return 0, fmt.Errorf("%s (%d): %w", ack.Error.Description, ack.Error.ErrCode, broker.ErrFull)
	case ack.Error.ErrCode == codeTooLarge:
		return 0, &broker.RejectError{Code: "too_large", Err: errors.New(ack.Error.Description)}
	default:
		return 0, fmt.Errorf("%s (%d)", ack.Error.Description, ack.Error.ErrCode)
	}
}
