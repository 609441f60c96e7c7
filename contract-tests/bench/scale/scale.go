// Package scale measures Vagus under load and at size, with real processes: what hospitals feel, what a message
// costs, and what grows. It asserts nothing; it measures, and says whether the targets were met.
package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// Options are what a person can ask for.
type Options struct {
	Parts    []string // by name; none: all
	Short    bool     // in small sizes: whether it runs
	Dir      string   // scratch, on the disk that is to be measured; "": a temporary one
	Progress *Progress
}

// A part is one measurement: what it does to a report, in a directory of its own.
type part struct {
	name string
	what string // for the page: a sentence
	run  func(ctx context.Context, m *measurement) error
}

// A measurement is one part while it runs.
type measurement struct {
	page.Part
	dir    string
	short  bool
	step   func(share float64, doing string)
	finish []func() // in reverse order, at the end
}

// of returns the size that is asked for.
func (m *measurement) of(full, short int) int {
	if m.short {
		return short
	}
	return full
}

func (m *measurement) later(f func()) { m.finish = append(m.finish, f) }

// add records a figure, judge one with a target. In small sizes no target is judged.
func (m *measurement) add(name string, value float64, unit string) {
	m.Figures = append(m.Figures, page.Figure{Name: name, Value: value, Unit: unit})
}

func (m *measurement) judge(name string, value float64, unit, target string, met bool) {
	f := page.Figure{Name: name, Value: value, Unit: unit, Target: target}
	if !m.short {
		f.Met = &met
	}
	m.Figures = append(m.Figures, f)
}

func (m *measurement) draw(c page.Chart) { m.Charts = append(m.Charts, c) }

// parts are all there are, in this order.
var parts = []part{
	{"accept", "What a sender feels: ADT messages of 1.2 KB by MLLP into a real agent, on disk before the acknowledgement, each connection sending as soon as it was answered. The cloud is away meanwhile.", accept},
	{"end-to-end", "From hospital senders through agent, hub and worker into Odoo, with PostgreSQL as the ledger, each sender with patients of its own and sending as soon as it was answered.", endToEnd},
	{"backlog", "A site whose link was away: it has taken messages of 1.2 KB all the while, its agent is started again, and then the hub is there.", backlog},
	{"sites", "The same number of senders and messages, spread over more and more sites at one hub: each site is an agent process of its own. There is no worker.", sites},
	{"poison", "Eight senders, paced, and one patient whose every message Odoo fails to write, again and again; then the same without. Late is what was not applied within two seconds of its receipt.", poison},
	{"replay", "Live messages, paced; then a replay of units that were dead letters beside them.", replayBeside},
	{"ledger", "A ledger that is full: what each command of an operator takes, from the command's start to its end, against a real worker.", fullLedger},
}

// Names are the parts.
func Names() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// Run measures. What goes wrong in one part is in its Error, and the others are measured all the same.
func Run(ctx context.Context, o Options) (*page.Report, error) {
	chosen := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return len(o.Parts) > 0 && !slices.Contains(o.Parts, p.name) })
	for _, name := range o.Parts {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no part %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "vagus-scale-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { // the database's user comes by
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	machine, commit, err := describe(ctx, dir)
	if err != nil {
		return nil, err
	}
	r := &page.Report{At: time.Now().UTC().Truncate(time.Second), Commit: commit, Short: o.Short, Machine: machine}
	for i, p := range chosen {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		m := &measurement{Part: page.Part{Name: p.name, What: p.what}, short: o.Short, dir: filepath.Join(dir, p.name)}
		m.step = func(share float64, doing string) { o.Progress.show(i, len(chosen), p.name, share, doing) }
		m.step(0, "starting")
		began := time.Now()
		if err := m.measure(ctx, p); err != nil {
			m.Error = strings.ReplaceAll(err.Error(), dir, "…")
		}
		m.Took = time.Since(began).Seconds()
		r.Parts, r.Took = append(r.Parts, m.Part), r.Took+m.Took
		o.Progress.end(p.name, m.Took, m.Error)
	}
	return r, nil
}

func (m *measurement) measure(ctx context.Context, p part) (err error) {
	if err := os.Mkdir(m.dir, 0o711); err != nil {
		return err
	}
	defer func() {
		for _, f := range slices.Backward(m.finish) {
			f()
		}
		err = errors.Join(err, os.RemoveAll(m.dir)) // the next part wants the room
	}()
	return p.run(ctx, m)
}
