package hl7

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
)

// A delivery is one message of a frame on its way to its acknowledgement.
type delivery struct {
	env   envelope
	msg   *broker.Message // nil if it can not be taken
	reply reply
}

// receive takes the messages of a frame and appends the answer, itself framed.
// hangUp asks to close the connection: a refusal that its sender does not want
// to be told can be told in no other way.
func (s *Source) receive(ctx context.Context, accept broker.Accept, dst, frame []byte) (answer []byte, hangUp bool) {
	if len(bytes.TrimSpace(frame)) == 0 { // some senders keep a connection open so
		return dst, false
	}
	body := bytes.Clone(frame) // the message outlives the buffer
	b, err := split(body)
	if err != nil {
		return s.refuse(ctx, dst, body, err), false
	}
	ds := s.read(body, b)
	s.take(ctx, accept, ds)

	answered := false
	content := dst
	content = append(content, startBlock)
	now := time.Now()
	if b.file != nil {
		content = appendBatchHeader(content, b.file, s.controlID(), now)
	}
	next := 0
	for _, g := range b.groups {
		if g.header != nil {
			content = appendBatchHeader(content, g.header, s.controlID(), now)
		}
		n := 0
		for range g.messages {
			d := &ds[next]
			next++
			answer, enhanced := wanted(&d.env, s.conf.AckMode, d.reply.verdict)
			if !answer {
				hangUp = hangUp || d.reply.verdict != taken
				continue
			}
			content = s.acknowledge(content, &d.env, d.reply, enhanced, now)
			n++
		}
		if g.header != nil {
			content = appendTrailer(content, "BTS", g.header[3], n)
		}
		answered = answered || n > 0
	}
	if b.file != nil {
		content = appendTrailer(content, "FTS", b.file[3], countHeaders(b))
	}
	if !answered {
		return dst, hangUp
	}
	return append(content, endBlock, carriage), hangUp
}

func countHeaders(b batch) (n int) {
	for _, g := range b.groups {
		if g.header != nil {
			n++
		}
	}
	return n
}

// read makes a message of each part of the frame.
func (s *Source) read(body []byte, b batch) []delivery {
	ds := make([]delivery, 0, b.count)
	group := broker.Group{}
	if b.count > 1 || b.file != nil || b.groups[0].header != nil {
		group = broker.Group{ID: broker.NewMessageID(s.feed.Tenant, s.feed.Site, s.feed.Feed, "batch", body), Count: b.count}
	}
	now := time.Now().UTC()
	for _, g := range b.groups {
		for _, raw := range g.messages {
			d := delivery{}
			var err error
			if d.env, err = readEnvelope(raw); err == nil {
				if fault := d.env.check(); fault != nil {
					err = fault
				}
			}
			d.reply = replyTo(err)
			if err == nil {
				group.Index = len(ds)
				sender := d.env.senderID()
				d.msg = &broker.Message{
					ID:     broker.NewMessageID(s.feed.Tenant, s.feed.Site, s.feed.Feed, sender, raw),
					Tenant: s.feed.Tenant, Site: s.feed.Site, Feed: s.feed.Feed,
					Format: formatName, Kind: d.env.kind(), SenderID: sender,
					ReceivedAt: now, Group: group, Body: raw,
				}
			}
			ds = append(ds, d)
		}
	}
	return ds
}

// take hands the sound messages of a frame to accept in one call. When it
// rejects a batch, its messages are offered one at a time, so that one of them
// does not hold the others.
func (s *Source) take(ctx context.Context, accept broker.Accept, ds []delivery) {
	// A stop must not leave a message stored and not acknowledged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.conf.AcceptTimeout)
	defer cancel()
	ctx, span := s.meters.tracer.Start(ctx, "mllp.receive", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	parent := traceparent(span.SpanContext())

	ms := make([]*broker.Message, 0, len(ds))
	for i := range ds {
		if m := ds[i].msg; m != nil {
			m.Trace = parent
			ms = append(ms, m)
		}
	}
	if len(ms) > 0 {
		err := accept(ctx, ms...)
		var reject *broker.RejectError
		alone := len(ms) > 1 && errors.As(err, &reject)
		for i := range ds {
			d := &ds[i]
			if d.msg == nil {
				continue
			}
			e := err
			if alone {
				e = accept(ctx, d.msg)
			}
			d.reply = replyTo(e)
			s.record(ctx, d, e)
		}
	}
	for i := range ds {
		d := &ds[i]
		s.meters.received(ctx, d.reply)
		if d.reply.verdict != taken {
			span.SetStatus(codes.Error, d.reply.reason)
			if d.msg == nil {
				s.log.WarnContext(ctx, "message refused", "reason", d.reply.reason, "detail", d.reply.text)
			}
		}
	}
}

// record logs what accept said of a message, and looks for a control id that
// was used before with other content.
func (s *Source) record(ctx context.Context, d *delivery, err error) {
	if err != nil {
		s.log.WarnContext(ctx, "message not taken", "message", broker.ShortID(d.msg.ID), "kind", d.msg.Kind, "reason", d.reply.reason, "error", err)
		return
	}
	if before := s.reuse.seen(&d.env, d.msg.ID); before != "" {
		s.meters.reused(ctx)
		s.log.WarnContext(ctx, "control id used again with other content: taken as a new message", "message", broker.ShortID(d.msg.ID), "before", before)
	}
}

// refuse answers a frame that no message could be cut from, as well as what
// can be read of it allows.
func (s *Source) refuse(ctx context.Context, dst, frame []byte, err error) []byte {
	r := replyTo(err)
	s.meters.received(ctx, r)
	s.log.WarnContext(ctx, "frame refused", "reason", r.reason, "detail", r.text, "bytes", len(frame))
	env, envErr := readEnvelope(frame)
	switch {
	case envErr != nil:
		env = envelope{}
	case string(env.header) != "MSH": // a batch: FHS-11 and BHS-11 are its control id
		env.fields[10] = env.fields[11]
		for _, n := range [...]int{9, 11, 12, 15, 16, 18} {
			env.fields[n] = nil
		}
	}
	enhanced := false
	if envErr == nil {
		_, enhanced = wanted(&env, s.conf.AckMode, r.verdict)
	}
	dst = append(dst, startBlock)
	dst = s.acknowledge(dst, &env, r, enhanced, time.Now())
	return append(dst, endBlock, carriage)
}

// acknowledge appends one acknowledgement in the message's character set.
func (s *Source) acknowledge(dst []byte, e *envelope, r reply, enhanced bool, now time.Time) []byte {
	if !e.wide {
		return appendAck(dst, e, r, enhanced, s.controlID(), now)
	}
	text := appendAck(nil, e, r, enhanced, s.controlID(), now)
	encoded, err := e.chars.encodeAll(text)
	if err != nil { // what was decoded can be encoded
		encoded = text
	}
	return append(dst, encoded...)
}

// controlID returns a control id of our own: at most 20 characters, as MSH-10
// of every version allows.
func (s *Source) controlID() string {
	return s.prefix + strconv.FormatUint(s.serial.Add(1)%(1<<50), 36)
}
