package app

import (
	"cmp"
	"context"
	"errors"
	"net"
	"path/filepath"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/sftp"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/tree"
)

// A source is a feed's connector at work.
type source struct {
	broker.Source
	addr    func() net.Addr // where senders connect: nil before it listens, and where nobody connects
	ready   func() bool     // it receives
	problem func() string   // what keeps it from that, or ""
	reads   string          // what it reads, when it is not sent to
}

// newSource is the registry of sources and transports: one case for each. What carries
// any format brings it to the feed's receiver. declared returns what the feed's mappings declare.
func newSource(cfg config.Feed, origin broker.Origin, dataDir string, declared func() []tree.Dialect, b *base) (source, error) {
	switch {
	case cfg.HL7 != nil && cfg.HL7.Listen != "":
		c := *cfg.HL7
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		s, err := hl7.New(origin, c)
		if err != nil {
			return source{}, err
		}
		return source{s, s.Addr, func() bool { return s.Addr() != nil }, func() string { return "" }, ""}, nil
	case cfg.Odoo != nil:
		c := *cfg.Odoo
		c.UserAgent = cmp.Or(c.UserAgent, "vagus/"+b.version)
		c.Dir = filepath.Join(dataDir, "odoo", cfg.Name)
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		s, err := odoo.NewSource(origin, c)
		if err != nil {
			return source{}, err
		}
		return source{s, s.Addr, s.Ready, s.Problem, "Odoo"}, nil
	case cfg.FHIR != nil:
		c := *cfg.FHIR
		c.UserAgent = cmp.Or(c.UserAgent, "vagus/"+b.version)
		c.Dir = filepath.Join(dataDir, "fhir", cfg.Name)
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		s, err := fhir.New(origin, c)
		if err != nil {
			return source{}, err
		}
		reads := ""
		if c.Server != nil {
			reads = "a FHIR server"
		}
		return source{s, s.Addr, s.Ready, s.Problem, reads}, nil
	}
	receiver, err := newReceiver(cfg, origin, dataDir, b, declared)
	if err != nil {
		return source{}, err
	}
	switch {
	case cfg.Folder != nil:
		c := *cfg.Folder
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		s, err := folder.New(cfg.Name, c, folder.Local(c.Dir), receiver)
		if err != nil {
			return source{}, err
		}
		return source{s, nobody, always, s.Problem, "a folder"}, nil
	case cfg.SFTP != nil:
		server, c := cfg.SFTP.Server, cfg.SFTP.Folder
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		server.Logger = b.log.With("feed", cfg.Name)
		files, err := b.sftp("feed "+cfg.Name, server, c.Dir)
		if err != nil {
			return source{}, err
		}
		s, err := folder.New(cfg.Name, c, files, receiver)
		if err != nil {
			return source{}, err
		}
		return source{s, nobody, always, s.Problem, "an SFTP server"}, nil
	case cfg.HTTP != nil:
		c := *cfg.HTTP
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		s, err := webhook.New(cfg.Name, c, receiver)
		if err != nil {
			return source{}, err
		}
		return source{s, s.Addr, func() bool { return s.Addr() != nil }, func() string { return "" }, ""}, nil
	}
	return source{}, errors.New("feed " + cfg.Name + " has no connector")
}

// sftp returns a client whose connection ends with the process, after what uses it.
func (b *base) sftp(whose string, c sftp.Config, dir string) (*sftp.Client, error) {
	files, err := sftp.New(c, dir)
	if err == nil {
		b.onStop(whose+"'s connection", func(context.Context) error { return files.Close() })
	}
	return files, err
}

// A source to which nobody connects.
func nobody() net.Addr { return nil }

// A source that waits by itself for what it reads.
func always() bool { return true }

// newReceiver is the registry of formats that any transport carries: one case for each.
func newReceiver(cfg config.Feed, origin broker.Origin, dataDir string, b *base, declared func() []tree.Dialect) (broker.Receiver, error) {
	switch {
	case cfg.HL7 != nil:
		c := *cfg.HL7
		c.Logger, c.Tracer, c.Meter = b.log, b.tracer(), b.meter()
		return hl7.NewReceiver(origin, c)
	case cfg.Tabular != nil:
		return tabular.NewReceiver(origin, *cfg.Tabular, declared)
	case cfg.JSON != nil:
		return webhook.NewReceiver(origin, *cfg.JSON)
	case cfg.X12 != nil:
		return newX12(cfg, origin, dataDir, b)
	}
	return nil, errors.New("feed " + cfg.Name + " has no format that a transport carries")
}

// feedFormat is the format of the messages that a feed receives.
func feedFormat(cfg config.Feed) string {
	switch {
	case cfg.HL7 != nil:
		return hl7.NewFormat().Name()
	case cfg.Odoo != nil:
		return odoo.Format{}.Name()
	case cfg.FHIR != nil:
		return fhir.NewFormat().Name()
	case cfg.JSON != nil:
		return webhook.Format{}.Name()
	case cfg.Tabular != nil:
		return cfg.Tabular.FormatName()
	case cfg.X12 != nil:
		return x12.Format{}.Name()
	}
	return ""
}
