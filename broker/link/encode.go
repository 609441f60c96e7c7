package link

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
)

// parcel is a unit ready to be sent.
type parcel struct {
	msg  *nats.Msg
	mark mark
	unit *broker.Unit // without operations
	size int          // about what it takes on the wire, and counts against the hub's max_payload
	span trace.Span
}

// mark is what the last message of a lane says about where to go on.
type mark struct {
	Position
	unit        string
	part, parts int
}

func (m mark) complete() bool { return m.part == m.parts }

// String is the value of stream.HeaderResume.
func (m mark) String() string {
	if m.ID == "" {
		return ""
	}
	return fmt.Sprintf("%d %s %s %d/%d", m.Seq, m.ID, m.unit, m.part, m.parts)
}

// readMark reads where to go on off the headers of a lane's last message.
func readMark(h nats.Header) (mark, error) {
	f := []string{h.Get(stream.HeaderJournalSeq), h.Get(stream.HeaderMessage), h.Get(stream.HeaderUnit), h.Get(stream.HeaderPart)}
	if h.Get(stream.HeaderRemap) != "" {
		v := h.Get(stream.HeaderResume)
		if v == "" {
			return mark{}, nil
		}
		f = strings.Fields(v)
	}
	var m mark
	if len(f) == 4 {
		part, parts, _ := strings.Cut(f[3], "/")
		var err1, err2, err3 error
		m.Seq, err1 = strconv.ParseUint(f[0], 10, 64)
		m.part, err2 = strconv.Atoi(part)
		m.parts, err3 = strconv.Atoi(parts)
		m.ID, m.unit = f[1], f[2]
		if err1 == nil && err2 == nil && err3 == nil && m.ID != "" && m.unit != "" {
			return m, nil
		}
	}
	return mark{}, fmt.Errorf("the last unit in the cloud does not say where it stood in the journal")
}

// pack turns the units of an entry into parcels.
func (l *lane) pack(ctx context.Context, e Entry, units []*broker.Unit) ([]*parcel, error) {
	parcels := make([]*parcel, 0, len(units))
	for i, u := range units {
		if err := stream.CheckToken("target", u.Target); err != nil {
			return nil, fmt.Errorf("unit %s: %w", u.ID, err)
		}
		if u.ID == "" || u.Site != l.site || u.Feed != l.feed || u.MessageID != e.ID {
			return nil, fmt.Errorf("the mapping of message %s made a unit of another feed or message", e.ID)
		}
		p, err := l.packOne(ctx, u, mark{Position: e.Position, unit: u.ID, part: i + 1, parts: len(units)})
		if err != nil {
			return nil, err
		}
		parcels = append(parcels, p)
	}
	return parcels, nil
}

func (l *lane) packOne(ctx context.Context, u *broker.Unit, m mark) (*parcel, error) {
	data, err := u.Encode()
	if err != nil {
		return nil, err
	}
	bare := *u
	bare.Ops = nil
	// The batch adds three headers of its own.
	h := nats.Header(make(map[string][]string, 14)) // 11 and those: the most that 16 places hold
	size := len(data) + batchHeaders
	values := make([]string, 0, 11) // of all headers, in one piece
	set := func(k, v string) {
		values = append(values, v)
		h[k] = values[len(values)-1 : len(values) : len(values)]
		size += len(k) + len(v) + 4
	}
	set(nats.MsgIdHdr, u.ID)
	set(nats.ExpectedStreamHdr, stream.Units)
	set(stream.HeaderUnit, u.ID)
	set(stream.HeaderMessage, u.MessageID)
	set(stream.HeaderJournalSeq, strconv.FormatUint(m.Seq, 10))
	set(stream.HeaderPart, strconv.Itoa(m.part)+"/"+strconv.Itoa(m.parts))
	// CloudEvents 1.0, NATS protocol binding, section 3.1.3: binary mode.
	set("ce-specversion", "1.0")
	set("ce-type", "health.vagus.unit")
	set("ce-source", l.source)
	set("ce-id", u.ID)
	parent := propagation.TraceContext{}.Extract(ctx, traceOf{&u.Trace})
	spanned, span := l.link.cfg.Tracer.Start(parent, "link.publish", trace.WithSpanKind(trace.SpanKindProducer))
	// Of a header of this name the server makes a trace of its own, for each message; the unit says it already.
	if u.Trace == "" {
		tp := ""
		propagation.TraceContext{}.Inject(spanned, traceOf{&tp})
		if tp != "" {
			set(stream.HeaderTrace, tp)
		}
	}
	return &parcel{mark: m, unit: &bare, span: span, size: size,
		msg: &nats.Msg{Subject: stream.UnitSubject(u), Header: h, Data: data}}, nil
}

// A traceOf carries a traceparent and nothing else.
type traceOf struct{ parent *string }

// Get implements [propagation.TextMapCarrier], like Set and Keys.
func (t traceOf) Get(key string) string {
	if key == stream.HeaderTrace {
		return *t.parent
	}
	return ""
}

func (t traceOf) Set(key, value string) {
	if key == stream.HeaderTrace {
		*t.parent = value
	}
}

func (t traceOf) Keys() []string { return []string{stream.HeaderTrace} }

// asRemap makes of a parcel the answer to a request: it must not look like the
// place where the lane stood, so it carries that place beside its own.
func (p *parcel) asRemap(request string, lane mark) {
	p.msg.Header[nats.MsgIdHdr] = []string{p.unit.ID + ":" + request}
	p.msg.Header[stream.HeaderRemap] = []string{request}
	p.msg.Header[stream.HeaderResume] = []string{lane.String()}
}

// batchHeaders is room for the headers that a batch adds.
const batchHeaders = 160

// tooLarge replaces a parcel that the hub will never take by a dead letter in
// the same place: the unit without its operations.
func (l *lane) tooLarge(ctx context.Context, p *parcel) (*parcel, error) {
	u := *p.unit
	u.Verdict, u.Class = broker.DeadLetter, "link.too_large"
	u.Reason = fmt.Sprintf("the unit takes %d bytes, more than the hub takes: raise max_payload at the hub (and max_msg_size of UNITS, if set), or let the mapping send less", p.size)
	l.link.cfg.Logger.Error("unit is too large for the hub; a dead letter goes in its place", "feed", l.feed, "unit", u.ID, "bytes", p.size)
	l.link.metrics.tooLarge.Add(ctx, 1, l.attr)
	p.span.End()
	return l.packOne(ctx, &u, p.mark)
}
