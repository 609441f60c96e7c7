package hl7

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/vagus-health/vagus/broker"
)

var _ broker.Target = (*Sink)(nil)

// A Sink sends messages to one receiver over MLLP, over one connection that it
// keeps, one message at a time: none before the one before it was answered. A
// unit that is sent again has the same MSH-10.
//
// What the answers mean stands in the README. No answer, or none that can be
// understood, is an error of Apply: the connection is closed, so that what
// comes too late is not taken for the answer to another message.
type Sink struct {
	conf SinkConfig
	host string
	log  *slog.Logger
	turn chan struct{} // holds who sends
	open *peer         // belongs to who sends; nil: not connected
	sent metric.Int64Counter
	odd  metric.Int64Counter
}

// NewSink returns the sink that the configuration describes. It connects when there is
// something to send.
func NewSink(c SinkConfig) (*Sink, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("hl7: %w", err)
	}
	s := &Sink{conf: c, log: c.Logger, turn: make(chan struct{}, 1)}
	s.host, _, _ = net.SplitHostPort(c.Connect)
	if c.TLS != nil {
		if _, err := c.TLS.load(s.host); err != nil {
			return nil, fmt.Errorf("hl7: %w", err)
		}
	}
	if s.sent, s.odd, err = sinkMeters(c.Meter); err != nil {
		return nil, fmt.Errorf("hl7: metrics: %w", err)
	}
	return s, nil
}

// Apply sends the units in their order. An error is one of the first unit: of
// a later one it is an outcome, [broker.Retry], of that and of all behind it, so that
// what was answered before it is not sent again.
func (s *Sink) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	out := make([]broker.Outcome, 0, len(units))
	for i, u := range units {
		o, err := s.deliver(ctx, u)
		if err != nil && i == 0 {
			return nil, err
		}
		if err != nil {
			for range units[i:] {
				out = append(out, broker.Outcome{Result: broker.Retry, Class: "hl7.unreachable", Reason: "the receiver did not answer"})
			}
			break
		}
		out = append(out, o)
	}
	return out, nil
}

// Check connects, if it is not connected, and sends nothing.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	_, err := s.connected(ctx)
	return err
}

// Close ends the connection, when the message under way has been answered.
func (s *Sink) Close() error {
	s.turn <- struct{}{}
	defer s.leave()
	s.drop()
	return nil
}

func (s *Sink) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Sink) leave() { <-s.turn }

func (s *Sink) drop() {
	if s.open != nil {
		s.open.close()
		s.open = nil
	}
}

// deliver sends one unit and waits for its answer.
func (s *Sink) deliver(ctx context.Context, u *broker.Unit) (broker.Outcome, error) {
	doc, format, ok := u.Emission()
	if !ok || format != formatName {
		return broker.Outcome{Result: broker.Rejected, Class: "hl7.not_a_document", Reason: "the unit has no HL7 v2 document: its mapping is for another target"}, nil
	}
	m, err := seal(u, doc, s.conf.Header)
	if err != nil {
		return broker.Outcome{Result: broker.Rejected, Class: "hl7.document", Reason: err.Error()}, nil
	}
	p, err := s.connected(ctx)
	if err != nil {
		return broker.Outcome{}, err
	}
	a, err := s.exchange(ctx, p, m)
	if err != nil {
		s.drop()
		return broker.Outcome{}, err
	}
	p.used = time.Now()
	s.sent.Add(ctx, 1, codeAttr(a.code))
	return judge(a), nil
}

// connected returns the connection, a new one if there is none that can be used.
func (s *Sink) connected(ctx context.Context) (*peer, error) {
	if p := s.open; p != nil && !p.ended() && time.Since(p.used) < s.conf.IdleTimeout {
		return p, nil
	}
	s.drop()
	ctx, cancel := context.WithTimeout(ctx, s.conf.ConnectTimeout)
	defer cancel()
	nc, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, "tcp", s.conf.Connect)
	if err != nil {
		return nil, fmt.Errorf("connect to the receiver: %w", err)
	}
	if s.conf.TLS != nil {
		conf, err := s.conf.TLS.load(s.host)
		if err == nil {
			t := tls.Client(nc, conf)
			nc, err = t, t.HandshakeContext(ctx)
		}
		if err != nil {
			_ = nc.Close()
			return nil, fmt.Errorf("connect to the receiver: %w", err)
		}
	}
	s.open = newPeer(nc, s.conf.MaxFrame)
	s.log.Info("connected to the receiver", "address", s.conf.Connect)
	return s.open, nil
}

// exchange sends a message and returns the last answer that it asked for.
func (s *Sink) exchange(ctx context.Context, p *peer, m *sealed) (answer, error) {
	s.pass(ctx, p) // late answers to what was given up
	if err := p.send(ctx, m.frame, s.conf.WriteTimeout); err != nil {
		return answer{}, fmt.Errorf("send: %w", err)
	}
	timer := time.NewTimer(s.conf.AckTimeout)
	defer timer.Stop()
	accepted := false
	for {
		var frame []byte
		select {
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case <-timer.C:
			if accepted {
				return answer{}, fmt.Errorf("no application acknowledgement came within %s after CA: a receiver that sends none is to be asked for none (MSH-16, application_ack: NE)", s.conf.AckTimeout)
			}
			return answer{}, fmt.Errorf("no accept or application acknowledgement came within %s", s.conf.AckTimeout)
		case f, more := <-p.frames:
			if !more {
				return answer{}, fmt.Errorf("the connection ended before the answer: %w", p.err)
			}
			frame = f
		}
		a, ok := readAnswer(frame)
		switch {
		case !ok || a.of != m.id:
			s.odd.Add(ctx, 1)
			if !ok && !isHL7(frame) {
				return answer{}, errors.New("the receiver answered with something that is not HL7 v2")
			}
			continue
		case a.accept() && a.code == "CA" && m.wants.application && !m.wants.original && !accepted:
			accepted = true
			timer.Reset(s.conf.AckTimeout)
			continue
		case a.accept() && accepted:
			s.odd.Add(ctx, 1) // the accept acknowledgement again
			continue
		}
		if !a.accept() {
			s.answerBack(ctx, p, a)
		}
		return a, nil
	}
}
