package endtoend_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/internal/app/demo"
)

// registration is a mapping of admissions with what the shipped one has not: a field
// for known records only, so that a unit announces what it makes.
const registration = `kind: mapping
format: 1
id: registration
version: %d
title: A patient and the next of kin
owner: tests
source: { format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT } }
target: { odoo: "18.0", snapshot: %s }
ordering: "{PID-3[5=MR].1}"
idempotency: ["{MSH-10}"]
unit: resumable
on_error: dead_letter
egress: { allow: [name, contact, identifier, admin] }
operations:
  - id: patient
    model: res.partner
    do: upsert
    match: { xid: "vagus.patient_NORTH_{PID-3[5=MR].1}" }
    fields:
      name: PID-5[first].1.1
      ref: PID-3[5=MR].1
      street2: PID-11[first].2
      function: { value: seen before, only_on: update }
  - id: kin
    model: res.partner
    do: upsert
    match: { xid: "vagus.patient_NORTH_{PID-3[5=MR].1}_kin" }
    fields:
      parent_id: { op: patient }
      type: { value: other }
      name: NK1[first]-2[first].2
`

func writeRegistration(t *testing.T, dir string, version int) string {
	t.Helper()
	snapshot, err := filepath.Abs("../../mappings/snapshots/odoo18.json")
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "registration.map.yaml", fmt.Sprintf(registration, version, rel))
}

// Agent and worker die side by side while admissions come.
func dieWithAdmissions(t *testing.T, d *deaths) {
	const patients = 40
	mllp := freeAddr(t)
	// What the cloud has leaves the journal soon.
	s := newSystemOf(t, 1, simulated.Config{History: true}, "", "1s", fmt.Sprintf(`
  - { name: adt, target: odoo, mappings: [ %q ], hl7: { listen: %q, max_connections: 1000 } }`, writeRegistration(t, t.TempDir(), 1), mllp))
	s.mllp = mllp
	s.waitDial(mllp)
	h := s.load(3, patients, 0, 20*time.Millisecond)
	worker, another := s.workers[0], s.addWorker()
	l, err := postgres.Open(t.Context(), s.dsn, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	side(t, map[string]func(*testing.T){
		"agent": func(t *testing.T) {
			for _, point := range []string{"agent.accepted", "journal.appended", "journal.synced", "hl7.acknowledged", "link.mapped", "link.sending", "link.confirmed"} {
				d.dies(t, s.agent, point, 4, nil)
			}
			d.dies(t, s.agent, "journal.trimmed", 1, nil)
			d.lives(s.agent)
		},
		"worker": func(t *testing.T) {
			d.dies(t, worker, "worker.leased", 20, nil)
			d.dies(t, worker, "odoo.announced", 1, nil) // while there are patients who are not known
			for _, point := range []string{
				"worker.renewed", "worker.read", "ledger.claiming", "worker.claimed", "worker.applying", "odoo.loaded", "odoo.wave", "worker.applied", "ledger.settling", "worker.settled",
			} {
				d.dies(t, worker, point, 2, nil)
			}
			s.odoo.Poison(demo.NewAdmissions(0, patients).Of(0).MRN, simulated.PoisonRetry)
			d.dies(t, worker, "worker.parking", 1, nil)
			s.odoo.Heal()
			// until waits for what is so of each partition.
			until := func(what string, ok func(ledger.PartitionState) bool) {
				must(t, bed.Wait(t.Context(), what, 60*time.Second, func() bool {
					parts, err := l.Cursors(context.Background(), "odoo")
					return err == nil && len(parts) == broker.Partitions && !slices.ContainsFunc(parts, func(p ledger.PartitionState) bool { return !ok(p) })
				}))
			}
			// leased returns what says that the next worker has a partition.
			leased := func() func(ledger.PartitionState) bool {
				before, err := l.Cursors(t.Context(), "odoo")
				must(t, err)
				return func(p ledger.PartitionState) bool {
					return p.Owner != "" && p.Owner != before[p.Partition].Owner && time.Now().Before(p.Expires)
				}
			}
			has := leased()
			d.dies(t, worker, "worker.leaving", 1, func() { until("one worker with all partitions", has); another.start() })
			another.kill()
			has = leased()
			d.dies(t, worker, "worker.lost", 5, func() {
				until("one worker with all partitions", has)
				must(t, worker.Pause())
				until("the end of its leases", func(p ledger.PartitionState) bool { return time.Now().After(p.Expires.Add(500 * time.Millisecond)) })
				must(t, worker.Resume())
			})
			d.lives(worker)
		},
	})
	h.end()
	s.judge(d, false)
	s.auditFirstSeen()
}

// auditFirstSeen checks what is for known records only: a patient's first message never
// brings it, however often it was begun.
func (s *system) auditFirstSeen() {
	s.t.Helper()
	at, said := map[int64]int{}, 0
	for _, e := range s.odoo.Effects() {
		if street, _ := e.Values["street2"].(string); version.MatchString(street) {
			n, _ := strconv.Atoi(version.FindStringSubmatch(street)[1])
			at[e.ID] = max(at[e.ID], n)
		}
		if e.Values["function"] != "seen before" {
			continue
		}
		if said++; at[e.ID] < 2 {
			s.t.Error("a patient's first message found the patient known")
		}
	}
	if said == 0 {
		s.t.Error("no patient is known: the scenario is broken")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
