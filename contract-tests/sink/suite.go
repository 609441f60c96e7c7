// Package sink is the conformance suite for a [broker.Target] that takes
// documents: what every connector promises to the worker that delivers
// through it. A connector's test gives it the target and a receiver as it is
// met in the field.
package sink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A Connector is what the suite needs to know of one protocol.
type Connector struct {
	// New starts a receiver on loopback and returns a target that sends to it. No
	// time-out of the target may be over a second.
	New func(t *testing.T) (broker.Target, Receiver)
	// Document returns the n-th document and its format. Each holds Canary.
	Document func(n int) (kind, format string, doc []byte)
}

// Canary stands in every document, and in what a receiver says of it. It must
// not be in what the target says.
const Canary = "Canaryson"

// A Receiver is the other end. Safe for concurrent use.
type Receiver interface {
	// Script says how what comes from now on is answered, by its number from 0.
	Script(func(n int) Answer)
	// Came returns the identity and content of all that reached it, in order:
	// identity is what the protocol tells a repeat by.
	Came() (identities []string, contents []string)
	// Taken returns the identities of what it took, each once, in order.
	Taken() []string
	// Stop makes it unreachable, Start reachable under the same address.
	Stop()
	Start()
}

// An Answer is what a receiver does with a document.
type Answer int

const (
	Take      Answer = iota // takes it and says so
	Refuse                  // says that the document is at fault
	NotNow                  // says that it can not take it now
	CutBefore               // does not take it and breaks the connection
	CutAfter                // takes it and breaks the connection without an answer
	Silence                 // does not take it and says nothing
)

// Unit returns the n-th unit.
func (c Connector) Unit(n int) *broker.Unit {
	kind, format, doc := c.Document(n)
	at := time.Date(2026, 5, 4, 16, 20, 11, 0, time.UTC)
	id := broker.NewUnitID(broker.NewMessageID("main", "cloud", "products", fmt.Sprint(n), doc), "suite")
	return &broker.Unit{ID: id, MessageID: id, Tenant: "main", Site: "cloud", Feed: "products", Target: "lab", Kind: kind, SenderID: fmt.Sprint(n), Mapping: "suite@1",
		Key: fmt.Sprint("key-", n), Verdict: broker.Apply, ReceivedAt: at, MappedAt: at, Ops: []broker.Operation{{ID: "document", Model: kind, Do: "emit", Format: format, Document: doc}}}
}

// Run runs the suite.
func Run(t *testing.T, c Connector) {
	for _, k := range []struct {
		name string
		test func(*testing.T, Connector)
	}{
		{"documents arrive whole, in order, each under an identity of its own", inOrder},
		{"a unit that is applied again is the same to the receiver, byte for byte", sameAgain},
		{"a refusal rejects its unit and no other", refusal},
		{"what is not taken now is tried again", notNow},
		{"a connection that is cut leaves the outcome open, and the repeat has one effect", cut},
		{"a receiver that says nothing is an error in time, and is asked again", silence},
		{"a receiver that is away is an error, and is found again when it is back", away},
		{"a call that is withdrawn returns at once, and the next one is served", withdrawn},
		{"calls at the same time are all served", together},
		{"a unit without a document is rejected and nothing is sent", noDocument},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.test(t, c)
		})
	}
}

func apply(t *testing.T, target broker.Target, units ...*broker.Unit) ([]broker.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := target.Apply(ctx, units)
	if err == nil && len(out) != len(units) {
		t.Fatalf("%d outcomes for %d units", len(out), len(units))
	}
	said := fmt.Sprint(err)
	for _, o := range out {
		said += o.Class + o.Reason + o.Warning
		if (o.Result == broker.Applied) != (o.Class == "") {
			t.Errorf("%v with class %q", o.Result, o.Class)
		}
	}
	if strings.Contains(said, Canary) {
		t.Errorf("the target repeats what the document says: %s", strings.ReplaceAll(said, Canary, "[canary]"))
	}
	return out, err
}

// applied applies units until all of them are, as a worker does.
func applied(t *testing.T, target broker.Target, units ...*broker.Unit) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(30 * time.Second); len(units) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("30 s passed and %d units are not applied: %s", len(units), last)
		}
		out, err := apply(t, target, units...)
		last = fmt.Sprint(out, err)
		var left []*broker.Unit
		for i, o := range out {
			if o.Result != broker.Applied {
				left = append(left, units[i])
			}
		}
		if err == nil {
			units = left
		}
	}
}

func units(c Connector, n int) []*broker.Unit {
	us := make([]*broker.Unit, n)
	for i := range us {
		us[i] = c.Unit(i)
	}
	return us
}

func inOrder(t *testing.T, c Connector) {
	target, r := c.New(t)
	us := units(c, 10)
	applied(t, target, us[:4]...)
	for _, u := range us[4:] {
		applied(t, target, u)
	}
	ids, contents := r.Came()
	if len(ids) != len(us) || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != len(us) || !slices.Equal(r.Taken(), ids) {
		t.Fatalf("it got %d documents, and took %d of %d", len(ids), len(r.Taken()), len(us))
	}
	for i, content := range contents {
		if !strings.Contains(content, fmt.Sprint(Canary, i)) {
			t.Errorf("document %d is another one", i)
		}
	}
}

