package hl7

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// An intake takes in what came in one piece, a frame, a file or a body, and makes the
// answer: the one path of [Source] and [Receiver]. Safe for concurrent use.
type intake struct {
	origin broker.Origin
	conf   Config
	log    *slog.Logger
	meters *reception.Meters
	reused reception.Counter
	behind bool // a transport: it counts the messages
	reuse  *reuseWatch
	prefix string // of control ids of acknowledgements: differs between starts
	serial atomic.Uint64
}

func newIntake(origin broker.Origin, conf Config) (*intake, error) {
	in := &intake{origin: origin, conf: conf, log: conf.Logger.With("feed", origin.Feed), reuse: newReuseWatch(), prefix: rand.Text()[:10]}
	var err error
	if in.meters, err = reception.NewMeters(conf.Meter, conf.Tracer, origin.Feed); err == nil {
		in.reused, err = in.meters.Counter("vagus.source.reused_control_ids", "sender's ids that came again with other content")
	}
	if err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return in, nil
}

// A delivery is one message on its way to its acknowledgement.
type delivery struct {
	env   envelope
	msgs  []*broker.Message // itself, or its pairs; none if it can not be taken
	reply reply
	err   error // why it was not taken
}

// A result says what became of the messages of one piece.
type result struct {
	taken, refused int
	again          error // of a message that was not taken and may be sent again
	fault          error // of the first message that is at fault
	// unheard: a refusal that its sender does not want to be told.
	unheard bool
}

func (r *result) add(d *delivery) {
	switch d.reply.verdict {
	case taken:
		r.taken++
	case later:
		r.again = cmp.Or(r.again, d.err)
	case refused:
		r.refused++
		r.fault = cmp.Or(r.fault, d.err)
	}
}

// receive takes the messages of one piece and appends the answer: nothing, if no
// sender wants one. It keeps body.
func (in *intake) receive(ctx context.Context, accept broker.Accept, dst, body []byte) ([]byte, result) {
	b, err := split(body)
	if err != nil {
		return in.refuse(ctx, dst, body, err), result{refused: 1, fault: err}
	}
	return in.takeIn(ctx, accept, dst, body, b)
}

// takeIn takes the messages of a batch, whose bytes are body.
func (in *intake) takeIn(ctx context.Context, accept broker.Accept, dst, body []byte, b batch) ([]byte, result) {
	ds := in.read(body, b)
	in.take(ctx, accept, ds)

	res, answered := result{}, false
	content, now := dst, time.Now()
	if b.file != nil {
		content = appendBatchHeader(content, b.file, in.controlID(), now)
	}
	next := 0
	for _, g := range b.groups {
		if g.header != nil {
			content = appendBatchHeader(content, g.header, in.controlID(), now)
		}
		n := 0
		for range g.messages {
			d := &ds[next]
			next++
			res.add(d)
			answer, enhanced := wanted(&d.env, in.conf.AckMode, d.reply.verdict)
			if !answer {
				res.unheard = res.unheard || d.reply.verdict != taken
				continue
			}
			content = in.acknowledge(content, &d.env, d.reply, enhanced, now)
			n++
		}
		if g.header != nil {
			content = appendTrailer(content, "BTS", g.header, n)
		}
		answered = answered || n > 0
	}
	if b.file != nil {
		content = appendTrailer(content, "FTS", b.file, countHeaders(b))
	}
	if !answered {
		return dst, res
	}
	return content, res
}

func countHeaders(b batch) (n int) {
	for _, g := range b.groups {
		if g.header != nil {
			n++
		}
	}
	return n
}

// read makes a message of each part, and of each pair of a merge.
func (in *intake) read(body []byte, b batch) []delivery {
	ds := make([]delivery, 0, b.count)
	count := 0 // a message that can not be taken has a place too
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
			bodies := [][]byte{raw}
			if err == nil {
				if ps := pairs(raw, &d.env); ps != nil {
					bodies = ps
				}
			}
			if count += len(bodies); err == nil && count > maxBatch {
				err = tooMany()
			}
			d.reply, d.err = replyTo(err), err
			if err == nil {
				d.msgs = make([]*broker.Message, len(bodies))
				for i, body := range bodies {
					d.msgs[i] = in.origin.Message(formatName, d.env.kind(), d.env.senderID(), now, body)
					d.msgs[i].Group.Index = count - len(bodies) + i
				}
			}
			ds = append(ds, d)
		}
	}
	if count == 1 && b.file == nil && b.groups[0].header == nil {
		return ds
	}
	id := in.origin.MessageID("batch", body)
	for i := range ds {
		for _, m := range ds[i].msgs {
			m.Group.ID, m.Group.Count = id, count
		}
	}
	return ds
}

