package app

import (
	"context"
	"path/filepath"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
)

// newX12 makes the receiver of a feed.
func newX12(cfg config.Feed, origin broker.Origin, dataDir string, b *base) (*x12.Receiver, error) {
	c := *cfg.X12
	var err error
	if c.Register, err = b.controlNumbers(dataDir); err != nil {
		return nil, err
	}
	c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
	return x12.NewReceiver(origin, c)
}

// controlNumbers is the register of the site, opened for the first that needs it:
// to one partner all feeds, and what goes out, count together.
func (b *base) controlNumbers(dataDir string) (*x12.Register, error) {
	if b.x12 != nil {
		return b.x12, nil
	}
	r, err := x12.OpenRegister(filepath.Join(dataDir, "x12"))
	if err != nil {
		return nil, err
	}
	b.x12 = r
	b.onStop("control numbers", func(context.Context) error { return r.Close() })
	return r, nil
}
