package link

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
)

var _ broker.Target = (*Remote)(nil)

const (
	// patience is how long a site may take to take what it was given: it is asked
	// all the time, so this is the time of a link that comes back.
	patience   = 15 * time.Second
	remoteTime = time.Minute // for a call without a deadline
	checkTime  = 10 * time.Second
)

// A Remote is a sink at a site, as the cloud's workers reach it: a target that
// puts units into DOWN and waits for what the site says of them. While the site
// is away its calls return an error. Giving a unit again that was delivered is
// answered by the site's memory.
type Remote struct {
	nc         *nats.Conn
	js         jetstream.JetStream
	site, sink string
	patience   time.Duration
}

// NewRemote returns the sink of this name at a site. The connection must be a worker's.
func NewRemote(nc *nats.Conn, site, sink string) (*Remote, error) {
	if err := errors.Join(stream.CheckToken("site", site), stream.CheckToken("sink", sink)); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &Remote{nc: nc, js: js, site: site, sink: sink, patience: patience}, nil
}

// Apply gives the units to the site, in their order, and waits for all outcomes. Without
// the outcome of one of them it is an error: nothing is lost by that, because the
// site knows what it has delivered.
func (r *Remote) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	msgs := make([]*nats.Msg, len(units))
	for i, u := range units {
		data, err := u.Encode()
		if err != nil {
			return nil, err
		}
		msgs[i] = &nats.Msg{Subject: stream.DownSubject(r.site, stream.DownEmit, broker.ShortID(u.ID)), Data: data,
			Header: nats.Header{stream.HeaderUnit: {u.ID}, stream.HeaderTrace: {u.Trace}}}
	}
	answers, err := r.ask(ctx, remoteTime, msgs)
	if err != nil {
		return nil, err
	}
	out := make([]broker.Outcome, len(units))
	for i, u := range units {
		a := answers[u.ID]
		if a.State != stream.AnswerDone || a.Outcome == nil {
			return nil, fmt.Errorf("sink %s at site %s: %s", r.sink, r.site, cmp.Or(a.Error, "it said nothing that is an outcome"))
		}
		out[i] = *a.Outcome
	}
	return out, nil
}

// Check asks the site, and the site its sink.
func (r *Remote) Check(ctx context.Context) error {
	m := &nats.Msg{Subject: stream.DownSubject(r.site, stream.DownCheck, strings.ToLower(rand.Text()[:13])), Header: nats.Header{}}
	answers, err := r.ask(ctx, checkTime, []*nats.Msg{m})
	if err != nil {
		return err
	}
	if a := answers[""]; a.State != stream.AnswerDone {
		return fmt.Errorf("sink %s at site %s: %s", r.sink, r.site, a.Error)
	}
	return nil
}

// ask publishes messages and returns the last answer to each, by unit. It
// is an error when the site does not take them in time, or does not answer all.
func (r *Remote) ask(ctx context.Context, limit time.Duration, msgs []*nats.Msg) (map[string]stream.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, cut := whileConnected(ctx, r.nc) // an answer that came meanwhile would be missed
	defer cut()
	token := strings.ToLower(rand.Text())
	said := make(chan *nats.Msg, 16+4*len(msgs))
	for _, t := range []string{token, stream.AnswerBegan} {
		sub, err := r.nc.ChanSubscribe(stream.AnswerSubject(r.site, t), said)
		if err != nil {
			return nil, err
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	for _, m := range msgs {
		deadline, _ := ctx.Deadline()
		within := max(time.Until(deadline), time.Second)
		m.Header.Set(stream.HeaderSink, r.sink)
		m.Header.Set(stream.HeaderAnswer, token)
		m.Header.Set(stream.HeaderWithin, within.Round(time.Millisecond).String())
		m.Header.Set(stream.HeaderTTL, max(min(within, r.patience).Round(time.Second), time.Second).String())
		if _, err := r.js.PublishMsg(ctx, m, jetstream.WithMsgID(token+":"+m.Header.Get(stream.HeaderUnit)), jetstream.WithExpectStream(stream.Down)); err != nil {
			return nil, fmt.Errorf("give a document to site %s: %w", r.site, err)
		}
	}
	atAsked.Hit()
	waits, answers := make(map[string]bool, len(msgs)), make(map[string]stream.Answer, len(msgs))
	for _, m := range msgs {
		waits[m.Header.Get(stream.HeaderUnit)] = true // until it is taken
	}
	late := time.NewTimer(r.patience)
	defer late.Stop()
	for len(answers) < len(msgs) {
		var m *nats.Msg
		select {
		case m = <-said:
		case <-late.C:
			if len(waits) > 0 {
				return nil, fmt.Errorf("site %s took %d of %d documents within %s: is its agent running and connected, and has it sinks?", r.site, len(msgs)-len(waits), len(msgs), r.patience)
			}
			continue
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errDown) {
				return nil, errDown
			}
			return nil, fmt.Errorf("site %s did not say in time what became of %d of %d documents: %w", r.site, len(msgs)-len(answers), len(msgs), ctx.Err())
		}
		if strings.HasSuffix(m.Subject, "."+stream.AnswerBegan) {
			if len(waits) < len(msgs) {
				return nil, fmt.Errorf("the agent of site %s was started again while it had documents", r.site)
			}
			continue // what it is to take is in DOWN
		}
		var a stream.Answer
		if json.Unmarshal(m.Data, &a) != nil {
			continue
		}
		delete(waits, a.Unit)
		if a.State != stream.AnswerTaken {
			answers[a.Unit] = a
		}
	}
	return answers, nil
}
