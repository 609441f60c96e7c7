package odoo

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func start(t testing.TB, c simulated.Config) (*simulated.Server, string) {
	t.Helper()
	sim := simulated.New(c)
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim, url
}

func newTarget(t testing.TB, url, protocol string) *Target {
	t.Helper()
	target, err := New(Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), Protocol: protocol})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func patients(n int) []*broker.Unit {
	units := make([]*broker.Unit, n)
	for i := range units {
		units[i] = &broker.Unit{ID: fmt.Sprint("u", i), Ops: []broker.Operation{upsert(fmt.Sprint("t.p", i),
			broker.Values{"name": fmt.Sprint("n", i), "ref": fmt.Sprint("r", i)})}}
	}
	return units
}

// checkOnce fails unless the server made each of the records once and nothing else.
func checkOnce(t *testing.T, sim *simulated.Server, n int) {
	t.Helper()
	made := map[string]int{}
	for _, e := range sim.Effects() {
		if e.Kind == "create" {
			made[e.XIDs[0]]++
		}
	}
	for i := range n {
		if c := made[fmt.Sprint("t.p", i)]; c != 1 {
			t.Errorf("t.p%d was made %d times", i, c)
		}
	}
	if len(made) != n {
		t.Errorf("%d records of %d", len(made), n)
	}
}

func TestFaultsOfTheWayToOdoo(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
		for _, c := range []struct {
			name   string
			fault  func(*simulated.Server)
			err    string // Apply's error, or
			class  string // the class of each unit's Retry, or "" for Applied
			lostly bool   // the work was done all the same
		}{
			{"down", func(s *simulated.Server) { _ = s.SetDown(true) }, "odoo.unreachable", "", false},
			{"every call is 502", func(s *simulated.Server) { s.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 502}) }, "odoo.unavailable", "", false},
			{"every call is 500", func(s *simulated.Server) { s.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 500}) }, "odoo.server_error", "", false},
			{"every call hangs up", func(s *simulated.Server) { s.Fail(simulated.Fault{Kind: simulated.FaultHangUp}) }, "odoo.no_answer", "", false},
			{"not Odoo", func(s *simulated.Server) { s.Fail(simulated.Fault{Kind: simulated.FaultGarbage}) }, "odoo.garbage", "", false},
			{"moved", func(s *simulated.Server) { s.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 301}) }, "odoo.redirected", "", false},
			{"no database server", func(s *simulated.Server) {
				s.Fail(simulated.Fault{Kind: simulated.FaultRaise, Class: "psycopg2.OperationalError", Message: "connection to server failed: Connection refused\n"})
			}, "odoo.database_down", "", false},
			{"the user is archived", func(s *simulated.Server) { s.Archive("vagus", true) }, "odoo.access_denied", "", false},
			{"one 502", func(s *simulated.Server) {
				s.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 502, Method: "load", Times: 1})
			}, "", "", false},
			{"one load dies before its reply", func(s *simulated.Server) {
				s.Fail(simulated.Fault{Kind: simulated.FaultDieBeforeReply, Method: "load", Times: 1})
			}, "", "", true},
			{"two collisions", func(s *simulated.Server) {
				s.Fail(simulated.Fault{Kind: simulated.FaultRaise, Method: "load", Times: 2})
			}, "", "", false},
			{"collisions without end", func(s *simulated.Server) { s.Fail(simulated.Fault{Kind: simulated.FaultRaise, Method: "load"}) }, "", "odoo.SerializationFailure", false},
			{"an exception that nobody knows", func(s *simulated.Server) {
				s.Fail(simulated.Fault{Kind: simulated.FaultRaise, Method: "load", Class: "builtins.RecursionError", Message: secret})
			}, "", "odoo.unknown", false},
		} {
			t.Run(protocol+" "+c.name, func(t *testing.T) {
				t.Parallel()
				sim, url := start(t, simulated.Config{History: true})
				target := newTarget(t, url, protocol)
				if err := target.Check(context.Background()); err != nil {
					t.Fatal(err)
				}
				units := patients(10)
				c.fault(sim)
				out, err := target.Apply(context.Background(), units)
				if c.err != "" {
					if err == nil || !strings.HasPrefix(err.Error(), c.err+":") {
						t.Fatalf("got %v, want %s", err, c.err)
					}
					if checkErr := target.Check(context.Background()); checkErr == nil && c.err != "odoo.database_down" {
						t.Error("Check finds the target well")
					}
				} else if err != nil {
					t.Fatal(err)
				}
				for i, o := range out {
					if o.Class != c.class || (o.Result == broker.Applied) != (c.class == "") || strings.Contains(o.Reason, secret) {
						t.Errorf("unit %d: %s %s %s", i, o.Result, o.Class, o.Reason)
					}
				}
				sim.Heal()
				sim.Archive("vagus", false)
				if err := sim.SetDown(false); err != nil {
					t.Fatal(err)
				}
				for _, o := range applyTo(t, target, units...) {
					if o.Result != broker.Applied {
						t.Errorf("after healing: %s %s", o.Result, o.Class)
					}
				}
				checkOnce(t, sim, 10)
			})
		}
	}
}

