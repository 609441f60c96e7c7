package worker

import (
	"testing"
	"testing/synctest"
	"time"
)

// model is a target that serves some calls at once in a tenth of a second each; more than
// that share its time.
type model struct {
	m      *limiter
	knee   int
	down   bool
	flight int
	most   int
}

// run keeps as many calls under way as the limiter allows, for a time.
func (md *model) run(d time.Duration) {
	type ended struct {
		began  time.Time
		atOnce int
		ok     bool
	}
	ends, end := make(chan ended, 64), time.Now().Add(d)
	for time.Now().Before(end) || md.flight > 0 {
		for md.flight < md.m.calls() && time.Now().Before(end) {
			md.flight++
			md.most = max(md.most, md.flight)
			e := ended{time.Now(), md.flight, !md.down}
			took := 100 * time.Millisecond * time.Duration(max(md.flight, md.knee)) / time.Duration(md.knee)
			go func() {
				time.Sleep(took)
				ends <- e
			}()
		}
		e := <-ends
		if e.ok {
			md.m.answered(e.began, time.Since(e.began), 50, md.flight)
		} else {
			md.m.failed(e.began, time.Now())
		}
		md.flight--
	}
}

func TestTheLimitIsLearnedFromTheTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		md := &model{m: newLimiter(32), knee: 6}
		md.m.limit = 1
		md.run(5 * time.Minute)
		if n := md.m.calls(); n < 6 || n > 16 {
			t.Errorf("of a target that takes 6 calls at once %d are made", n)
		}
		md.m.limit = 32 // at its most it falls back
		md.run(time.Minute)
		if n := md.m.calls(); n > 16 {
			t.Errorf("it stays at %d", n)
		}
		md.down = true
		md.run(2 * time.Second)
		if n := md.m.calls(); n != 1 {
			t.Errorf("a target that is down is still asked %d times at once", n)
		}
		md.down = false
		md.run(5 * time.Minute)
		if n := md.m.calls(); n < 6 {
			t.Errorf("it did not come back: %d", n)
		}
		md.knee, md.most = 64, 0
		md.run(5 * time.Minute)
		if n := md.m.calls(); n != 32 || md.most > 32 {
			t.Errorf("of a target that takes all %d are made, %d at most", n, md.most)
		}
	})
}
