package endtoend_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/ops"
)

// The last part of a patient's street2 is the version of its data, so that the
// order of what was applied shows at the target.
var version = regexp.MustCompile(` v(\d+)$`)

func versionOf(values map[string]any) int {
	street, _ := values["street2"].(string)
	m := version.FindStringSubmatch(street)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// audit waits until everything that was acknowledged is settled and then holds
// it against the ledger and Odoo:
//
//   - every acknowledged message is in the ledger once, applied (or, if its
//     patient is poisoned, parked or dead);
//   - a patient is one record in Odoo, made once, and says what the patient's
//     last message said;
//   - no write ever took a patient back to an earlier version;
//   - nothing is in Odoo that no message asked for, and the records that the
//     ledger names are those that Odoo has.
func (s *system) audit(limit time.Duration, poisoned map[string]bool) {
	s.t.Helper()
	s.mu.Lock()
	acked := append(s.acked[:0:0], s.acked...)
	s.mu.Unlock()
	last, want := map[string]int{}, map[string]bool{}
	for _, m := range acked {
		last[m.MRN] = max(last[m.MRN], m.Version)
		if !poisoned[m.MRN] {
			want[m.ControlID] = true
		}
	}
	if len(want) == 0 {
		s.t.Fatal("nothing was acknowledged: the scenario is broken")
	}
	api := s.api()
	var units map[string][]ledger.Unit
	s.wait(fmt.Sprintf("%d acknowledged messages being applied", len(want)), limit, func() bool {
		var err error
		if units, err = s.units(api); err != nil {
			return false
		}
		for id := range want {
			if len(units[id]) == 0 || units[id][0].Status != ledger.Applied {
				return false
			}
		}
		return true
	})
	for _, m := range acked {
		if n := len(units[m.ControlID]); n != 1 {
			s.t.Errorf("message %s is %d times in the ledger", m.ControlID, n)
		}
		if u := units[m.ControlID]; poisoned[m.MRN] && len(u) == 1 && u[0].Status != ledger.Parked && u[0].Status != ledger.Dead {
			s.t.Errorf("message %s of a poisoned patient is %s", m.ControlID, u[0].Status)
		}
	}

	byRef := map[string][]simulated.Record{}
	byID := map[int64]simulated.Record{}
	for _, r := range s.odoo.Records("res.partner") {
		byID[r.ID] = r
		if ref, _ := r.Values["ref"].(string); ref != "" {
			byRef[ref] = append(byRef[ref], r)
		}
	}
	for mrn, v := range last {
		rs := byRef[mrn]
		switch {
		case poisoned[mrn]:
			continue
		case len(rs) != 1:
			s.t.Errorf("a patient is %d records in Odoo", len(rs))
		case versionOf(rs[0].Values) != v:
			s.t.Errorf("a patient is at version %d in Odoo, its last acknowledged message was version %d", versionOf(rs[0].Values), v)
		}
	}
	for mrn := range byRef {
		if last[mrn] == 0 && !s.sentUnacked {
			s.t.Error("Odoo has a patient that no message was acknowledged for")
		}
	}
	for id, us := range units {
		for _, u := range us {
			if u.Status != ledger.Applied {
				continue
			}
			if len(u.Records) == 0 {
				s.t.Errorf("message %s is applied and names no record", id)
			}
			for _, r := range u.Records {
				if _, there := byID[r.ID]; !there || r.Model != "res.partner" {
					s.t.Errorf("message %s is applied to %s(%d), and Odoo has no such record", id, r.Model, r.ID)
				}
			}
		}
	}
	at, made := map[int64]int{}, map[string]int{}
	for _, e := range s.odoo.Effects() {
		if e.Model != "res.partner" || len(e.XIDs) == 0 {
			continue
		}
		if e.Kind == "create" {
			made[e.XIDs[0]]++
			if made[e.XIDs[0]] > 1 {
				s.t.Error("an external id was made twice in Odoo")
			}
		}
		if v := versionOf(e.Values); v != 0 {
			if v < at[e.ID] {
				s.t.Errorf("a record went back from version %d to %d", at[e.ID], v)
			}
			at[e.ID] = v
		}
	}
}

// units returns all that the ledger has, by the sender's control id.
func (s *system) units(api *ops.Client) (map[string][]ledger.Unit, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	all := map[string][]ledger.Unit{}
	var q ops.Query
	q.Limit = 1000
	for {
		page, err := api.Messages(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Messages {
			all[u.SenderID] = append(all[u.SenderID], u)
		}
		if page.Next == "" {
			return all, nil
		}
		q.Before = page.Next
	}
}
