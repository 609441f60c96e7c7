package link

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/stream"
)

// An Event is what an agent tells other programs of itself.
type Event struct {
	ID   string // tells a repeat
	What string // two tokens, "mappings.taken"
	Time time.Time
	Data []byte // JSON, nothing of a message in it
}

// Tell publishes an event to EVENTS: CloudEvents 1.0, binary content mode of
// the NATS protocol binding, as the worker publishes outcomes. It returns nil when the
// hub has it; while the link is down it returns an error at once. Telling one
// again within the hub's window for duplicates (2 minutes) has no effect.
func (l *Link) Tell(ctx context.Context, e Event) error {
	l.mu.Lock()
	nc := l.nc
	l.mu.Unlock()
	if nc == nil || !nc.IsConnected() {
		return fmt.Errorf("link: event %s: %w", e.What, nats.ErrConnectionClosed)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("link: event %s: %w", e.What, err)
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AckTimeout)
	defer cancel()
	site := l.cfg.Bundle.Name
	m := &nats.Msg{Subject: stream.AgentEvent(site, e.What), Data: e.Data, Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {e.ID}, "ce-source": {"/vagus/site/" + site}, "ce-type": {"health.vagus." + e.What},
		"ce-time": {e.Time.UTC().Format(time.RFC3339Nano)}, "content-type": {"application/json"}}}
	if _, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(e.ID), jetstream.WithExpectStream(stream.Events)); err != nil {
		return fmt.Errorf("link: event %s: %w", e.What, err)
	}
	return nil
}
