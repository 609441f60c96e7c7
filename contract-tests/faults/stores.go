package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// A keeper is a process with a store.
type keeper interface {
	Start() error
	Kill()
	Pause() error
}

// powerFails cuts the power of a process and its disk, and brings both back.
func powerFails(r *run, name string, p keeper, accepts bool) fault {
	d := r.sys.disks[name]
	return fault{"power of " + name + " fails", time.Second, accepts,
		func(*run) error {
			err := errors.Join(p.Pause(), d.Cut())
			p.Kill()
			return errors.Join(err, d.Down())
		},
		func(*run) error { return errors.Join(d.Up(), p.Start()) }}
}

// atDisks are the faults that a system with disks of its own can have beside the general ones.
func (r *run) atDisks() []fault {
	if r.sys.disks["agent"] == nil {
		return nil
	}
	return []fault{
		powerFails(r, "agent", r.sys.agent, false),
		powerFails(r, "hub", r.sys.hubs[0], true),
		powerFails(r, "postgres", r.sys.pg, true),
		flipped(r, "agent", "agent.disk/data", "JOURNAL_adt", r.sys.agent, false, named),
		flipped(r, "hub", "hub.disk/store", "UNITS", r.sys.hubs[0], true, damage),
	}
}

// diskFull fills a disk. Senders hear no while that of the site is full.
func diskFull(r *run, name string, accepts bool) fault {
	d := r.sys.disks[name]
	return fault{"disk of " + name + " full", 10 * time.Second, accepts,
		func(*run) error { return d.Fill() },
		func(*run) error { return d.Free() }}
}

// wrongKey starts a process with another key: it must refuse, and leave everything as it is.
func wrongKey(r *run, name string, p *bed.Process, accepts bool) fault {
	return fault{"wrong key of " + name, 0, accepts,
		func(*run) error {
			key := filepath.Join(r.dir, name+".key")
			right, err := os.ReadFile(key)
			if err != nil {
				return err
			}
			p.Kill()
			said := len(p.Logged())
			if err := errors.Join(r.sys.write(name+".key", strings.Repeat("another key, ", 4)), p.Start()); err != nil {
				return err
			}
			if err := bed.Wait(r.ctx, name+" refusing a wrong key", 20*time.Second, p.Ended); err != nil {
				return err
			}
			if text := p.Logged()[said:]; !wrong.Match(text) {
				return fmt.Errorf("with a wrong key %s does not say so: %s", name, text)
			}
			return r.sys.write(name+".key", string(right))
		},
		func(*run) error { return p.Start() }}
}

var wrong = regexp.MustCompile(`(?i)(wrong|different) .*key|key is not the one`)

// stores is what happens to disks and keys. It needs root.
func stores(r *run) error {
	hub := r.sys.hubs[0]
	for _, f := range append(r.atDisks(),
		diskFull(r, "agent", false),
		diskFull(r, "hub", true),
		pageOfPostgres(r),
		wrongKey(r, "agent", r.sys.agent, false),
		wrongKey(r, "hub", hub, true),
		powerFails(r, "agent", r.sys.agent, false),
		powerFails(r, "hub", hub, true),
	) {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}

// fiveMinutes is how many units a busy hospital sends in five minutes.
const fiveMinutes = 3000

// restored puts the ledger back to what it was five minutes' worth of units before: a copy of PostgreSQL's directory. Odoo has the addon, which knows what was
// applied; without it what was applied since is applied again, and is the same in the end but not in between.
func restored(r *run) error {
	cluster := filepath.Join(r.sys.diskOf("postgres"), "cluster")
	back := cluster + ".copy"
	stop := func() {
		for _, w := range r.sys.workers {
			w.Kill()
		}
		r.sys.pg.Kill()
	}
	start := func() error {
		err := r.sys.pg.Start()
		for _, w := range r.sys.workers {
			err = errors.Join(err, w.Start())
		}
		return err
	}
	for _, f := range []fault{
		{"ledger saved", 0, true, func(*run) error {
			stop()
			return exec.Command("cp", "-a", cluster, back).Run()
		}, func(*run) error { return start() }},
		{"ledger of five minutes ago", time.Second, true, func(r *run) error {
			before, err := r.statuses(r.ctx)
			if err != nil {
				return err
			}
			return bed.Wait(r.ctx, "five minutes' worth of units being applied", 2*recovery, func() bool {
				now, err := r.statuses(r.ctx)
				return err == nil && now["applied"] >= before["applied"]+fiveMinutes
			})
		}, func(*run) error {
			stop()
			return errors.Join(os.RemoveAll(cluster), os.Rename(back, cluster), start())
		}},
	} {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}