func TestPoisonedRecordsDoNotSpoilTheOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		poison simulated.Poison
		result broker.Result
		class  string
	}{
		{simulated.PoisonReject, broker.Rejected, "odoo.UserError"},
		{simulated.PoisonCrash, broker.Retry, "odoo.no_answer"},
		{simulated.PoisonRetry, broker.Retry, "odoo.SerializationFailure"},
	} {
		sim, url := start(t, simulated.Config{History: true})
		target := newTarget(t, url, "jsonrpc")
		sim.Poison("r17", c.poison)
		sim.Poison("t.p31", c.poison)
		for i, o := range applyTo(t, target, patients(50)...) {
			if i == 17 || i == 31 {
				if o.Result != c.result || o.Class != c.class {
					t.Errorf("%d: %s %s", i, o.Result, o.Class)
				}
			} else if o.Result != broker.Applied {
				t.Errorf("%d: %s %s %s", i, o.Result, o.Class, o.Reason)
			}
		}
		sim.Heal()
		applyTo(t, target, patients(50)...)
		checkOnce(t, sim, 50)
	}
}

func TestACallThatDoesNotReturnIsRetriedWhileOdooAnswersOthers(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{History: true})
	target := newTarget(t, url, "jsonrpc")
	target.client.poster.timeout = 300 * time.Millisecond // less than New takes
	sim.Fail(simulated.Fault{Kind: simulated.FaultStall, Method: "load", Times: 1})
	for _, o := range applyTo(t, target, patients(3)...) {
		if o.Result != broker.Retry || o.Class != "odoo.timeout" {
			t.Errorf("%s %s", o.Result, o.Class)
		}
	}
	sim.Fail(simulated.Fault{Kind: simulated.FaultStall})
	if _, err := target.Apply(context.Background(), patients(3)); err == nil || !strings.HasPrefix(err.Error(), "odoo.timeout") {
		t.Errorf("%v", err)
	}
	sim.Heal()
	applyTo(t, target, patients(3)...)
	checkOnce(t, sim, 3)
}

func TestCancellingReturnsAtOnce(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	sim.Fail(simulated.Fault{Kind: simulated.FaultStall})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := target.Apply(ctx, patients(3))
		done <- err
	}()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func TestSimultaneousAppliesMakeEachRecordOnceAndKeepTheLimit(t *testing.T) {
	t.Parallel()
	sim := simulated.New(simulated.Config{History: true})
	var now, most atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	target := newTarget(t, srv.URL, "jsonrpc")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { applyTo(t, target, patients(30)...) })
	}
	wg.Wait()
	checkOnce(t, sim, 30)
	if m := most.Load(); m > 2 {
		t.Errorf("%d calls in flight", m)
	}
}

func TestSimultaneousAppliesToOneRecordLoseNoValues(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
		sim, url := start(t, simulated.Config{})
		target := newTarget(t, url, protocol)
		sim.SetLatency(5 * time.Millisecond)
		var wg sync.WaitGroup
		fields := []string{"city", "zip", "street", "phone"}
		for _, f := range fields {
			wg.Go(func() {
				applyTo(t, target, &broker.Unit{ID: "u" + f, Ops: []broker.Operation{upsert("t.payer", broker.Values{"name": "payer", f: f})}})
			})
		}
		wg.Wait()
		r, _ := sim.ByXID("t.payer")
		for _, f := range fields {
			if r.Values[f] != f {
				t.Errorf("%s is %v", f, r.Values[f])
			}
		}
	}
}

