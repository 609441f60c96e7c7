package app

import (
	"errors"
	"net"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/internal/config"
)

// A listener is a source that senders connect to.
type listener interface {
	broker.Source
	Addr() net.Addr // nil before it listens
}

// newSource is the registry of sources: one case for each connector.
func newSource(cfg config.Feed, who *link.Bundle, b *base) (listener, error) {
	switch {
	case cfg.HL7 != nil:
		c := *cfg.HL7
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		return hl7.New(hl7.Feed{Tenant: who.Tenant, Site: who.Name, Feed: cfg.Name}, c)
	}
	return nil, errors.New("feed " + cfg.Name + " has no connector")
}

// feedFormat is the format of the messages that a feed's connector receives.
func feedFormat(cfg config.Feed) string {
	if cfg.HL7 != nil {
		return hl7.NewFormat().Name()
	}
	return ""
}

// newTarget is the registry of targets.
func newTarget(name string, cfg config.Target, b *base) (broker.Target, error) {
	switch {
	case cfg.Odoo != nil:
		c := *cfg.Odoo
		c.Logger, c.Tracer, c.Meter = b.log.With("target", name), b.tracer(), b.meter()
		if cfg.Concurrency > 0 {
			c.Concurrency = cfg.Concurrency
		}
		return odoo.New(c)
	}
	return nil, errors.New("target " + name + " has no connector")
}
