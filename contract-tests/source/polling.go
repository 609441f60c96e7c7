package source

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

// A Peer is a system that a source asks, such as a database or a directory, and
// what the suite needs to know of the source. It holds numbered records, each
// with a text. Functions but Read are called one after the other.
type Peer struct {
	// Source returns a source that remembers in dir, as after a restart when dir
	// was used before. It looks once a second or more often.
	Source func(t *testing.T, dir string) Polling
	// Put makes record n, or changes it, so that it has the text.
	Put func(t *testing.T, n int, text string)
	// Read returns which record a message is of, and its text: "" when it was
	// deleted. It is called at any time and does not end the test.
	Read func(t *testing.T, m *broker.Message) (n int, text string)
	// Page is how many messages the source may hand to accept at once. The
	// connector's test sets a few, 20 at most.
	Page int
	// Delete deletes record n; nil when a deletion is not told, or only much later.
	Delete func(t *testing.T, n int)
	// Clock makes the peer tell another time; nil when no time of its own is of
	// account.
	Clock func(now func() time.Time)
	// Late is how much after its time a change may become visible and is still told.
	// 0: as soon as others see later ones, it may be missed.
	Late time.Duration
	// Faults are ways in which the peer does not answer as it should, by name: what
	// is no answer, an answer without end, none. Each begins at once and lasts until
	// heal is called.
	Faults map[string]func(t *testing.T) (heal func())
	// Silent makes the peer take what it is asked and not answer until the test's end;
	// asked is closed when that happens first. nil when that cannot be.
	Silent func(t *testing.T) (asked <-chan struct{})
}

// A Polling is a source that asks. Run returns an error only for what is wrong
// with this machine or its settings: a peer that fails is asked again.
type Polling interface {
	broker.Source
	// Problem says what keeps the source from its work; "" when nothing does.
	Problem() string
}

// RunPolling runs the suite for sources that ask, each case with a peer of its
// own that holds nothing. What such a source promises is that of every record's
// versions the last is told, and those before it when there was time to look,
// each once and in their order: whatever stops or fails, what is offered again has
// the id that it had.
func RunPolling(t *testing.T, peer func(t *testing.T) Peer) {
	p := peer(t) // tells which cases there are
	cases := []pollingCase{
		{"each version is told once, also after a restart", true, eachOnce},
		{"much is told in pages", true, pages},
		{"what accept refuses is offered again, and nothing is passed over", true, notAccepted},
		{"what accept refuses for good does not hold back the rest", true, refusedForGood},
		{"a kill before the first page is stored loses nothing", true, killed(1, false)},
		{"a kill before the second page is stored loses nothing", true, killed(2, false)},
		{"a kill after the first page is stored repeats it under the same ids", true, killed(1, true)},
		{"a kill after the second page is stored repeats it under the same ids", true, killed(2, true)},
		{"without its memory it offers what it offered before, under the same ids", true, forgotten},
		{"stop lets what is in hand be stored, and it is not told again", true, stopInHand},
		{"changes that nobody waits for come in their order, the last of them too", true, writers},
		{"a deletion is told", p.Delete != nil, deletion},
		{"versions of one instant are all told", p.Clock != nil, ties},
		{"a peer whose clock is three hours behind misses nothing", p.Clock != nil, skew(-3 * time.Hour)},
		{"a peer whose clock is three hours ahead misses nothing", p.Clock != nil, skew(3 * time.Hour)},
		{"a change that becomes visible late is told", p.Clock != nil && p.Late > 0, lateCommit},
		{"a peer that does not answer does not hold up a stop", p.Silent != nil, silentPeer},
	}
	for name := range p.Faults {
		cases = append(cases, pollingCase{"it goes on after " + name, true, fails(name)})
	}
	for _, k := range cases {
		if k.applies {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				k.test(t, peer(t))
			})
		}
	}
}

type pollingCase struct {
	name    string
	applies bool
	test    func(*testing.T, Peer)
}

// A journal is a site's: it keeps a message once.
type journal struct {
	t    *testing.T
	peer Peer

	mu      sync.Mutex
	ids     map[string]bool
	told    []string // "3 text", of each message that was not there before
	repeats int
	largest int // messages that were offered at once
}

func newJournal(t *testing.T, p Peer) *journal {
	return &journal{t: t, peer: p, ids: map[string]bool{}}
}

func (j *journal) accept(_ context.Context, ms ...*broker.Message) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.largest = max(j.largest, len(ms))
	for _, m := range ms {
		if m.ID == "" || m.Kind == "" || m.SenderID == "" || m.Format == "" || m.ReceivedAt.IsZero() || len(m.Body) == 0 {
			j.t.Errorf("a message of %q from %q lacks an id, kind, sender's id, format, time or content", m.Kind, m.SenderID)
		}
		if j.ids[m.ID] {
			j.repeats++
			continue
		}
		n, text := j.peer.Read(j.t, m)
		j.ids[m.ID] = true
		j.told = append(j.told, told(n, text))
	}
	return nil
}

func told(n int, text string) string { return fmt.Sprintf("%d %s", n, text) }

// all returns what was told, and how often something was offered again.
func (j *journal) all() (told []string, repeats int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.told), j.repeats
}

// wants waits until that was told and nothing else. The order of two records is
// not promised.
func (j *journal) wants(want ...string) {
	j.t.Helper()
	var got []string
	reaches(func() bool { got, _ = j.all(); return len(got) >= len(want) })
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		j.t.Fatalf("told is\n%s\nwant, in any order\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (j *journal) neverAgain() {
	j.t.Helper()
	if _, n := j.all(); n > 0 {
		j.t.Errorf("%d messages were offered again that had been stored", n)
	}
}

func reaches(ok func() bool) bool {
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// run runs a source with the journal, or with an accept that stands before it.
// stop is called at the test's end when it was not before.
func (j *journal) run(dir string, before ...broker.Accept) (src Polling, stop func()) {
	j.t.Helper()
	accept := append(before, j.accept)[0]
	src = j.peer.Source(j.t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- src.Run(ctx, accept) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				j.t.Errorf("Run returned %v", err)
			}
		case <-time.After(20 * time.Second):
			j.t.Error("Run did not return 20 s after its context ended")
		}
	})
	j.t.Cleanup(stop)
	return src, stop
}

// begun has the source tell of one record, so that it is past its first look.
func (j *journal) begun(dir string) (want []string) {
	j.t.Helper()
	j.peer.Put(j.t, 999, "a")
	want = []string{told(999, "a")}
	_, stop := j.run(dir)
	j.wants(want...)
	stop()
	return want
}

// fill puts a little more than so many pages and returns what is to be told of it.
func (p Peer) fill(t *testing.T, pages int) (want []string) {
	for n := range pages*p.Page + 1 {
		p.Put(t, n, "a")
		want = append(want, told(n, "a"))
	}
	return want
}
