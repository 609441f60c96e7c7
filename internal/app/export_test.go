package app

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping"
)

// Units maps a message of a feed as the link does.
func (a *Agent) Units(ctx context.Context, m *broker.Message) ([]*broker.Unit, error) {
	return a.feed(m.Feed).units(ctx, m)
}

// UnitsOf returns how a feed with this mapping turns a message into units.
func UnitsOf(cfg config.Feed, m *mapping.Mapping) (func(context.Context, *broker.Message) ([]*broker.Unit, error), error) {
	f, err := newFeed(cfg, []*mapping.Mapping{m}, []byte("secret"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return f.units, nil
}

// Conn is the worker's connection to the hub.
func (w *Worker) Conn() *nats.Conn { return w.nc }