func TestOdooThatAnswersOnlyWhenAskedForNothingIsUnwell(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	sim.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 502, Method: "load"})
	if _, err := target.Apply(context.Background(), patients(50)); err == nil || !strings.HasPrefix(err.Error(), "odoo.unavailable") {
		t.Errorf("%v", err)
	}
	if c := sim.Calls()["authenticate"].Calls; c > 2*maxSuspects {
		t.Errorf("%d calls to find out", c)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const offered = 200
	var sent atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := strings.Repeat(" ", 1<<20)
		for range offered {
			if _, err := w.Write([]byte(line)); err != nil {
				return
			}
			sent.Add(1)
		}
	}))
	t.Cleanup(func() {
		if n := sent.Load(); n >= offered {
			t.Errorf("%d MB were taken", n)
		}
	})
	t.Cleanup(srv.Close)
	for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
		if err := newTarget(t, srv.URL, protocol).Check(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "odoo.garbage") {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

func TestAnswersThatAreNoAnswers(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `null`, `{}`, `[]`, `{"jsonrpc":"2.0","id":1,"result":{"ids":[1,2],"messages":[]}}`, `{"jsonrpc":"2.0","result":{"ids":[false,1,2]}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"ids":"x"}}`, `{"jsonrpc":"2.0","id":1,"result":7}`, `{"jsonrpc":"2.0","error":{}}`,
		`<?xml version="1.0"?><methodResponse><params><param><value>`, `<methodResponse><fault><value><int>x</int></value></fault></methodResponse>`, `<methodResponse></methodResponse>`} {
		for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(body)) }))
			target := newTarget(t, srv.URL, protocol)
			target.client.uid = 2
			out, err := target.Apply(context.Background(), patients(3))
			if err == nil {
				for _, o := range out {
					if o.Result == broker.Applied {
						t.Errorf("%s %q: %s", protocol, body, o.Result)
					}
				}
			}
			srv.Close()
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := Config{URL: "https://odoo.example.org/", Database: "d", User: "u", Key: broker.NewSecret("k")}
	for want, change := range map[string]func(*Config){
		"":                    func(*Config) {},
		"url is required":     func(c *Config) { c.URL = "" },
		"key is required":     func(c *Config) { c.Key = broker.Secret{} },
		"url must look like":  func(c *Config) { c.URL = "https://user:pw@odoo.example.org" },
		"plain http":          func(c *Config) { c.URL = "http://odoo.example.org" },
		"protocol must be":    func(c *Config) { c.Protocol = "soap" },
		"timeout must be":     func(c *Config) { c.Timeout = time.Second },
		"batch must be":       func(c *Config) { c.Batch = 61 },
		"concurrency must be": func(c *Config) { c.Concurrency = -1 },
		"tls.ca_file":         func(c *Config) { c.TLS.CAFile = "/nonexistent" },
		"proxy must look":     func(c *Config) { c.Proxy = "%" },
	} {
		c := good
		change(&c)
		_, err := New(c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if s := fmt.Sprintf("%v %+v", good, &good); strings.Contains(s, "{k}") {
		t.Errorf("the key prints: %s", s)
	}
}

func TestABacklogTravelsInFewCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ units, known, atLeast int }{
		{50, 0, 50}, {50, 50, 50}, {50, 25, 25}, {50, 10, 25}, {50, 1, 25}, {100, 100, 50}, {100, 50, 50}, {100, 25, 33}, {100, 1, 33},
	} {
		sim, url := start(t, simulated.Config{})
		target := newTarget(t, url, "jsonrpc")
		var known, all []*broker.Unit
		for i := range c.units {
			u := admission(i, 1)
			if all = append(all, u); i < c.known {
				known = append(known, admission(i, 0))
			}
		}
		applyTo(t, target, known...)
		before := sim.Calls()
		for _, o := range applyTo(t, target, all...) {
			if o.Result != broker.Applied {
				t.Errorf("%s %s", o.Result, o.Class)
			}
		}
		after := sim.Calls()
		calls, rows := after["res.partner.load"].Calls-before["res.partner.load"].Calls, after["res.partner.load"].Rows-before["res.partner.load"].Rows
		if rows != 2*c.units || rows/calls < c.atLeast || after["res.partner.load"].MaxRows > 50 {
			t.Errorf("%d units, %d of them known: %d rows in %d calls, want at least %d in each", c.units, c.known, rows, calls, c.atLeast)
		}
		if n := after["ir.model.data.search_read"].Calls - before["ir.model.data.search_read"].Calls; n != 1 {
			t.Errorf("%d look-ups of external ids", n)
		}
	}
}
