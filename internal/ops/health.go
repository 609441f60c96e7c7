package ops

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A Check is one condition of readiness.
type Check struct {
	Name string
	// Run returns nil if the condition holds. It honours ctx. Its error is shown
	// without a token: it names no secret.
	Run func(ctx context.Context) error
	// Advisory checks are shown and decide nothing: a site whose link is down is
	// ready, because it can accept.
	Advisory bool
}

const (
	checkTime = 2 * time.Second
	checkKeep = time.Second // nobody without a token makes us work more often than this
)

// readiness answers /readyz: 200 or 503, with every check.
type readiness struct {
	checks []Check

	mu   sync.Mutex // one evaluation at a time
	at   time.Time
	last readyAnswer
}

type readyAnswer struct {
	Ready  bool          `json:"ready"`
	Checks []checkAnswer `json:"checks"`
}

type checkAnswer struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Advisory bool   `json:"advisory,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (h *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.answer(r.Context())
	code := http.StatusOK
	if !a.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, a)
}

func (h *readiness) answer(ctx context.Context) readyAnswer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < checkKeep {
		return h.last
	}
	// A caller that hangs up must not make the answer that the next one gets.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
	defer cancel()
	a := readyAnswer{Ready: true, Checks: make([]checkAnswer, len(h.checks))}
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() {
			a.Checks[i] = checkAnswer{Name: c.Name, OK: true, Advisory: c.Advisory}
			if err := c.Run(ctx); err != nil {
				a.Checks[i].OK = false
				a.Checks[i].Error = clip(err.Error(), 300)
			}
		})
	}
	wg.Wait()
	for _, c := range a.Checks {
		a.Ready = a.Ready && (c.OK || c.Advisory)
	}
	h.at, h.last = time.Now(), a
	return a
}
