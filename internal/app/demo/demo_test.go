package demo

import (
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

func TestAMessageCameToWhatItShouldWhenAllItsUnitsDid(t *testing.T) {
	t.Parallel()
	applied, dead := ledger.Unit{Status: ledger.Applied}, ledger.Unit{Status: ledger.Dead}
	for name, c := range map[string]struct {
		fate   Fate
		status string
		good   bool
	}{
		"all are applied":                  {Fate{Units: []ledger.Unit{applied, applied}, want: ledger.Applied, n: 2}, "applied", true},
		"one is dead":                      {Fate{Units: []ledger.Unit{applied, dead}, want: ledger.Applied, n: 2}, "dead", false},
		"one has not come":                 {Fate{Units: []ledger.Unit{applied}, want: ledger.Applied, n: 2}, "applied", false},
		"none has come":                    {Fate{want: ledger.Applied, n: 1}, "waits", false},
		"none is to come":                  {Fate{want: ledger.Applied}, "refused", true},
		"what was refused is applied":      {Fate{Units: []ledger.Unit{applied}, want: ledger.Applied}, "applied", false},
		"what was to be skipped is":        {Fate{Units: []ledger.Unit{{Status: ledger.Skipped}}, want: ledger.Skipped, n: 1}, "skipped", true},
		"what was to be skipped is in use": {Fate{Units: []ledger.Unit{applied}, want: ledger.Skipped, n: 1}, "applied", false},
	} {
		if s, ok := c.fate.Status(), c.fate.AsWanted(); s != c.status || ok != c.good {
			t.Errorf("%s: %s, %v", name, s, ok)
		}
	}
}

func TestARecordIsNamedOnceAndContactsLast(t *testing.T) {
	t.Parallel()
	contact, order := broker.Record{Model: "res.partner", ID: 4, Made: true}, broker.Record{Model: "sale.order", ID: 2}
	var f Fate
	for range 2 {
		f.note([]ledger.Unit{{Records: []broker.Record{contact, order}}, {Records: []broker.Record{{Model: "res.partner", ID: 4}}}})
	}
	if len(f.Records) != 2 || f.Records[0] != "sale.order(2)" || f.Records[1] != "res.partner(4) new" {
		t.Error(f.Records)
	}
}
