package hl7

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
)

// A peer is one connection to a receiver. A goroutine reads what comes, so that
// an end is noticed before the next message is sent into it.
type peer struct {
	net.Conn
	used   time.Time
	frames chan []byte // closed at the end
	err    error       // why; to be read after that
	quit   chan struct{}
	once   sync.Once
	done   chan struct{}
}

func newPeer(nc net.Conn, limit int) *peer {
	p := &peer{Conn: nc, used: time.Now(), frames: make(chan []byte, 4), quit: make(chan struct{}), done: make(chan struct{})}
	go p.read(limit)
	return p
}

func (p *peer) read(limit int) {
	defer close(p.done)
	defer close(p.frames)
	r := newFrameReader(p.Conn, limit)
	for {
		frame, err := r.next(func() {})
		if err != nil {
			p.err = err
			return
		}
		if len(bytes.TrimSpace(frame)) == 0 {
			continue
		}
		select {
		case p.frames <- bytes.Clone(frame):
		case <-p.quit:
			return
		}
	}
}

// ended says that nothing more can come.
func (p *peer) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// send writes all of it, until ctx is done.
func (p *peer) send(ctx context.Context, data []byte, limit time.Duration) error {
	_ = p.SetWriteDeadline(time.Now().Add(limit))
	stop := context.AfterFunc(ctx, func() { _ = p.SetWriteDeadline(time.Now()) })
	defer stop()
	_, err := p.Write(data)
	return err
}

func (p *peer) close() {
	p.once.Do(func() { close(p.quit) })
	_ = p.Close()
	<-p.done
}

// pass throws away what came without having been asked for.
func (s *Sink) pass(ctx context.Context, p *peer) {
	for {
		select {
		case _, more := <-p.frames:
			if !more {
				return
			}
			s.odd.Add(ctx, 1)
		default:
			return
		}
	}
}

// answerBack accepts an application acknowledgement that asks for that (2.9.2):
// it is a message of its own. If it can not be written the next message shows it.
func (s *Sink) answerBack(ctx context.Context, p *peer, a answer) {
	answer, enhanced := wanted(&a.env, AckByMessage, taken)
	if !enhanced || !answer || len(a.env.controlID()) == 0 {
		return
	}
	id := "A" + string(a.env.controlID())
	ack := appendAck(nil, &a.env, reply{}, true, id[:min(len(id), controlIDLength)], time.Now())
	_ = p.send(ctx, appendFrame(nil, ack), s.conf.WriteTimeout)
}

func isHL7(frame []byte) bool {
	e, err := readEnvelope(frame)
	return err == nil && string(e.header) == "MSH"
}

func sinkMeters(m metric.Meter) (sent, odd metric.Int64Counter, err error) {
	if m == nil {
		m = noopmetric.Meter{}
	}
	if sent, err = m.Int64Counter("vagus.sink.answered", metric.WithDescription("documents that the receiver answered, by its answer")); err != nil {
		return nil, nil, err
	}
	odd, err = m.Int64Counter("vagus.sink.discarded_answers", metric.WithDescription("answers that came late, twice, or to nothing that was asked"))
	return sent, odd, err
}

func codeAttr(code string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("answer", code)))
}
