package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

// A volume says how much of a hospital there is.
type volume struct {
	adt, claims, files, fhir int // senders
	patients                 int // of each
	pause                    time.Duration
}

// hospital is 300 patients whose messages come by ten connections and in files.
var hospital = volume{adt: 6, claims: 2, files: 1, fhir: 2, patients: 30, pause: 40 * time.Millisecond}

// A workload is what all senders send. Each has things of its own and sends one
// message after the other, again until it is acknowledged. What is sent follows from the seed; when, does not.
type workload struct {
	run     *run
	stop    context.CancelFunc
	senders sync.WaitGroup
	acked   atomic.Int64 // positive answers
	sound   atomic.Int64 // messages that were acknowledged and are to be applied
	gate    sync.RWMutex // a sender with a letter under way holds it
}

// A letter is what is sent at once and answered as a whole: one message or, in an
// interchange, several.
type letter struct {
	offers []audit.Offer
	body   []byte
	where  string // of HTTP: the path
}

// A sender makes letters and delivers them.
type sender interface {
	next() letter
	// deliver sends a letter once and returns the answer's code. ok says that it is positive; an
	// error that there was none.
	deliver(ctx context.Context, l letter) (code string, ok bool, err error)
	close()
}

// attempt is how long a sender waits for an answer.
const attempt = 15 * time.Second

// start lets the senders send until the end of ctx, or end is called.
func (r *run) start(ctx context.Context, v volume) *workload {
	ctx, stop := context.WithCancel(ctx)
	w := &workload{run: r, stop: stop}
	begin := func(n int, s sender) {
		w.senders.Go(func() {
			defer s.close()
			w.send(ctx, s, rand.New(rand.NewPCG(r.seed, uint64(n)+1000)), v.pause)
		})
	}
	for n := range v.adt {
		begin(n, newRegistration(r, n, v.patients))
	}
	for n := range v.claims {
		begin(100+n, newBilling(r, n))
	}
	if r.sys.release == "" { // an earlier version may not know folders
		for n := range v.files {
			begin(300+n, newClearing(r, n))
		}
	}
	for n := range v.fhir {
		begin(200+n, newRecords(r, n, v.patients))
	}
	return w
}

// hush does something while nobody sends and all that was acknowledged is in the ledger.
func (w *workload) hush(do func() error) error {
	w.gate.Lock()
	defer w.gate.Unlock()
	before, since := "", time.Now()
	if err := bed.Wait(w.run.ctx, "the ledger having what was sent", recovery, func() bool {
		n, err := w.run.statuses(w.run.ctx)
		total := 0
		for _, count := range n {
			total += count
		}
		if now := fmt.Sprint(total, err); now != before {
			before, since = now, time.Now()
		}
		return err == nil && total > 0 && time.Since(since) > 2*time.Second
	}); err != nil {
		return err
	}
	return do()
}

// end stops the senders; each has what it has begun acknowledged first.
func (w *workload) end() { w.stop(); w.senders.Wait() }

func (w *workload) send(ctx context.Context, s sender, rnd *rand.Rand, pause time.Duration) {
	var sent []letter // a few that may be sent again
	for ctx.Err() == nil {
		w.gate.RLock()
		l := s.next()
		for _, o := range l.offers {
			w.run.history.Add(audit.Line{Offer: &o})
		}
		if !w.insist(s, l) {
			w.gate.RUnlock()
			return
		}
		for _, o := range l.offers {
			if o.Want == audit.Applied {
				w.sound.Add(1)
			}
		}
		switch n := rnd.IntN(100); {
		case n < 4: // the acknowledgement was lost on its way
			w.insist(s, l)
		case n < 8 && len(sent) > 0: // somebody sends a day again
			w.insist(s, sent[rnd.IntN(len(sent))])
		}
		w.gate.RUnlock()
		if sent = append(sent, l); len(sent) > 200 {
			sent = sent[100:]
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// insist sends a letter until it is acknowledged, or refused as it is to be, also when the
// senders are to stop: what was begun is finished. It gives up when the run does, or
// when nothing helps: then the run fails.
func (w *workload) insist(s sender, l letter) bool {
	began, last := time.Now(), ""
	refused := l.offers[0].Want == audit.Refused
	var ids []string
	for _, o := range l.offers {
		ids = append(ids, o.Message)
	}
	for w.run.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(w.run.ctx, attempt)
		code, ok, err := s.deliver(ctx, l)
		cancel()
		if err == nil {
			w.run.history.Add(audit.Line{Answer: &audit.Answer{Messages: ids, OK: ok, Code: code}})
			if ok {
				w.acked.Add(1)
			}
			if ok || refused {
				return true
			}
			last = code
		}
		if time.Since(began) > 2*recovery {
			w.run.fail(fmt.Errorf("message %s was sent for %v and not acknowledged: %q, %v", ids[0], 2*recovery, last, err))
			return false
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-w.run.ctx.Done():
		}
	}
	return false
}

// names names messages.
type names struct {
	sender string
	n      int
}

func (n *names) next() string { n.n++; return fmt.Sprintf("%s-%d", n.sender, n.n) }
