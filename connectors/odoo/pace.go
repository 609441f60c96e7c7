package odoo

import (
	"log/slog"
	"sync"
	"time"
)

// How many rows a call of load carries is learned for each model from how long
// its calls take. What a real Odoo 18 on two cores measured, in ms:
//
//	                          a call   each row   50 rows
//	contact                       20        1.3       117
//	product                       20        2.5       333
//	employee                      60         13       854
//	purchase order (3 lines)      50         19      1183  of 50 orders
//	invoice (3 lines)             80         24      1739  of 50 invoices
//
// So fifty rows of master data and sixteen documents of three lines end within a
// second, and what a call costs by itself is a tenth of that: more rows gain
// nothing, but hold locks for longer, lose more when one is bad, and make
// others wait for the worker. A server that is more than five times slower gets
// fewer rows, until its calls end within slowCall again. (At two seconds a server
// that was merely busy got ten employees a call, and a third less done.)
const (
	slowCall     = 5 * time.Second
	leastRows    = 10 // below, a call by itself costs as much as its rows
	moreRows     = 5  // by so many grows what a call carries
	maxDocuments = 20 // records with lines in one call
)

// pace remembers the rows of a call by model. Safe for concurrent use.
type pace struct {
	most  int           // rows, whatever is learned
	slow  time.Duration // longer is too long; 0: every call carries most
	log   *slog.Logger
	mu    sync.Mutex
	learn map[string]int
}

func (p *pace) rows(model string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := p.learn[model]; ok {
		return n
	}
	return p.most
}

// tooLong is told of a call that took too long with so many rows, however many it was to carry.
func (p *pace) tooLong(model string, rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.learn == nil {
		p.learn = map[string]int{}
	}
	size, known := p.learn[model]
	if !known {
		size = p.most
	}
	p.learn[model] = max(min(size, rows/2), leastRows)
	p.log.Debug("odoo: the rows of a call", "model", model, "rows", p.learn[model])
}

// took is told how long a call with so many rows took. Additive increase,
// multiplicative decrease; calls that were not nearly full say nothing.
func (p *pace) took(model string, rows int, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size, known := p.learn[model]
	if !known {
		size = p.most
	}
	if p.slow == 0 || 2*rows < size {
		return
	}
	switch grown := min(size+max(moreRows, p.most/10), p.most); {
	case d > p.slow:
		size = min(max(size/2, leastRows), p.most)
	case d*time.Duration(grown)/time.Duration(rows) <= p.slow:
		size = grown
	}
	if size == p.most {
		delete(p.learn, model)
		return
	}
	if p.learn == nil {
		p.learn = map[string]int{}
	}
	if p.learn[model] != size {
		p.log.Debug("odoo: the rows of a call", "model", model, "rows", size, "took", d)
	}
	p.learn[model] = size
}
