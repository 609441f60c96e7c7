package endtoend_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/failpoint"
	"github.com/vagus-health/vagus/contract-tests/bed"
)

var onlyFailpoint = flag.String("failpoint", "", "let processes die at this failpoint only")

// Of each failpoint that there is a scenario lets a real process die there, under load
// that comes by it, at least once; the process is started again, and dies at the next
// one. In the end everything that was acknowledged is applied exactly once, in order.
// By hand: go test ./contract-tests/endtoend -run Failpoint -failpoint journal.synced
func TestAProcessThatDiesAtAnyFailpointLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	d := &deaths{at: map[string]bool{}, turns: map[testing.TB][]turn{}}
	var all sync.WaitGroup
	for name, scenario := range map[string]func(*testing.T, *deaths){
		"admissions":             dieWithAdmissions,
		"files, merges, replays": dieWithFiles,
		"documents":              dieWithDocuments,
		"a cloud that is set up": dieWhileSettingUp,
	} {
		// Not t.Parallel: most of their time passes waiting, and there are not as many slots.
		all.Go(func() { t.Run(name, func(t *testing.T) { scenario(t, d); d.scenario() }) })
	}
	all.Wait()
	if d.scenarios < 4 || *onlyFailpoint != "" { // only some were asked for, or one has failed
		return
	}
	for _, p := range failpoint.All() {
		if !d.at[p.Name()] {
			t.Errorf("no process died at %s (%s | %s): add a scenario that comes there", p.Name(), p.Done(), p.Open())
		}
	}
}

// deaths are the failpoints at which processes died.
type deaths struct {
	mu        sync.Mutex
	at        map[string]bool
	scenarios int // that came to their end
	turns     map[testing.TB][]turn
}

// of returns what happened in a scenario, in order.
func (d *deaths) of(t testing.TB) []turn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.turns[t]
}

func (d *deaths) scenario() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.scenarios++
}

// dies starts p, or starts it again without a word, armed to die at the n-th hit of a point, has
// something done that brings it there, if that does not come by itself, and waits for its
// end. It is false when the point is not the one that was asked for: then p lives on, or has ended.
func (d *deaths) dies(t *testing.T, p *process, point string, n int, deed func()) bool {
	t.Helper()
	if t.Failed() {
		t.FailNow() // it fails somewhere else: be done with it
	}
	p.kill()
	wanted := *onlyFailpoint == "" || *onlyFailpoint == point
	if wanted {
		p.Arms = fmt.Sprintf("%s=kill#%d", point, n)
	}
	p.start()
	d.turn(p, true)
	p.Arms = ""
	if deed != nil {
		deed()
	}
	if !wanted && p.conf != "" {
		return false
	}
	if err := bed.Wait(t.Context(), "the end of "+p.role+" at "+point, 60*time.Second, p.Ended); err != nil {
		t.Fatalf("%v\n%s", err, p.LastWords())
	}
	if !wanted {
		return false
	}
	if !p.DiedAt(point) {
		t.Fatalf("%s did not die at %s\n%s", p.role, point, p.LastWords())
	}
	d.turn(p, false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[point] = true
	return true
}

// lives starts p anew, armed with nothing.
func (d *deaths) lives(p *process) {
	p.t.Helper()
	p.kill()
	p.start()
	d.turn(p, true)
}

// side runs parts of a scenario at once.
func side(t *testing.T, parts map[string]func(*testing.T)) {
	t.Helper()
	var all sync.WaitGroup
	for name, part := range parts {
		all.Go(func() { t.Run(name, part) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
