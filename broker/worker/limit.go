package worker

import (
	"math"
	"math/bits"
	"time"
)

// A limiter learns how many calls at once a target takes before more of them
// only wait for each other (the gradient of Netflix's concurrency-limits, and
// TCP Vegas before it). It compares what a call takes with the least that a call of so many
// units took over the long run: while that is within slack, the limit grows by a part of a call
// each call; beyond it, it shrinks in proportion; a call that fails halves it. It
// is never under 1 nor over most. A limiter belongs to one goroutine.
type limiter struct {
	limit float64
	most  float64
	base  [16]float64 // least seconds of a call, by the size of its number of units in bits
	fell  time.Time   // calls that began before then say nothing new
}

const (
	slack     = 2.0  // times the base: a call that writes differs from one that finds all done
	smoothing = 0.2  // part of the new estimate in the limit
	forget    = 1e-5 // part by which the base comes nearer to each call that took longer
	forgetOne = .05  // while calls are made one by one: then it is the target's own time
)

func newLimiter(most int) *limiter { return &limiter{limit: float64(most), most: float64(most)} }

// calls is the limit now.
func (m *limiter) calls() int { return max(int(m.limit+.001), 1) }

// answered learns of a call that gave outcomes; atOnce says how many were under way with it.
func (m *limiter) answered(began time.Time, took time.Duration, units, atOnce int) {
	s, b := max(took.Seconds(), 1e-6), &m.base[min(bits.Len(uint(units)), len(m.base)-1)]
	if *b == 0 || s < *b {
		*b = s
	} else {
		part := forget
		if m.calls() == 1 {
			part = forgetOne
		}
		*b += (s - *b) * part
	}
	slope := min(slack**b/s, 1)
	switch {
	case slope < 1 && began.Before(m.fell): // it took part in what was judged
		return
	case slope < 1:
		m.fell = began.Add(took)
		m.limit *= 1 - smoothing*(1-max(slope, .5))*2
	case float64(atOnce) >= math.Floor(m.limit): // it was in use
		m.limit += smoothing * math.Sqrt(m.limit) / m.limit
	}
	m.limit = min(max(m.limit, 1), m.most)
}

// failed learns of a call that gave none: 429, 503, a time-out.
func (m *limiter) failed(began, now time.Time) {
	if began.Before(m.fell) {
		return
	}
	m.fell = now
	m.limit = max(m.limit/2, 1)
}
