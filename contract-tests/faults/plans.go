package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// plans lists what there is to run; long is how long faults at random go on, only names those of
// "these".
func plans(long time.Duration, only string) []plan {
	return []plan{
		{name: "none", about: 15 * time.Second, shape: shape{hubs: 1, workers: 2}, volume: hospital, play: quiet},
		{name: "singly", about: 160 * time.Second, shape: shape{hubs: 1, workers: 2}, volume: hospital, play: singly},
		{name: "mixed", about: long + 45*time.Second, shape: shape{hubs: 1, workers: 2}, volume: hospital, play: mixed(long)},
		{name: "exactly", about: long/2 + 35*time.Second, shape: shape{hubs: 1, workers: 2, addon: true}, volume: hospital, play: mixed(long / 2)},
		{name: "workers", about: 55 * time.Second, shape: shape{hubs: 1, workers: 1}, volume: hospital, play: workers},
		{name: "cluster", about: 70 * time.Second, shape: shape{hubs: 3, workers: 2}, volume: hospital, play: cluster, alone: true},
		{name: "certificates", about: 30 * time.Second, shape: shape{hubs: 1, workers: 2}, volume: ward, play: certificates},
		{name: "stores", about: 95 * time.Second, shape: shape{hubs: 1, workers: 2, stores: true}, volume: ward, play: stores},
		{name: "file", about: 45 * time.Second, shape: shape{hubs: 1, workers: 2, stores: true, sqlite: true}, volume: ward, play: file},
		{name: "restored", about: 55 * time.Second, shape: shape{hubs: 1, workers: 2, addon: true}, volume: ward, play: restored},
		{name: "names", about: 50 * time.Second, shape: shape{hubs: 1, workers: 2, names: true}, volume: ward, play: naming},
		{name: "line", about: 40 * time.Second, shape: shape{hubs: 1, workers: 2, line: true}, volume: ward, play: lined},
		{name: upgradePlan, about: 2 * time.Minute, shape: shape{hubs: 1, workers: 2}, volume: ward, play: upgrade, asked: true},
		{name: "these", shape: shape{hubs: 1, workers: 2}, volume: ward, play: these(only), asked: true},
		{name: "these with disks", shape: shape{hubs: 1, workers: 2, stores: true}, volume: ward, play: these(only), asked: true},
	}
}

// ward is a small hospital.
var ward = volume{adt: 3, claims: 1, files: 1, fhir: 1, patients: 10, pause: 30 * time.Millisecond}

// quiet is no fault at all: what the auditor says of it is true of the workload.
func quiet(r *run) error { return r.sleep(10 * time.Second) }

// singly makes each fault, one after the other.
func singly(r *run) error {
	for _, f := range r.general() {
		if err := r.fault(f, about(r.rnd, f.lasts)); err != nil {
			return err
		}
	}
	return nil
}

// mixed makes faults at random, up to three at once, never the same twice at once.
func mixed(long time.Duration) func(*run) error {
	return func(r *run) error {
		for until := time.Now().Add(long); time.Now().Before(until); {
			all := r.general()
			r.rnd.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
			parts := map[string]bool{}
			all = slices.DeleteFunc(all, func(f fault) bool {
				part, _, _ := strings.Cut(f.name, " ")
				again := parts[part]
				parts[part] = true
				return again
			})
			var at sync.WaitGroup
			errs := make([]error, 1+r.rnd.IntN(3))
			for i := range errs {
				pause, lasts := time.Duration(r.rnd.Int64N(int64(2*time.Second))), about(r.rnd, all[i].lasts)
				at.Go(func() {
					time.Sleep(pause)
					errs[i] = r.fault(all[i], lasts)
				})
			}
			at.Wait()
			for _, err := range errs {
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// these makes the faults that are named, one after the other; "link cut+worker killed" at the same time.
func these(only string) func(*run) error {
	return func(r *run) error {
		if only == "" {
			return quiet(r)
		}
		all := map[string]fault{}
		for _, f := range append(r.general(), r.atDisks()...) {
			all[f.name] = f
		}
		for step := range strings.SplitSeq(only, ",") {
			var at sync.WaitGroup
			names := strings.Split(step, "+")
			errs := make([]error, len(names))
			for i, name := range names {
				f, ok := all[name]
				if !ok {
					return fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
				}
				at.Go(func() {
					time.Sleep(time.Duration(i) * time.Second)
					errs[i] = r.fault(f, f.lasts)
				})
			}
			at.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
		return nil
	}
}

// workers has one of them, four, two, and one again.
func workers(r *run) error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"four workers", func() error {
			for range 3 {
				if err := r.sys.addWorker(); err != nil {
					return err
				}
			}
			return nil
		}},
		{"two workers, of which one was killed", func() error { r.sys.workers[0].Kill(); return r.sys.workers[1].Stop() }},
		{"one worker, after another had slept", func() error { return r.sys.workers[2].Pause() }},
		{"the sleeper awake", func() error { return r.sys.workers[2].Resume() }},
		{"one worker", func() error { return r.sys.workers[2].Stop() }},
	}
	for _, s := range steps {
		if err := r.fault(fault{s.name, 8 * time.Second, true, func(*run) error { return s.do() }, func(*run) error { return nil }}, 8*time.Second); err != nil {
			return err
		}
	}
	return nil
}
