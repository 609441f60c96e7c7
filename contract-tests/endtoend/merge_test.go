package endtoend_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app/demo"
)

// TestWhatIsSentOfTwoPatientsKeepsItsPlaceAroundTheirMerge: two workers have a
// part of the patients each, so that most merges are of one patient of each. Half of the
// merges come in one message.
func TestWhatIsSentOfTwoPatientsKeepsItsPlaceAroundTheirMerge(t *testing.T) {
	t.Parallel()
	mllp := freeAddr(t)
	s := newSystemOf(t, 2, simulated.Config{History: true}, "", "336h", fmt.Sprintf(`
  - name: adt
    target: odoo
    mappings: [ "builtin:admissions/adt-patient.map.yaml", "builtin:admissions/adt-merge.map.yaml" ]
    hl7: { listen: %q }`, mllp))
	s.waitDial(mllp)
	l, err := postgres.Open(t.Context(), s.dsn, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.wait("two workers with their halves", 60*time.Second, func() bool {
		parts, err := l.Cursors(t.Context(), "odoo")
		owners := map[string]int{}
		for _, p := range parts {
			owners[p.Owner]++
		}
		return err == nil && len(owners) == 2 && len(parts) == broker.Partitions && owners[parts[0].Owner] == broker.Partitions/2
	})

	conn, err := demo.Dial(t.Context(), mllp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent, units := 0, 0
	send := func(event, pid, mrg string) {
		t.Helper()
		sent++
		units++
		structure := map[string]string{"A40": "ADT_A39"}[event]
		if structure == "" {
			structure = "ADT_A01"
		}
		body := fmt.Sprintf("MSH|^~\\&|REG|NORTH|VAGUS|CLOUD|20260401||ADT^%s^%s|M%04d|P|2.5.1\rEVN|%s|20260401\rPID|1||%s\r%s", event, structure, sent, event, pid, mrg)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if code, _, err := conn.Send(ctx, []byte(body)); err != nil || code != "AA" && code != "CA" {
			t.Fatalf("message %d is answered %q, %v", sent, code, err)
		}
	}
	const pairs = 12
	name := func(pair int, which string, version int) string {
		return fmt.Sprintf("P%02d%s%d", pair, which, version)
	}
	const alone = pairs / 2
	patient := func(pair int, which string, version int) string {
		return fmt.Sprintf("%s%02d^^^NORTH^MR||Miller^%s", which, pair, name(pair, which, version))
	}
	for _, step := range []func(int){
		func(n int) { send("A01", patient(n, "Old", 1), "") },
		func(n int) { send("A01", patient(n, "New", 1), "") },
		func(n int) { send("A08", patient(n, "Old", 2), "") },
		func(n int) { send("A08", patient(n, "New", 2), "") },
		func(n int) {
			gone := func(n int) string { return fmt.Sprintf("MRG|Old%02d^^^NORTH^MR\r", n) }
			switch {
			case n < alone:
				send("A40", patient(n, "New", 3), gone(n))
			case n == alone:
				all := gone(n)
				for n++; n < pairs; n++ {
					all += "PID|1||" + patient(n, "New", 3) + "\r" + gone(n)
					units++
				}
				send("A40", patient(alone, "New", 3), all)
			}
		},
		func(n int) { send("A08", patient(n, "New", 4), "") },
		func(n int) { send("A08", patient(n, "Old", 5), "") }, // by its old number still: it is the same patient now
	} {
		for n := range pairs {
			step(n)
		}
	}
	s.wait("all being applied", 90*time.Second, func() bool {
		us, err := l.Units(t.Context(), ledger.Filter{Status: []ledger.Status{ledger.Applied}, Limit: 1000})
		return err == nil && len(us) == units
	})

	got := make([][]string, pairs) // what happened to each pair, in order
	pairOf := map[int64]int{}
	for _, e := range s.odoo.Effects() {
		if e.Model != "res.partner" {
			continue
		}
		if given, _ := e.Values["name"].(string); strings.HasPrefix(given, "P") {
			var n int
			if _, err := fmt.Sscanf(given, "P%02d", &n); err != nil {
				t.Fatal(err)
			}
			pairOf[e.ID] = n
			what, _, _ := strings.Cut(given, " ")
			got[n] = append(got[n], what)
		}
		if n, ours := pairOf[e.ID]; ours && e.Kind == "unlink" {
			got[n] = append(got[n], "merge")
		}
	}
	for n, events := range got {
		at := map[string]int{}
		for i, e := range events {
			at[e] = i + 1
		}
		for _, pair := range [][2]string{
			{name(n, "Old", 1), name(n, "Old", 2)}, {name(n, "New", 1), name(n, "New", 2)}, {name(n, "Old", 2), "merge"}, {name(n, "New", 2), "merge"},
			{"merge", name(n, "New", 4)}, {"merge", name(n, "Old", 5)},
		} {
			if a, b := at[pair[0]], at[pair[1]]; a == 0 || b < a {
				t.Errorf("pair %d: %s does not come before %s: %v", n, pair[0], pair[1], events)
			}
		}
		old, stays := s.xid(fmt.Sprintf("NORTH_Old%02d", n)), s.xid(fmt.Sprintf("NORTH_New%02d", n))
		if old == 0 || old != stays {
			t.Errorf("pair %d: the numbers are of the contacts %d and %d", n, old, stays)
		}
	}
}

// xid returns the contact of a patient, 0 if there is none.
func (s *system) xid(patient string) int64 {
	r, _ := s.odoo.ByXID("vagus.patient_" + patient)
	return r.ID
}
