package app

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker"
)

// Units maps a message of a feed as the link does.
func (a *Agent) Units(ctx context.Context, m *broker.Message) ([]*broker.Unit, error) {
	return a.feed(m.Feed).units(ctx, m)
}

// Conn is the worker's connection to the hub.
func (w *Worker) Conn() *nats.Conn { return w.nc }
