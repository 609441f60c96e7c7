package endtoend_test

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestEveryAdmissionReachesOdoo(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 1, simulated.Config{History: true})
	s.load(4, 10, 50, 0).wait()
	s.audit(60*time.Second, nil)
	s.agent.stop()
	s.workers[0].stop()
	s.hub.stop()
}

func TestKillingAgentHubAndWorkerAtRandomMomentsLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 1, simulated.Config{History: true})
	s.sentUnacked = true
	h := s.load(4, 8, 0, 2*time.Millisecond)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	victims := []*process{s.agent, s.hub, s.workers[0]}
	for range 3 {
		for _, n := range rnd.Perm(len(victims)) {
			before := s.ackedSoFar()
			s.wait("messages between two kills", 60*time.Second, func() bool { return s.ackedSoFar() > before+20 })
			time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond) // a random moment is the point
			victims[n].kill()
			victims[n].start()
		}
	}
	before := s.ackedSoFar()
	s.wait("messages after the last kill", 60*time.Second, func() bool { return s.ackedSoFar() > before+50 })
	h.end()
	s.audit(90*time.Second, nil)
}

func TestALinkThatIsCutOrFrozenDelaysAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func(*system)
		long time.Duration
	}{
		"cut for 5 s":          {func(s *system) { s.link.Cut() }, 5 * time.Second},
		"cut for 60 s":         {func(s *system) { s.link.Cut() }, 60 * time.Second},
		"half-open for 20 s":   {func(s *system) { s.link.Freeze() }, 20 * time.Second},
		"cut ten times, short": {func(s *system) { flap(s) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, 1, simulated.Config{History: true})
			h := s.load(2, 8, 0, 10*time.Millisecond)
			s.wait("messages before the cut", 30*time.Second, func() bool { return s.ackedSoFar() > 50 })
			c.fail(s)
			began, before := time.Now(), s.ackedSoFar()
			ready := 0
			for time.Since(began) < c.long {
				// A site whose link is down is ready: it can accept.
				if r, err := http.Get("http://" + s.agentOps + "/readyz"); err == nil {
					_ = r.Body.Close()
					if r.StatusCode == http.StatusOK {
						ready++
					}
				}
				time.Sleep(250 * time.Millisecond)
			}
			if n := s.ackedSoFar() - before; n < 20 {
				t.Errorf("only %d messages were acknowledged in %v without a link", n, c.long)
			}
			if ready == 0 {
				t.Error("the site was not ready while its link was down")
			}
			s.link.Restore()
			h.end()
			s.audit(60*time.Second, nil)
		})
	}
}

func flap(s *system) {
	for range 10 {
		s.link.Cut()
		time.Sleep(50 * time.Millisecond)
		s.link.Restore()
		time.Sleep(150 * time.Millisecond)
	}
}

func TestOdooDownSlowOrDyingBeforeItAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ fail, heal func(*testing.T, *system) }{
		"down": {
			func(t *testing.T, s *system) { must(t, s.odoo.SetDown(true)) },
			func(t *testing.T, s *system) { must(t, s.odoo.SetDown(false)) },
		},
		"slow": {
			func(_ *testing.T, s *system) { s.odoo.SetLatency(400 * time.Millisecond) },
			func(_ *testing.T, s *system) { s.odoo.SetLatency(0) },
		},
		"commits, then dies before it answers": {
			func(_ *testing.T, s *system) {
				s.odoo.Fail(simulated.Fault{Kind: simulated.FaultDieBeforeReply, Method: "load", Times: 12})
			},
			func(_ *testing.T, s *system) { s.odoo.Heal() },
		},
		"answers 502 and garbage": {
			func(_ *testing.T, s *system) {
				s.odoo.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 502, Times: 5})
				s.odoo.Fail(simulated.Fault{Kind: simulated.FaultGarbage, Times: 5})
			},
			func(_ *testing.T, s *system) { s.odoo.Heal() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, 1, simulated.Config{History: true})
			h := s.load(4, 8, 0, 5*time.Millisecond)
			s.wait("messages before the fault", 30*time.Second, func() bool { return s.ackedSoFar() > 50 })
			c.fail(t, s)
			before := s.ackedSoFar()
			s.wait("messages that the site accepts while Odoo fails", 60*time.Second, func() bool { return s.ackedSoFar() > before+200 })
			time.Sleep(3 * time.Second) // the fault's duration
			c.heal(t, s)
			h.end()
			s.audit(90*time.Second, nil)
			units, err := s.units(s.api())
			if err != nil {
				t.Fatal(err)
			}
			for id, us := range units {
				if us[0].Status == ledger.Dead {
					t.Errorf("message %s is a dead letter: a target that is unwell uses up nobody's attempts", id)
				}
			}
		})
	}
}

func TestAPoisonedPatientWaitsAndAllOthersFlow(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 1, simulated.Config{History: true})
	// The first patient of each sender fails for ever.
	poisoned := map[string]bool{}
	for seed := range 4 {
		mrn := patientOf(uint64(seed), 8)
		poisoned[mrn] = true
		s.odoo.Poison(mrn, simulated.PoisonRetry)
	}
	s.load(4, 8, 60, 0).wait()
	s.audit(60*time.Second, poisoned)
}

func TestTwoWorkersThenFourThenOne(t *testing.T) {
	t.Parallel()
	s := newSystem(t, 2, simulated.Config{History: true})
	h := s.load(4, 20, 0, 2*time.Millisecond)
	more := func(n int) {
		before := s.ackedSoFar()
		s.wait("messages with this many workers", 60*time.Second, func() bool { return s.ackedSoFar() > before+n })
	}
	more(200)
	s.addWorker().start()
	s.addWorker().start()
	more(300)
	s.workers[0].kill() // without a word
	s.workers[1].stop()
	must(t, s.workers[2].Pause())
	more(300)
	must(t, s.workers[2].Resume()) // it wakes up late and finds its partitions with others
	more(100)
	s.workers[2].stop()
	more(200)
	h.end()
	s.audit(90*time.Second, nil)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
