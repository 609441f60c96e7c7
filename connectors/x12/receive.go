package x12

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

var _ broker.Receiver = (*Receiver)(nil)

// A Receiver takes interchanges apart into messages and answers each with what
// was agreed upon with its partner: TA1, 997, 999. Safe for concurrent use; two deliveries that hold an interchange of
// one sender and control number are received one after the other.
type Receiver struct {
	origin   broker.Origin
	conf     Config
	register *Register
	log      *slog.Logger
	meters   *reception.Meters
	acks     reception.Counter // of what was sent
	strays   reception.Counter // acknowledgments of what was not
	hand     hand
}

// Bounds says how many deliveries are in hand.
func (r *Receiver) Bounds() []broker.Bound { return []broker.Bound{r.hand.bound()} }

// NewReceiver returns a receiver, or an error that names the setting at fault.
func NewReceiver(origin broker.Origin, conf Config) (*Receiver, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("x12: %w", err)
	}
	r := &Receiver{origin: origin, conf: conf, register: conf.Register, hand: newHand(), log: conf.Logger.With("feed", origin.Feed, "protocol", "x12")}
	if r.meters, err = reception.NewMeters(conf.Meter, conf.Tracer, origin.Feed); err != nil {
		return nil, fmt.Errorf("x12: make metrics: %w", err)
	}
	if r.acks, err = r.meters.Counter("vagus.x12.acknowledgments", "acknowledgments of what was sent"); err == nil {
		r.strays, err = r.meters.Counter("vagus.x12.stray_acknowledgments", "acknowledgments of nothing that was sent")
	}
	if err != nil {
		return nil, fmt.Errorf("x12: make metrics: %w", err)
	}
	return r, nil
}

