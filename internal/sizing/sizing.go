// Package sizing is the arithmetic of growth: what a load costs in disk, memory, processor time, writes
// and rows at the site, at the hubs, in the ledger and at Odoo, and which part of it is the limit first.
//
// Its constants were measured, on two cores of a shared machine, and are measured again by
// BenchmarkSizes in contract-tests/endtoend, which prints what is estimated beside what is there.
// Sizes are bytes, rates are per second.
package sizing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Measured, for each message or unit.
const (
	journalOverhead = 345  // bytes on disk beside the message: headers, subject, record
	unitOverhead    = 472  // bytes in UNITS beside the unit
	eventShare      = 95   // bytes in EVENTS: an outcome, many to an event
	ledgerRow       = 1440 // bytes of a unit's row and its indexes, with the room that updates need
	journalIndex    = 75   // bytes resident for each message that the journal keeps, garbage included
	unitIndex       = 5    // bytes resident for each unit that a hub keeps
	recentUnit      = 125  // and for each whose id it remembers

	agentTime  = 420e-6 // seconds of processor time, 8 senders; with 64 it is 255e-6
	hubTime    = 100e-6 // on each server that holds a replica
	workerTime = 200e-6
	ledgerTime = 90e-6
)

// Measured, for each process under load, in bytes resident: windows, caches and garbage. At rest each has
// about 75 MB.
const agentMemory, hubMemory, workerMemory = 120e6, 205e6, 226e6

// window is how long a hub remembers the ids of units (broker/stream).
const window = 10 * time.Minute

// Bounds of the design, in writes a second that reach the disk's flush.
const (
	linkBatches = 50  // a feed's link sends as often, at most
	settlements = 200 // and a worker's ledger transactions, two for each 10 ms
)

// Reserve is the part of a disk or a memory that stays free.
const Reserve = 0.3

// Load is what is to be carried.
type Load struct {
	Sites    int           `json:"sites"`
	Rate     float64       `json:"rate"` // messages a second of all sites together, on average
	Peak     float64       `json:"peak"` // the busiest minute, in averages
	Body     int64         `json:"body"` // bytes of a message
	Unit     int64         `json:"unit"` // bytes of what its mapping makes of it
	Journal  time.Duration `json:"-"`    // how long each keeps it
	Hub      time.Duration `json:"-"`
	Ledger   time.Duration `json:"-"`
	Replicas int           `json:"replicas"`
	Odoo     float64       `json:"odoo_rate"` // units a second that one worker process of Odoo takes
	Machine  Machine       `json:"machine"`
}

// A Machine is what one server has.
type Machine struct {
	Cores  int     `json:"cores"`
	Memory int64   `json:"memory"`
	Disk   int64   `json:"disk"`
	Writes float64 `json:"writes"` // flushes a second that its disk makes
}

// Part is what one kind of process needs, in all and for each of Count.
type Part struct {
	Name   string  `json:"name"`
	Count  int     `json:"count"` // processes, or servers
	Disk   int64   `json:"disk"`  // of each
	Memory int64   `json:"memory"`
	Writes float64 `json:"writes"` // flushes a second at the peak, at most
	Cores  float64 `json:"cores"`  // of each, at the peak
	Rows   int64   `json:"rows,omitempty"`
	Wire   float64 `json:"wire,omitempty"` // bytes a second at the peak, over the link
	Full   float64 `json:"full,omitempty"` // share of the machine that is used where it is used most; above 1 it does not fit
	By     string  `json:"by,omitempty"`   // of what
}

// Estimate is what a load needs.
type Estimate struct {
	Load  Load   `json:"load"`
	Day   int64  `json:"messages_a_day"`
	Parts []Part `json:"parts"`
	Limit string `json:"limit"` // the part that is full first
	Add   string `json:"add"`   // what to add then
}

