package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/dicom"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/ldap"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/scim"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// Formats are the message formats that mappings may name.
func Formats() []tree.Format {
	return []tree.Format{
		dicom.Format{},
		fhir.NewFormat(),
		hl7.NewFormat(),
		ldap.Format{},
		odoo.Format{},
		scim.Format{},
		tabular.CSV{},
		tabular.Fixed{},
		webhook.Format{},
		x12.Format{},
	}
}

// A feed turns its messages into units: it decodes them and asks each of its
// mappings. Safe for concurrent use.
type feed struct {
	name     string
	target   string
	lane     string
	readings []*reading
	sound    func(*broker.Message) error // nil: what the source takes is as it should be
	secret   []byte                      // of ordering keys
	log      *slog.Logger
}

// A reading is one way to decode a message: that of the mappings that declare
// the same source.
type reading struct {
	format   string
	source   tree.Declaration
	dialect  tree.Dialect
	reads    tree.Selection // what its mappings read
	mappings []*mapping.Mapping
}

// add puts a mapping where its source is decoded.
func (f *feed) add(m *mapping.Mapping) {
	for _, r := range f.readings {
		// A mapping of documents has a dialect, and a trigger, of its own.
		if m.Record() == nil && r.mappings[0].Record() == nil && r.format == m.Format && reflect.DeepEqual(r.source, m.Source) {
			r.reads.AddAll(m.Reads())
			r.mappings = append(r.mappings, m)
			return
		}
	}
	r := &reading{format: m.Format, source: m.Source, dialect: m.Dialect, reads: tree.Selection{}, mappings: []*mapping.Mapping{m}}
	r.reads.AddAll(m.Reads())
	f.readings = append(f.readings, r)
}

// newFeed makes a feed that runs those mappings that are for the format which
// it receives: a directory or a bundle may serve several feeds.
func newFeed(cfg config.Feed, ms []*mapping.Mapping, secret []byte, log *slog.Logger) (*feed, error) {
	f := &feed{name: cfg.Name, target: cfg.Target, lane: cfg.Lane, secret: secret, log: log.With("feed", cfg.Name)}
	if cfg.FHIR != nil {
		f.sound = cfg.FHIR.Check
	}
	format := feedFormat(cfg)
	for _, m := range ms {
		if m.Format != format {
			continue
		}
		if m.Record() != nil {
			if ok, err := outbound(cfg, m); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		f.add(m)
	}
	if len(f.readings) == 0 {
		return nil, fmt.Errorf("feed %s receives %s, and none of its mappings is for that", cfg.Name, format)
	}
	return f, nil
}

// dialects returns the ways in which the feed's mappings read a message.
func (f *feed) dialects() (all []tree.Dialect) {
	for _, r := range f.readings {
		all = append(all, r.dialect)
	}
	return all
}

// units returns what a message means: one unit for each mapping that wants it,
// or, so that the ledger hears of every message, one that says why there is
// none. It fails only when ctx is done.
func (f *feed) units(ctx context.Context, m *broker.Message) ([]*broker.Unit, error) {
	var units []*broker.Unit
	err := f.each(ctx, m, func(mp *mapping.Mapping, r mapping.Result) error {
		for _, w := range r.Warnings { // what a mapping leaves out on purpose, somebody must be able to find; the text names places only
			f.log.Info("mapping left something out", "message", broker.ShortID(m.ID), "mapping", mp.ID, "code", w.Code, "what", w.Text)
		}
		u := f.unit(m, mp.ID, r.Verdict, r.Class, r.Reason)
		u.Mapping = mp.String()
		u.OnDeadLetter = mp.OnDeadLetter
		u.Atomic = mp.Unit == "atomic"
		u.Key = broker.OrderingKey(f.secret, r.Ordering)
		for _, k := range r.OtherOrdering {
			u.OtherKeys = append(u.OtherKeys, broker.OrderingKey(f.secret, k))
		}
		u.Idempotency = broker.OrderingKey(f.secret, r.Idempotency)
		if u.Verdict == broker.Reject { // it has been acknowledged: a person must see it
			u.Verdict = broker.DeadLetter
		}
		if u.Verdict == broker.Apply {
			var err error
			if u.Ops, err = operations(mp, r); err != nil {
				u.Verdict, u.Class, u.Reason = broker.DeadLetter, "mapping.encode", err.Error()
			}
		}
		units = append(units, u)
		return nil
	})
	var unread *broker.RejectError
	switch {
	case errors.As(err, &unread):
		return []*broker.Unit{f.unit(m, "", broker.DeadLetter, unread.Code, unread.Err.Error())}, nil
	case err != nil:
		return nil, err
	case len(units) == 0:
		return []*broker.Unit{f.unit(m, "", broker.Skip, "mapping.not_mine", "no mapping of feed "+f.name+" takes this "+m.Kind+": source.when of none lets it in")}, nil
	}
	return units, nil
}

// each runs the mappings that want a message. A message that is not sound, or
// can not be decoded, is a *broker.RejectError.
func (f *feed) each(ctx context.Context, m *broker.Message, got func(*mapping.Mapping, mapping.Result) error) error {
	if f.sound != nil {
		if err := f.sound(m); err != nil {
			return err
		}
	}
	for _, as := range f.readings {
		if !as.takes(m) {
			continue
		}
		decoded, err := as.dialect.Decode(m.Body, as.reads)
		if err != nil {
			return &broker.RejectError{Code: as.format + ".malformed", Err: err}
		}
		for _, mp := range as.mappings {
			if !mp.Matches(decoded) {
				continue
			}
			r := mp.Run(ctx, decoded)
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := got(mp, r); err != nil {
				return err
			}
		}
		decoded.Free()
	}
	return nil
}

func (f *feed) unit(m *broker.Message, mappingID string, v broker.Verdict, class, reason string) *broker.Unit {
	return &broker.Unit{
		ID: broker.NewUnitID(m.ID, mappingID), MessageID: m.ID, Tenant: m.Tenant, Site: m.Site, Feed: m.Feed, Target: f.target, Lane: f.lane,
		Kind: m.Kind, SenderID: m.SenderID, Verdict: v, Class: class, Reason: reason,
		ReceivedAt: m.ReceivedAt, MappedAt: time.Now().UTC(), Trace: m.Trace,
	}
}

// check is what `validate: before-ack` asks: the error tells the sender why
// its message would be rejected.
func (f *feed) check(ctx context.Context, ms ...*broker.Message) error {
	for _, m := range ms {
		err := f.each(ctx, m, func(_ *mapping.Mapping, r mapping.Result) error {
			if r.Verdict == broker.Reject {
				return &broker.RejectError{Code: r.Class, Err: errors.New(r.Reason)}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
