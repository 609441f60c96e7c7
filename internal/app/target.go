package app

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/worker"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
)

// newTarget is the registry of a worker's targets. nc is the worker's
// connection to the hub.
func newTarget(name string, cfg config.Target, nc *nats.Conn, b *base) (broker.Target, error) {
	switch {
	case cfg.Odoo != nil:
		c := *cfg.Odoo
		c.UserAgent = cmp.Or(c.UserAgent, "vagus/"+b.version)
		c.Logger, c.Tracer, c.Meter = b.log.With("target", name), b.tracer(), b.meter()
		if cfg.Concurrency > 0 {
			c.Concurrency = cfg.Concurrency
		}
		return odoo.New(c)
	case cfg.At != "":
		return link.NewRemote(nc, cfg.Site, cfg.At)
	}
	return newSink(name, cfg.Outlet, "", b)
}

// newSink is the registry of systems that take documents: one case for each
// connector. dataDir is a site's, "" at a worker, which keeps nothing.
func newSink(name string, cfg config.Outlet, dataDir string, b *base) (broker.Target, error) {
	switch {
	case cfg.HL7 != nil:
		c := *cfg.HL7
		c.Logger, c.Meter = b.log.With("sink", name), b.meter()
		return hl7.NewSink(c)
	case cfg.FHIR != nil:
		c := *cfg.FHIR
		c.UserAgent = cmp.Or(c.UserAgent, "vagus/"+b.version)
		c.Logger, c.Meter = b.log.With("sink", name), b.meter()
		return fhir.NewSink(c)
	case cfg.X12 != nil && dataDir != "":
		c := cfg.X12.Partner
		var err error
		if c.Register, err = b.controlNumbers(dataDir); err != nil {
			return nil, err
		}
		switch {
		case cfg.X12.HTTP != nil:
			post := *cfg.X12.HTTP
			post.UserAgent = "vagus/" + b.version
			to, err := x12.NewPost(post)
			if err != nil {
				return nil, err
			}
			return x12.NewSink(c, to)
		case cfg.X12.SFTP == nil:
			return x12.NewSink(c, folder.Local(cfg.X12.Folder))
		}
		server := cfg.X12.SFTP.Server
		server.Logger = b.log.With("sink", name)
		files, err := b.sftp("sink "+name, server, cfg.X12.SFTP.Dir)
		if err != nil {
			return nil, err
		}
		return x12.NewSink(c, files)
	}
	return nil, errors.New(name + " has no connector")
}

// remoteBatch is how many documents are given to a site at once: its sink takes
// them one by one, and all are to be answered within one call.
const remoteBatch = 10

// targetConfig is how a worker treats a target. A sink that it reaches by itself is
// called for one document at a time: what it has delivered when it fails is
// known then.
func targetConfig(c config.Target, t broker.Target) worker.TargetConfig {
	batch := c.Batch
	switch {
	case c.At != "":
		batch = cmp.Or(batch, remoteBatch)
	case c.Odoo == nil:
		batch = 1
	}
	return worker.TargetConfig{Target: t, Batch: batch, Concurrency: c.Concurrency, Lanes: c.Lanes, RetryMin: c.RetryMin, RetryMax: c.RetryMax, MaxAttempts: c.MaxAttempts, DeferFor: c.DeferFor}
}

// closeAtTheEnd ends the connections of what has some, after all that uses it.
func (p *parts) closeAtTheEnd(name string, t broker.Target) {
	if c, ok := t.(io.Closer); ok {
		p.onStop(name, func(context.Context) error { return c.Close() })
	}
}