// Of estimates. It returns an error for a load that is none.
func Of(l Load) (Estimate, error) {
	if err := l.validate(); err != nil {
		return Estimate{}, err
	}
	peak, site := l.Rate*l.Peak, l.Rate/float64(l.Sites)
	kept := func(rate float64, d time.Duration) float64 { return rate * d.Seconds() }
	e := Estimate{Load: l, Day: int64(l.Rate * 86400)}

	agent := Part{Name: "site's agent", Count: l.Sites,
		Disk:   grown(kept(site, l.Journal) * float64(l.Body+journalOverhead)),
		Memory: int64(agentMemory + kept(site, l.Journal)*journalIndex),
		Writes: site * l.Peak, Cores: site * l.Peak * agentTime, Wire: site * l.Peak * float64(l.Unit+unitOverhead)}

	// A tenant's units are one stream, and each of its replicas has all of it in its index.
	units := kept(l.Rate, l.Hub)
	hub := Part{Name: "hub", Count: l.Replicas,
		Disk:   grown(units * float64(l.Unit+unitOverhead+eventShare)),
		Memory: int64(hubMemory + units*unitIndex + kept(peak, min(l.Hub, window))*recentUnit),
		Writes: min(peak, linkBatches*float64(l.Sites)), Cores: peak * hubTime}

	workers := max(1, int(math.Ceil(peak*workerTime/float64(l.Machine.Cores))))
	worker := Part{Name: "worker", Count: workers, Memory: workerMemory, Cores: peak * workerTime / float64(workers)}

	rows := kept(l.Rate, l.Ledger)
	ledger := Part{Name: "ledger (PostgreSQL)", Count: 1, Disk: grown(rows * ledgerRow), Memory: 4e9, Rows: int64(rows),
		Writes: min(2*peak, settlements*float64(workers)), Cores: peak * ledgerTime}

	for _, p := range []Part{agent, hub, worker, ledger} {
		p.Full, p.By = fullest(p, l.Machine)
		e.Parts = append(e.Parts, p)
	}
	first := slices.MaxFunc(e.Parts, func(a, b Part) int { return cmp.Compare(a.Full, b.Full) })
	e.Limit, e.Add = first.Name+", "+first.By, remedy(first, l)
	// Odoo is no part of ours, and as many as it takes.
	e.Parts = append(e.Parts, Part{Name: "Odoo's workers", Count: max(1, int(math.Ceil(peak/l.Odoo))), Cores: 1})
	return e, nil
}

func (l Load) validate() error {
	for _, c := range []struct {
		what string
		bad  bool
	}{
		{"sites: at least 1", l.Sites < 1}, {"rate: more than 0", l.Rate <= 0}, {"peak: at least 1", l.Peak < 1},
		{"body: at least 1 byte", l.Body < 1}, {"unit: at least 1 byte", l.Unit < 1}, {"replicas: 1, 3 or 5", l.Replicas != 1 && l.Replicas != 3 && l.Replicas != 5},
		{"how long each keeps it: not negative", l.Journal < 0 || l.Hub < 0 || l.Ledger < 0}, {"odoo rate: more than 0", l.Odoo <= 0},
		{"machine: cores, memory, disk and writes", l.Machine.Cores < 1 || l.Machine.Memory < 1 || l.Machine.Disk < 1 || l.Machine.Writes <= 0},
	} {
		if c.bad {
			return fmt.Errorf("size: %s", c.what)
		}
	}
	return nil
}

// grown is a disk of which what is stored leaves the reserve free.
func grown(bytes float64) int64 { return int64(bytes / (1 - Reserve)) }

// fullest is the share of a machine that a part uses where it uses most.
func fullest(p Part, m Machine) (float64, string) {
	share, by := p.Cores/float64(m.Cores), "processor"
	for _, u := range []struct {
		share float64
		by    string
	}{
		{float64(p.Disk) / float64(m.Disk), "disk"},
		{float64(p.Memory) / float64(m.Memory) / (1 - Reserve), "memory"},
		{p.Writes / m.Writes, "writes"},
	} {
		if u.share > share {
			share, by = u.share, u.by
		}
	}
	return share, by
}

func remedy(p Part, l Load) string {
	times := int(math.Ceil(p.Full))
	if p.Full <= 1 {
		return "nothing: it fits"
	}
	switch p.Name {
	case "site's agent":
		if p.By == "writes" {
			return "a faster disk; senders with several connections share their flushes, so the real figure is lower"
		}
		return fmt.Sprintf("%sfeeds on %d agents, or a larger server", shorter("a journal.retention of ", l.Journal, p.Full, time.Hour), times)
	case "hub":
		if p.By == "memory" || p.By == "disk" {
			return fmt.Sprintf("%s%d tenants on hubs of their own (%d servers in all), or larger servers: each replica of a tenant's stream has all of its units",
				shorter("a max_age of ", l.Hub, p.Full, 24*time.Hour), times, times*l.Replicas)
		}
		return fmt.Sprintf("%d tenants on hubs of their own", times)
	case "worker":
		return "more worker processes: they share the partitions by themselves, 64 at most"
	default:
		return fmt.Sprintf("%sa ledger for each of %d tenants, or a larger server", shorter("a keep of ", l.Ledger, p.Full, max(l.Hub, 24*time.Hour)), times)
	}
}

// shorter names the time that would fit, when it is not below the least.
func shorter(what string, keep time.Duration, full float64, least time.Duration) string {
	fits := time.Duration(float64(keep) / full)
	switch {
	case fits < least:
		return ""
	case fits >= 48*time.Hour:
		return fmt.Sprintf("%s%d days, or ", what, fits/(24*time.Hour))
	default:
		return fmt.Sprintf("%s%d h, or ", what, fits/time.Hour)
	}
}
