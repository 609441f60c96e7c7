package app

import (
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping"
)

// outbound says whether a mapping that makes documents of records is for the
// feed: its model is among those that the feed reads. That the feed does not read what
// the mapping needs is an error.
func outbound(cfg config.Feed, m *mapping.Mapping) (bool, error) {
	rec := m.Record()
	if cfg.Odoo == nil {
		return false, nil
	}
	for _, model := range cfg.Odoo.Models {
		if model.Model != rec.Model {
			continue
		}
		fields, watch := model.Covers(rec.Fields, trigger(rec))
		switch {
		case len(fields) > 0:
			return false, fmt.Errorf("feed %s: mapping %s reads %s of %s, which the feed does not: add it to odoo.models[].fields", cfg.Name, m.ID, strings.Join(fields, ", "), rec.Model)
		case len(watch) > 0:
			return false, fmt.Errorf("feed %s: mapping %s runs when %s of %s becomes something: add it to odoo.models[].watch", cfg.Name, m.ID, strings.Join(watch, ", "), rec.Model)
		}
		return true, nil
	}
	return false, nil
}

func trigger(rec *mapping.Record) odoo.Trigger {
	return odoo.Trigger{Model: rec.Model, On: rec.On, Becomes: rec.Becomes}
}

// takes says whether a message is a change that a reading's mappings want.
func (r *reading) takes(m *broker.Message) bool {
	rec := r.mappings[0].Record()
	return rec == nil || trigger(rec).Fires(m.Body)
}

// operations are what a mapping's result asks of the target. A document that its
// format can not say is a dead letter.
func operations(mp *mapping.Mapping, r mapping.Result) ([]broker.Operation, error) {
	if r.Document == nil {
		return r.Ops, nil
	}
	op, err := mp.Emission(r.Document)
	if err != nil {
		return nil, err
	}
	return []broker.Operation{op}, nil
}