// Receive implements [broker.Receiver]. The answer is one interchange for each that
// was delivered and is to be answered, one after the other.
func (r *Receiver) Receive(ctx context.Context, d broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	ctx, span := r.meters.Tracer.Start(ctx, "x12.receive", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	leave, err := r.hand.enter(ctx)
	if err != nil {
		return broker.Receipt{}, err
	}
	defer leave()
	all, err := r.judge(d)
	if err != nil {
		return broker.Receipt{Refused: 1}, &broker.RejectError{Code: "x12.syntax", Err: err}
	}
	// From whether a number came before until that it has come is on stable storage: no other may ask. Our own
	// numbers are the register's business.
	defer r.hand.take(all)()
	r.arrived(all)
	if err := r.take(ctx, accept, all, reception.Traceparent(ctx)); err != nil {
		return broker.Receipt{}, err
	}
	atTaken.Hit()
	receipt := broker.Receipt{}
	var out bytes.Buffer
	for _, j := range all {
		taken, lost := j.conclude()
		receipt.Accepted += taken
		receipt.Refused += lost
		answer, ext, err := j.answer(func(groups int) (Numbers, error) { return r.numbers(j, groups) })
		if err == nil && answer == nil {
			err = r.remember(j)
		}
		if err != nil { // what was accepted is known again when it comes again
			return broker.Receipt{}, err
		}
		out.Write(answer)
		if receipt.Ext == "" || ext == Ack999 || ext == Ack997 && receipt.Ext != Ack999 {
			receipt.Ext = ext
		}
		r.match(ctx, j)
		r.tell(j, taken, lost)
	}
	atSealed.Hit()
	if out.Len() > 0 {
		receipt.Answer, receipt.Type = out.Bytes(), "application/edi-x12"
	}
	if receipt.Accepted == 0 {
		return receipt, &broker.RejectError{Code: "x12.refused", Err: why(all)}
	}
	return receipt, nil
}

// maxRepeated bounds, beside four times the delivery's own size, what its claims have
// together. A file whose claims share more than that keeps its transaction sets whole.
const maxRepeated = 16 << 20

// judge reads a delivery. Nothing has been taken when it returns.
func (r *Receiver) judge(d broker.Delivery) ([]*judged, error) {
	g := judge{origin: r.origin, conf: &r.conf, body: d.Body, d: d, left: maxRepeated + 4*len(d.Body)}
	envs, err := scanEnvelopes(g.body)
	if err != nil {
		return nil, err
	}
	if p, _ := r.conf.partnerOf(partyOf(&envs[0].isa, 5), partyOf(&envs[0].isa, 7)); p != nil && p.tolerates(lineBreaks) {
		if whole := unwrap(g.body, envs[0].isa.d); whole != nil {
			g.body = whole
			if envs, err = scanEnvelopes(g.body); err != nil {
				return nil, err
			}
		}
	}
	var all []*judged
	for i := range envs {
		all = append(all, g.interchange(&envs[i]))
	}
	return all, nil
}

// duplicate is the note code (data element I18) of a control number that came before.
const duplicate = "025"

// arrived finds the interchanges whose control number has come before, with other content.
func (r *Receiver) arrived(all []*judged) {
	came := map[string]string{} // with this delivery
	for _, j := range all {
		if j.partner == nil {
			continue
		}
		key := j.key()
		before := came[key]
		if before == "" {
			before = r.register.came(r.origin.Feed, key)
		}
		if before != "" && before != j.hash && j.verdict != refused {
			f := fault{code: duplicate, class: never}
			if j.faults = append([]fault{f}, j.faults...); j.partner.Duplicates == DuplicatesRefuse {
				j.verdict, j.groups, j.messages = refused, nil, nil
			} else {
				j.verdict = noted
			}
		}
		if j.verdict != refused {
			came[key] = j.hash
		}
	}
}

// key is what an interchange is known by among those of its partner: a "*" has many.
func (j *judged) key() string {
	return j.from.String() + "/" + j.to.String() + "/" + string(j.env.isa.element(13))
}

// take hands the sound messages of a delivery to accept in one call. When it
// rejects one, they are offered one at a time, so that it does not hold the others.
func (r *Receiver) take(ctx context.Context, accept broker.Accept, all []*judged, parent string) error {
	var ms []*judgedMessage
	for _, j := range all {
		ms = append(ms, j.messages...)
		for i := range j.groups {
			for k := range j.groups[i].sets {
				t := &j.groups[i].sets[k]
				for m := range t.messages {
					if t.messages[m].msg != nil {
						ms = append(ms, &t.messages[m])
					}
				}
			}
		}
	}
	if len(ms) == 0 {
		return nil
	}
	group := broker.Group{Count: len(ms)}
	if len(ms) > 1 {
		group.ID = groupID(r.origin, all)
	}
	messages := make([]*broker.Message, len(ms))
	for i, m := range ms {
		if group.Index = i; group.ID != "" {
			m.msg.Group = group
		}
		m.msg.Trace = parent
		messages[i] = m.msg
	}
	err := accept(ctx, messages...)
	var reject *broker.RejectError
	if !errors.As(err, &reject) {
		return err
	}
	for _, m := range ms {
		e := err
		if len(ms) > 1 {
			e = accept(ctx, m.msg)
		}
		if m.refused = errors.As(e, &reject); e != nil && !m.refused {
			return e
		}
		if m.refused {
			r.log.Warn("message refused", "message", broker.ShortID(m.msg.ID), "kind", m.msg.Kind, "sender_id", m.msg.SenderID, "error", e)
		}
	}
	return nil
}

func groupID(o broker.Origin, all []*judged) string {
	var hashes []byte
	for _, j := range all {
		hashes = append(hashes, j.hash...)
	}
	return o.MessageID("interchanges", hashes)
}

// numbers gives an answer its control numbers, and remembers in the same step
// what is answered.
func (r *Receiver) numbers(j *judged, groups int) (Numbers, error) {
	counter, first := Anyone, uint32(1) // of those whom we do not know
	if j.partner != nil {
		counter, first = j.partner.counter(), j.partner.First
	}
	return r.register.issue(counter, "answer/"+r.origin.Feed+"/"+j.key()+"/"+j.hash, groups, first, r.arrival(j))
}

func (r *Receiver) remember(j *judged) error {
	_, err := r.register.issue("", "", 0, 0, r.arrival(j))
	return err
}

// arrival is what is remembered of an interchange: nothing of one that was refused, whose sender
// corrects it and sends it under its number again.
func (r *Receiver) arrival(j *judged) *line {
	if j.partner == nil || j.verdict == refused {
		return nil
	}
	return &line{Feed: r.origin.Feed, Control: j.key(), Hash: j.hash}
}

// tell logs what became of an interchange, by codes and numbers.
func (r *Receiver) tell(j *judged, taken, lost int) {
	level, name := slog.LevelInfo, ""
	if lost > 0 || j.verdict != accepted {
		level = slog.LevelWarn
	}
	if j.partner != nil {
		name = j.partner.Name
	}
	about := []any{"partner", name, "control", join(j.env.isa.element(13)), "codes", j.codes(), "accepted", taken, "refused", lost}
	if len(j.faults) > 0 {
		about = append(about, "reason", j.refusal())
	}
	r.log.Log(context.Background(), level, "interchange received", about...)
}

// refusal is what is told of the interchange itself: its first fault, in words.
func (j *judged) refusal() string {
	return inWords("TA105 "+j.faults[0].code) + j.faults[0].passed()
}

// codes are the first different ones of all that an interchange is told, those for which nothing was refused among them.
func (j *judged) codes() (all []string) {
	add := func(code string) {
		if len(all) < 5 && !slices.Contains(all, code) {
			all = append(all, code)
		}
	}
	for _, f := range j.faults {
		add("TA105 " + f.code)
	}
	for i := range j.groups {
		for _, f := range j.groups[i].faults {
			add("AK905 " + f.code)
		}
		for k := range j.groups[i].sets {
			for n := range j.groups[i].sets[k].faults {
				add(j.groups[i].sets[k].faults[n].name())
			}
		}
	}
	return all
}

// why is what a person is told of a delivery of which nothing was taken: the
// first fault of each interchange.
func why(all []*judged) error {
	var errs []error
	for _, j := range all {
		if len(errs) > 20 {
			break
		}
		name := "interchange " + join(j.env.isa.element(13))
		if j.verdict == refused {
			if len(j.faults) > 0 {
				errs = append(errs, fmt.Errorf("%s: %s", name, j.refusal()))
			}
			continue
		}
		for i := range j.groups {
			g := &j.groups[i]
			if len(g.faults) > 0 {
				errs = append(errs, fmt.Errorf("%s, group %s: %s%s", name, join(g.env.gs.element(6)), inWords("AK905 "+g.faults[0].code), g.faults[0].passed()))
			}
			for k := range g.sets {
				if t := &g.sets[k]; len(t.faults) > 0 {
					errs = append(errs, fmt.Errorf("%s, group %s, set %s: %s", name, join(g.env.gs.element(6)), join(t.env.st.element(2)), t.faults[0].String()))
				}
			}
			if len(errs) > 20 {
				return errors.Join(errs...)
			}
		}
	}
	if len(errs) == 0 {
		return errors.New("every message of it was rejected")
	}
	return errors.Join(errs...)
}

// unwrap takes out the line ends that stand in segments, as what wraps a
// file at a width leaves them; nil where there are none, or where they may be data.
func unwrap(body []byte, d *delimiters) []byte {
	if d.terminator[0] == '\r' || d.terminator[0] == '\n' || bytes.Contains(body, []byte("BIN"+string(d.element))) || bytes.Contains(body, []byte("BDS"+string(d.element))) {
		return nil
	}
	out := make([]byte, 0, len(body))
	for _, c := range body {
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	if len(out) == len(body) {
		return nil
	}
	return out
}