func sameAgain(t *testing.T, c Connector) {
	target, r := c.New(t)
	applied(t, target, c.Unit(0), c.Unit(1))
	applied(t, target, c.Unit(0))
	ids, contents := r.Came()
	if len(ids) > 2 && (ids[2] != ids[0] || contents[2] != contents[0]) {
		t.Error("the repeat is not what was sent first")
	}
	if len(r.Taken()) != 2 {
		t.Errorf("the receiver took %d, want 2", len(r.Taken()))
	}
}

func refusal(t *testing.T, c Connector) {
	target, r := c.New(t)
	r.Script(func(n int) Answer {
		if n == 1 {
			return Refuse
		}
		return Take
	})
	out, err := apply(t, target, c.Unit(0), c.Unit(1), c.Unit(2))
	if err != nil || out[0].Result != broker.Applied || out[1].Result != broker.Rejected || out[1].Reason == "" || out[2].Result != broker.Applied {
		t.Errorf("%v %v", out, err)
	}
}

func notNow(t *testing.T, c Connector) {
	target, r := c.New(t)
	r.Script(func(n int) Answer {
		if n == 0 {
			return NotNow
		}
		return Take
	})
	out, err := apply(t, target, c.Unit(0), c.Unit(1))
	if err == nil && (out[0].Result != broker.Retry || out[1].Result == broker.Rejected) {
		t.Errorf("%v", out)
	}
	applied(t, target, c.Unit(0), c.Unit(1))
	if len(r.Taken()) != 2 {
		t.Errorf("it took %d, want 2", len(r.Taken()))
	}
}

func cut(t *testing.T, c Connector) {
	for name, how := range map[string]Answer{"before it was taken": CutBefore, "after it was taken": CutAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, r := c.New(t)
			applied(t, target, c.Unit(0))
			r.Script(func(n int) Answer {
				if n == 1 {
					return how
				}
				return Take
			})
			if out, err := apply(t, target, c.Unit(1)); err == nil && out[0].Result != broker.Retry {
				t.Errorf("without an answer it is %v", out)
			}
			applied(t, target, c.Unit(1), c.Unit(2))
			ids, contents := r.Came()
			if len(ids) != 4 || ids[1] != ids[2] || contents[1] != contents[2] {
				t.Errorf("the repeat is not what was sent first")
			}
			if len(r.Taken()) != 3 {
				t.Errorf("it took %d, want 3", len(r.Taken()))
			}
		})
	}
}

func silence(t *testing.T, c Connector) {
	target, r := c.New(t)
	r.Script(func(n int) Answer {
		if n == 0 {
			return Silence
		}
		return Take
	})
	if out, err := apply(t, target, c.Unit(0)); err == nil && out[0].Result != broker.Retry {
		t.Errorf("without an answer it is %v", out)
	}
	applied(t, target, c.Unit(0), c.Unit(1))
	if len(r.Taken()) != 2 {
		t.Errorf("it took %d, want 2", len(r.Taken()))
	}
}

func away(t *testing.T, c Connector) {
	target, r := c.New(t)
	applied(t, target, c.Unit(0))
	if err := target.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	r.Stop()
	if out, err := apply(t, target, c.Unit(1)); err == nil {
		t.Errorf("with nobody there it is %v", out)
	}
	if err := target.Check(t.Context()); err == nil {
		t.Error("with nobody there the check says that it is well")
	}
	r.Start()
	if err := target.Check(t.Context()); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	applied(t, target, c.Unit(1))
	if len(r.Taken()) != 2 {
		t.Errorf("it took %d, want 2", len(r.Taken()))
	}
}

func withdrawn(t *testing.T, c Connector) {
	target, r := c.New(t)
	came := make(chan struct{})
	r.Script(func(n int) Answer {
		if n > 0 {
			return Take
		}
		close(came)
		return Silence
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		out, err := target.Apply(ctx, []*broker.Unit{c.Unit(0)})
		if err == nil && out[0].Result == broker.Retry {
			err = context.Canceled
		}
		ended <- err
	}()
	<-came
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it is applied, and nobody took it")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it did not return")
	}
	applied(t, target, c.Unit(0))
}

func together(t *testing.T, c Connector) {
	target, r := c.New(t)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() { applied(t, target, c.Unit(2*n), c.Unit(2*n+1)) })
	}
	wg.Wait()
	if ids, _ := r.Came(); len(ids) != 16 || len(r.Taken()) != 16 {
		t.Errorf("%d came and %d were taken, want 16", len(ids), len(r.Taken()))
	}
}

func noDocument(t *testing.T, c Connector) {
	target, r := c.New(t)
	record, other := c.Unit(0), c.Unit(1)
	record.Ops = []broker.Operation{{ID: "p", Model: "res.partner", Do: "upsert", XID: "x", Vals: broker.Values{"name": Canary}}}
	other.Ops[0].Format = "another"
	out, err := apply(t, target, record, other, c.Unit(2))
	if err != nil || out[0].Result != broker.Rejected || out[1].Result != broker.Rejected || out[2].Result != broker.Applied {
		t.Errorf("%v %v", out, err)
	}
	if ids, _ := r.Came(); len(ids) != 1 {
		t.Errorf("%d documents came, want 1", len(ids))
	}
}