// take hands the sound messages to accept in one call. When it
// rejects a batch, its messages are offered one at a time, so that one of them
// does not hold the others; the pairs of a merge, which has one answer, stay together.
func (in *intake) take(ctx context.Context, accept broker.Accept, ds []delivery) {
	// A stop must not leave a message stored and not acknowledged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.conf.AcceptTimeout)
	defer cancel()
	ctx, span := in.meters.Tracer.Start(ctx, "hl7.receive", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	parent := reception.Traceparent(ctx)

	ms, sound := make([]*broker.Message, 0, len(ds)), 0
	for i := range ds {
		for _, m := range ds[i].msgs {
			m.Trace = parent
			ms = append(ms, m)
		}
		if len(ds[i].msgs) > 0 {
			sound++
		}
	}
	if sound > 0 {
		err := accept(ctx, ms...)
		var reject *broker.RejectError
		alone := sound > 1 && errors.As(err, &reject)
		for i := range ds {
			d := &ds[i]
			if len(d.msgs) == 0 {
				continue
			}
			e := err
			if alone {
				e = accept(ctx, d.msgs...)
			}
			d.reply, d.err = replyTo(e), e
			in.record(ctx, d, e)
		}
	}
	for i := range ds {
		d := &ds[i]
		in.count(ctx, d.reply)
		if d.reply.verdict != taken {
			span.SetStatus(codes.Error, d.reply.reason)
			if len(d.msgs) == 0 {
				in.log.WarnContext(ctx, "message refused", "reason", d.reply.reason, "detail", d.reply.text)
			}
		}
	}
}

func (in *intake) count(ctx context.Context, r reply) {
	switch {
	case in.behind:
	case r.verdict == taken:
		in.meters.Accepted(ctx, 1)
	default:
		in.meters.Refused(ctx, 1, r.reason)
	}
}

// record logs what accept said of a message, and looks for a control id that
// was used before with other content.
func (in *intake) record(ctx context.Context, d *delivery, err error) {
	if err != nil {
		in.log.WarnContext(ctx, "message not taken", "message", broker.ShortID(d.msgs[0].ID), "kind", d.msgs[0].Kind, "reason", d.reply.reason, "error", err)
		return
	}
	if before := in.reuse.seen(&d.env, d.msgs[0].ID); before != "" {
		in.reused.Add(ctx, 1)
		in.log.WarnContext(ctx, "control id used again with other content: taken as a new message", "message", broker.ShortID(d.msgs[0].ID), "before", before)
	}
}

// refuse answers a piece that no message could be cut from, as well as what
// can be read of it allows.
func (in *intake) refuse(ctx context.Context, dst, frame []byte, err error) []byte {
	r := replyTo(err)
	in.count(ctx, r)
	in.log.WarnContext(ctx, "refused as a whole", "reason", r.reason, "detail", r.text, "bytes", len(frame))
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
		_, enhanced = wanted(&env, in.conf.AckMode, r.verdict)
	}
	return in.acknowledge(dst, &env, r, enhanced, time.Now())
}

// acknowledge appends one acknowledgement in the message's character set.
func (in *intake) acknowledge(dst []byte, e *envelope, r reply, enhanced bool, now time.Time) []byte {
	if !e.wide {
		return appendAck(dst, e, r, enhanced, in.controlID(), now)
	}
	text := appendAck(nil, e, r, enhanced, in.controlID(), now)
	encoded, err := e.chars.encodeAll(text)
	if err != nil { // what was decoded can be encoded
		encoded = text
	}
	return append(dst, encoded...)
}

// controlID returns a control id of our own: at most 20 characters, as MSH-10
// of every version allows.
func (in *intake) controlID() string {
	return in.prefix + strconv.FormatUint(in.serial.Add(1)%(1<<50), 36)
}
