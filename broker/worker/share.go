package worker

import (
	"cmp"
	"slices"

	"github.com/vagus-health/vagus/broker"
)

// A track is a lane of broker.Lanes, by number.
type track int

const (
	live track = iota
	bulk
	replayed
	synthetic
	tracks = len(broker.Lanes)
)

// trackOf is the lane that a unit asks for; what is not known is live.
func trackOf(name string) track {
	return track(max(slices.Index(broker.Lanes[:], name), int(live)))
}

// defaultWeights are the lanes' parts of a target's calls where its settings name none.
var defaultWeights = [tracks]int{8, 2, 1, 1}

// shares says whose turn it is to call the target (stride scheduling:
// Waldspurger and Weihl, 1995). Each lane has a place on a line and moves on
// by its units / its weight when it is served; the hindmost is next. A lane that had nothing
// to ask for comes back at the place of the one served last: it saved up nothing.
type shares struct {
	weight [tracks]int
	at     [tracks]float64
	now    float64
	idle   [tracks]bool
}

func newShares(weights map[string]int) *shares {
	s := &shares{weight: defaultWeights}
	for t, name := range broker.Lanes {
		s.weight[t] = cmp.Or(max(weights[name], 0), s.weight[t])
		s.idle[t] = true
	}
	return s
}

// next returns the lane whose turn it is among those that want one and may have it; ok is
// false if there is none.
func (s *shares) next(wants, may [tracks]bool) (turn track, ok bool) {
	for i, wanted := range wants {
		t := track(i)
		if wanted && s.idle[t] {
			s.at[t] = max(s.at[t], s.now)
		}
		s.idle[t] = !wanted
		if wanted && may[t] && (!ok || s.at[t] < s.at[turn]) {
			turn, ok = t, true
		}
	}
	return turn, ok
}

// served moves a lane on.
func (s *shares) served(t track, units int) {
	s.now = max(s.now, s.at[t])
	s.at[t] += float64(units) / float64(s.weight[t])
}
