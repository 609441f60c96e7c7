package simulation

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A world is one run: its clock is the bubble's, its chances come from the seed.
type world struct {
	seed  uint64
	began time.Time

	mu      sync.Mutex
	chances map[string]*rand.Rand // one for each thing that has chances of its own: who else had some meanwhile does not matter
	history []event
	broken  error // the first promise that did not hold
}

// An event is one line of the history. about are the ids and keys that it concerns.
type event struct {
	at    time.Duration
	who   string
	what  string
	about []string
}

func newWorld(seed uint64) *world {
	return &world{seed: seed, began: time.Now(), chances: map[string]*rand.Rand{}}
}

// chance returns the source of chances of one thing, which only one goroutine may use.
func (w *world) chance(of string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.source(of)
}

func (w *world) source(of string) *rand.Rand {
	r := w.chances[of]
	if r == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(of))
		r = rand.New(rand.NewPCG(w.seed, h.Sum64()))
		w.chances[of] = r
	}
	return r
}

// between returns a time from lo to hi, to the nanosecond, so that hardly two things happen at once.
func (w *world) between(of string, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.draw(of, int(hi-lo)))
}

// draw returns a number from 0 to n-1.
func (w *world) draw(of string, n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.source(of).IntN(n)
}

// happens says whether something happens that does so n times of 1000.
func (w *world) happens(of string, n int) bool { return w.draw(of, 1000) < n }

func (w *world) note(who, what string, about ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, event{time.Since(w.began), who, what, about})
}

// breach records that a promise does not hold; the first counts.
func (w *world) breach(about []string, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.note("AUDIT", text, about...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = &breach{text, about, len(w.history)}
	}
}

type breach struct {
	text  string
	about []string
	lines int // of the history, when it was found
}

func (b *breach) Error() string { return b.text }

func (w *world) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// around returns the lines of the history that concern what a breach is about, and the
// crashes, pauses and the like, the last max of them.
func (w *world) around(b *breach, max int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, e := range w.history[:min(b.lines, len(w.history))] {
		if e.who == "FAULT" || e.who == "AUDIT" || slices.ContainsFunc(e.about, func(a string) bool { return slices.Contains(b.about, a) }) {
			lines = append(lines, e.String())
		}
	}
	if cut := len(lines) - max; cut > 0 {
		lines = append([]string{fmt.Sprintf("… %d lines before", cut)}, lines[cut:]...)
	}
	return strings.Join(lines, "\n")
}

func (e event) String() string { return fmt.Sprintf("%14.9f  %-9s %s", e.at.Seconds(), e.who, e.what) }

// whole returns all of the history.
func (w *world) whole() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := make([]string, len(w.history))
	for i, e := range w.history {
		lines[i] = e.String()
	}
	return lines
}

var errKilled = errors.New("the process is gone")

// A process is what can crash and be paused: one run of an agent or a worker. All that it
// stands on asks its process first.
type process struct {
	w    *world
	name string
	dead chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	pause chan struct{} // closed when it goes on; nil while it runs
	lines []*wire       // its connections
	trap  string        // it is paused right before its next call of this kind
	hold  time.Duration // so long
}

func newProcess(w *world, name string) *process {
	return &process{w: w, name: name, dead: make(chan struct{}), done: make(chan struct{})}
}

// start runs what the process is.
func (p *process) start(run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.done)
		time.Sleep(p.w.between(p.name, time.Millisecond, 20*time.Millisecond)) // no two processes tick together
		if err := run(ctx); err != nil {
			p.w.breach(nil, "%s ended: %v", p.name, err)
		}
	}()
}

// kill ends the process as kill -9 does: nothing of it reaches anything any more.
func (p *process) kill() {
	close(p.dead)
	p.mu.Lock()
	if p.pause != nil {
		close(p.pause)
		p.pause = nil
	}
	lines := slices.Clone(p.lines)
	p.mu.Unlock()
	for _, l := range lines {
		l.cut()
	}
	p.stop()
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// freeze pauses the process; thaw lets it go on.
func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause == nil {
		p.pause = make(chan struct{})
	}
}

func (p *process) thaw() {
	p.mu.Lock()
	if p.pause != nil {
		close(p.pause)
		p.pause = nil
	}
	lines := slices.Clone(p.lines)
	p.mu.Unlock()
	for _, l := range lines {
		l.hub.mu.Lock()
		l.up.plan()
		l.hub.mu.Unlock()
	}
}

func (p *process) isPaused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pause != nil
}

// trapped pauses the process if this is the call before which it is to be.
func (p *process) trapped(of string) {
	p.mu.Lock()
	is, d := p.trap != "" && strings.HasPrefix(of, p.trap), p.hold
	if is {
		p.trap = ""
	}
	p.mu.Unlock()
	if is && !p.isDead() {
		p.w.note("FAULT", p.name+" is paused before "+of)
		p.freeze()
		time.AfterFunc(d, p.thaw)
	}
}

// goesOn waits while the process is paused, and says whether it was.
func (p *process) goesOn() (paused bool) {
	for {
		p.mu.Lock()
		pause := p.pause
		p.mu.Unlock()
		if pause == nil {
			return paused
		}
		paused = true
		<-pause
	}
}

// reaches is one call from a process to something that answers: a while on the way there, do, a
// while on the way back. When the call's time is over or the process is killed on the way there, it may arrive
// all the same, later, and nobody hears the answer. A process that was paused right before its call makes it
// when it goes on, whatever has happened meanwhile.
func reaches[T any](ctx context.Context, p *process, of string, lo, hi time.Duration, do func() (T, error)) (answer T, err error) {
	p.trapped(of)
	p.goesOn()
	of = p.name + of
	there, back := p.w.between(of, lo, hi), p.w.between(of, lo, hi)
	late, lost := p.w.happens(of, 500), p.w.happens(of, 500)
	timer := time.NewTimer(there)
	defer timer.Stop()
	sent := time.Now()
	gone := func() {
		if rest := there - time.Since(sent); late && rest > 0 {
			time.AfterFunc(rest, func() { _, _ = do() })
		}
	}
	if p.isDead() {
		return answer, errKilled
	}
	done := ctx.Done()
	if ctx.Err() != nil {
		done = nil // it was paused, or slow, between its last look at ctx and the call
	}
	select {
	case <-timer.C:
	case <-done:
		gone()
		return answer, context.Cause(ctx)
	case <-p.dead:
		gone()
		return answer, errKilled
	}
	got, err := do()
	timer.Reset(back)
	select {
	case <-timer.C:
	case <-ctx.Done():
		if lost {
			return answer, context.Cause(ctx)
		}
	case <-p.dead:
		return answer, errKilled
	}
	p.goesOn()
	if p.isDead() {
		return answer, errKilled
	}
	return got, err
}
