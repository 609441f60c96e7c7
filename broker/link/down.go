package link

import (
	"context"
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

const (
	downMax  = 64 << 10         // bytes of a command
	downTime = 20 * time.Second // for one command; the hub gives it again after 30 s
	pullTime = 25 * time.Second // how long the hub keeps a question open
)

// remap is a request on its way through its lane, whose goroutine alone sends.
type remap struct {
	request string
	parcels []*parcel
	done    chan error // room for one
}

// serveDown takes what one of the site's consumers in DOWN has, one message at a
// time, until ctx is done. It speaks the pull protocol itself (JetStream API,
// CONSUMER.MSG.NEXT): a library asks for the consumer's description first, which
// a site may not.
func (l *Link) serveDown(ctx context.Context, nc *nats.Conn, consumer string, handle func(context.Context, *nats.Conn, *nats.Msg)) {
	b := newBackoff()
	var last string
	for ctx.Err() == nil {
		err := l.takeDown(ctx, nc, consumer, handle, b.Reset)
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); text != last {
			l.cfg.Logger.Warn("what the cloud sends down can not be read; trying again", "consumer", consumer, "err", err)
			last = text
		}
		wait(ctx, b.NextBackOff())
	}
}

func (l *Link) takeDown(ctx context.Context, nc *nats.Conn, consumer string, handle func(context.Context, *nats.Conn, *nats.Msg), flows func()) error {
	wire, cut := whileConnected(ctx, nc)
	defer cut()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	next := "$JS.API.CONSUMER.MSG.NEXT." + stream.Down + "." + consumer
	ask := fmt.Appendf(nil, `{"batch":1,"expires":%d}`, pullTime)
	for wire.Err() == nil {
		if err := nc.PublishRequest(next, inbox, ask); err != nil {
			return err
		}
		// Whatever comes is the answer: a message, or a status such as 408, nothing came.
		pull, cancel := context.WithTimeout(wire, pullTime+5*time.Second)
		m, err := sub.NextMsgWithContext(pull)
		cancel()
		if err != nil {
			return errors.Join(err, context.Cause(wire))
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			handle(wire, nc, m)
		case "404", "408":
		default:
			return fmt.Errorf("status %s %s", status, m.Header.Get("Description"))
		}
		flows()
	}
	return context.Cause(wire)
}

// handle carries one command out and answers it: done, again later, or never.
func (l *Link) handle(ctx context.Context, nc *nats.Conn, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(ctx, downTime)
	defer cancel()
	err := l.remap(ctx, m)
	atCommanded.Hit()
	answer := "+ACK"
	var reject *broker.RejectError
	switch {
	case errors.As(err, &reject):
		l.cfg.Logger.Error("command from the cloud refused", "class", reject.Code, "err", reject.Err)
		answer = "+TERM " + reject.Code
	case err != nil:
		l.cfg.Logger.Warn("command from the cloud has to wait", "err", err)
		answer = fmt.Sprintf(`-NAK {"delay":%d}`, 5*time.Second)
	}
	// With a reply subject the hub confirms that it knows.
	if _, err := nc.RequestWithContext(ctx, m.Reply, []byte(answer)); err != nil && ctx.Err() == nil {
		l.cfg.Logger.Warn("command from the cloud not answered; it comes again", "err", err)
	}
}

// remap maps a message of the journal again and has its lane send the units.
// A RejectError says that the command can never be carried out.
func (l *Link) remap(ctx context.Context, m *nats.Msg) error {
	refuse := func(code, text string) error { return &broker.RejectError{Code: code, Err: errors.New(text)} }
	tokens := strings.Split(m.Subject, ".")
	if len(tokens) != 4 || tokens[2] != stream.DownRemap {
		return refuse("down.unknown_kind", "this agent knows remap only; a newer one may know it")
	}
	var r stream.Remap
	if len(m.Data) > downMax || json.Unmarshal(m.Data, &r) != nil || r.Check() != nil {
		return refuse("down.malformed", "it is not a remap request")
	}
	ln := l.lanes[r.Feed]
	if ln == nil {
		return refuse("down.unknown_feed", "this site has no such feed")
	}
	e, err := l.cfg.Journal.Find(ctx, r.Feed, broker.ShortID(r.Message))
	if errors.Is(err, ErrNotFound) || err == nil && e.ID != r.Message {
		return refuse("down.not_in_journal", "the journal has this message no longer; its retention is over")
	}
	if err != nil {
		return err
	}
	parcels, err := ln.mapEntry(ctx, e)
	if err != nil {
		return err
	}
	atRemapped.Hit()
	job := &remap{request: r.Request, parcels: parcels, done: make(chan error, 1)}
	select {
	case ln.remaps <- job:
	case <-ctx.Done():
		return fmt.Errorf("lane %s does not flow: %w", r.Feed, ctx.Err())
	}
	return <-job.done
}

// sendRemap sends the units of a request, each by itself: some may be there
// already from an attempt whose answer was lost.
func (l *lane) sendRemap(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, r *remap) error {
	limit := nc.MaxPayload()
	for _, p := range r.parcels {
		if int64(p.size) > limit {
			small, err := l.tooLarge(ctx, p)
			if err != nil {
				return err
			}
			p = small
		}
		p.asRemap(r.request, l.position())
		_, err := l.publishOne(ctx, js, p)
		p.span.End()
		if err != nil {
			return err
		}
		l.link.metrics.units.Add(ctx, 1, l.attr)
	}
	return nil
}
