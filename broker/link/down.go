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
)

// remap is a request on its way through its lane, whose goroutine alone sends.
type remap struct {
	request string
	parcels []*parcel
	done    chan error // room for one
}

// serveDown takes the site's commands, one at a time, until ctx is done.
func (l *Link) serveDown(ctx context.Context, js jetstream.JetStream) {
	b := newBackoff()
	var last string
	for ctx.Err() == nil {
		err := l.takeDown(ctx, js, b.Reset)
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); text != last {
			l.cfg.Logger.Warn("commands from the cloud can not be read; trying again", "err", err)
			last = text
		}
		wait(ctx, b.NextBackOff())
	}
}

func (l *Link) takeDown(ctx context.Context, js jetstream.JetStream, flows func()) error {
	c, err := js.Consumer(ctx, stream.Down, l.cfg.Bundle.Name)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		pull, cancel := context.WithTimeout(ctx, 25*time.Second)
		batch, err := c.Fetch(1, jetstream.FetchContext(pull))
		if err != nil {
			cancel()
			return err
		}
		for m := range batch.Messages() {
			l.handle(ctx, m)
		}
		cancel()
		if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
		flows()
	}
	return ctx.Err()
}

// handle carries one command out and answers it: done, again later, or never.
func (l *Link) handle(ctx context.Context, m jetstream.Msg) {
	ctx, cancel := context.WithTimeout(ctx, downTime)
	defer cancel()
	err := l.remap(ctx, m)
	var reject *broker.RejectError
	switch {
	case err == nil:
		err = m.DoubleAck(ctx)
	case errors.As(err, &reject):
		l.cfg.Logger.Error("command from the cloud refused", "class", reject.Code, "err", reject.Err)
		err = m.TermWithReason(reject.Code)
	default:
		l.cfg.Logger.Warn("command from the cloud has to wait", "err", err)
		err = m.NakWithDelay(5 * time.Second)
	}
	if err != nil && ctx.Err() == nil {
		l.cfg.Logger.Warn("command from the cloud not answered; it comes again", "err", err)
	}
}

// remap maps a message of the journal again and has its lane send the units.
// A RejectError says that the command can never be carried out.
func (l *Link) remap(ctx context.Context, m jetstream.Msg) error {
	refuse := func(code, text string) error { return &broker.RejectError{Code: code, Err: errors.New(text)} }
	tokens := strings.Split(m.Subject(), ".")
	if len(tokens) != 4 || tokens[2] != stream.DownRemap {
		return refuse("down.unknown_kind", "this agent knows remap only; a newer one may know it")
	}
	var r stream.Remap
	if len(m.Data()) > downMax || json.Unmarshal(m.Data(), &r) != nil || r.Check() != nil {
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
