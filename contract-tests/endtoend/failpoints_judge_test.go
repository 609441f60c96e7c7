package endtoend_test

import (
	"bytes"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

func (s *system) ackedSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

// settle waits until all admissions that were acknowledged are applied.
func (s *system) settle() {
	s.t.Helper()
	api := s.api()
	s.wait("all that was acknowledged being applied", 90*time.Second, func() bool {
		units, err := s.units(api)
		if err != nil {
			return false
		}
		for _, m := range s.acked {
			if us := units[m.ControlID]; len(us) == 0 || us[0].Status != ledger.Applied {
				return false
			}
		}
		return true
	})
}

// judge has the auditor judge what became of the admissions. exactly says that the target
// promises each effect once; otherwise one whose answer was lost by a death may come again, in its place.
func (s *system) judge(d *deaths, exactly bool) {
	s.t.Helper()
	s.settle()
	units, err := s.units(s.api())
	if err != nil {
		s.t.Fatal(err)
	}
	var text bytes.Buffer
	h := audit.NewWriter(&text)
	h.Add(audit.Line{Run: &audit.Run{Exactly: exactly, Grace: 15 * time.Second}})
	for _, l := range d.of(s.t) {
		h.Add(audit.Line{At: h.Since(l.at), Fault: &audit.Fault{Name: l.who, End: l.end}})
	}
	for _, m := range s.offered {
		patient := "patient " + m.MRN
		h.Add(audit.Line{Offer: &audit.Offer{Message: m.ControlID, Feed: "adt", SenderID: m.ControlID, Thing: patient, Version: m.Version, Also: []string{"kin of " + patient}, Want: audit.Applied}})
	}
	for _, m := range s.acked {
		h.Add(audit.Line{Answer: &audit.Answer{Messages: []string{m.ControlID}, OK: true}})
	}
	for _, us := range units {
		for _, u := range us {
			row := &audit.Unit{ID: u.ID, Feed: u.Feed, SenderID: u.SenderID, Status: string(u.Status), Class: u.Class, Reason: u.Reason}
			for _, r := range u.Records {
				row.Records = append(row.Records, audit.Ref{Model: r.Model, ID: r.ID})
			}
			h.Add(audit.Line{Unit: row})
		}
	}
	for _, e := range s.odoo.Effects() {
		if e.Model == "res.partner" {
			h.Add(audit.Line{At: h.Since(e.At), Effect: &audit.Effect{Ref: audit.Ref{Model: e.Model, ID: e.ID}, Kind: e.Kind, Values: e.Values}})
		}
	}
	for _, r := range s.odoo.Records("res.partner") {
		ref, _ := r.Values["ref"].(string)
		parent, _ := r.Values["parent_id"].(int64)
		h.Add(audit.Line{Record: &audit.Record{Ref: audit.Ref{Model: "res.partner", ID: r.ID}, Values: r.Values, Before: ref == "" && parent == 0}})
	}
	if err := h.Flush(); err != nil {
		s.t.Fatal(err)
	}
	lines, err := audit.Read(&text)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := audit.Judge(lines)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%d offered, %d acknowledged, %d applied, %d changes, %d repeated near a death", v.Offered, v.Acknowledged, v.Applied, v.Changes, v.Repeated)
	for i, w := range v.Violations {
		if i == 20 {
			s.t.Fatalf("and %d more", len(v.Violations)-i)
		}
		s.t.Errorf("%s: %s", w.Rule, w.Text)
	}
	if v.Acknowledged == 0 {
		s.t.Error("nothing was acknowledged: the scenario is broken")
	}
}

// A turn is the end of a process, or its start after that.
type turn struct {
	at  time.Time
	who string
	end bool // of its absence
}

func (d *deaths) turn(p *process, end bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turns[p.t] = append(d.turns[p.t], turn{time.Now(), p.conf, end})
}
