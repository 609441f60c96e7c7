package scale

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A Progress tells a person how far a run is: on a terminal a bar that is drawn again, elsewhere a line
// for each part. Safe for concurrent use.
type Progress struct {
	W     io.Writer
	Live  bool // W is a terminal
	Width int  // of it

	mu    sync.Mutex
	drawn time.Time
}

// show draws how far part i of n is.
func (p *Progress) show(i, n int, part string, share float64, doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.Live || time.Since(p.drawn) < 100*time.Millisecond && share > 0 {
		return
	}
	p.drawn = time.Now()
	const cells = 24
	full := int(min(1, max(0, share)) * cells)
	line := fmt.Sprintf("[%d/%d] %-10s %s%s %3.0f %%  %s", i+1, n, part, strings.Repeat("█", full), strings.Repeat("░", cells-full), 100*min(1, share), doing)
	if r := []rune(line); p.Width > 0 && len(r) >= p.Width {
		line = string(r[:p.Width-1])
	}
	fmt.Fprintf(p.W, "\r\x1b[K%s", line)
}

// end tells that a part is over.
func (p *Progress) end(part string, seconds float64, failed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Live {
		fmt.Fprint(p.W, "\r\x1b[K")
	}
	fmt.Fprintf(p.W, "%-12s %6.0f s", part, seconds)
	if failed != "" {
		fmt.Fprintf(p.W, "  FAILED: %s", failed)
	}
	fmt.Fprintln(p.W)
}
