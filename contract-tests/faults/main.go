// Command faults makes everything fail that fails in hospitals, under a workload, and has an
// auditor that shares no code with the product judge what became of each message. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

func main() {
	bed.Role()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	sound, err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	if err != nil || !sound {
		os.Exit(1)
	}
}

// execute is the command; sound says that nothing is wrong with what was run or judged.
func execute(ctx context.Context, args []string, out, errs io.Writer) (sound bool, err error) {
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.SetOutput(errs)
	seed := f.Uint64("seed", uint64(time.Now().UnixNano())%1_000_000, "of what is sent and of the faults")
	long := f.Duration("for", 40*time.Second, "how long the mixed faults go on, the soak among them")
	keep := f.String("keep", "", "directory to keep histories, stores and logs in; none: removed unless something is wrong")
	format := f.String("o", "text", "text or json")
	only := f.String("faults", "", "faults of the plan \"these\": names with commas between, + for at the same time; none: a quiet run")
	atATime := f.Int("at-a-time", 2, "how many plans are made at the same time, but for those that measure")
	from := f.String("from", "", "commit that the plan \"upgrade\" starts from; none: the last tag")
	broken := f.String("mutants", "", "of the plan \"mutants\" those whose names have this text")
	history := f.String("audit", "", "judge this history and make no run")
	f.Usage = func() {
		fmt.Fprintf(errs, "faults [flags] [plan...]\nplans, all without a name: %s\n", strings.Join(planNames(), ", "))
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return false, err
	}
	if *history != "" {
		v, err := judgeFile(*history)
		if err != nil {
			return false, err
		}
		return v.Sound(), report(out, *format, []outcome{{Plan: *history, Verdict: v}})
	}
	chosen := slices.DeleteFunc(plans(*long, *only), func(p plan) bool {
		return f.NArg() > 0 && !slices.Contains(f.Args(), p.name) || f.NArg() == 0 && p.asked
	})
	if len(chosen) == 0 && !slices.Contains(f.Args(), mutantsPlan) {
		return false, fmt.Errorf("no such plan: %s; there are %s", strings.Join(f.Args(), " "), strings.Join(planNames(), ", "))
	}
	dir, err := filepath.Abs(*keep)
	if *keep == "" {
		dir, err = os.MkdirTemp("", "vagus-faults-")
	}
	if err != nil {
		return false, err
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(errs, format+"\n", args...)
	}
	var possible []plan
	for _, p := range chosen {
		if reason := p.shape.impossible(); reason != nil && f.NArg() == 0 {
			say("%s: NOT RUN: %v", p.name, reason)
			continue
		}
		p.seed = *seed
		p.again = fmt.Sprintf("go run ./contract-tests/faults -seed %d -for %v -faults %q %s", p.seed, *long, *only, p.name)
		if p.name == upgradePlan && *from != "" {
			p.again = fmt.Sprintf("go run ./contract-tests/faults -seed %d -from %s %s", p.seed, *from, p.name)
		}
		possible = append(possible, p)
	}
	began, hunts := time.Now(), f.NArg() == 0 || slices.Contains(f.Args(), mutantsPlan)
	several := &series{atOnce: max(*atATime, 1), dir: dir, from: *from, began: began, say: say}
	whole := several.lasts(possible)
	if hunts {
		whole += huntAbout
	}
	say("%d plans, %d at a time: about %v on two cores", len(possible), several.atOnce, whole.Round(10*time.Second))
	outcomes := several.run(ctx, possible)
	if hunts {
		say("%s, about %v, %v after the beginning", mutantsPlan, huntAbout, time.Since(began).Round(time.Second))
		root, err := sources()
		if err != nil {
			return false, err
		}
		which := chosenMutants(*broken, bed.Disks() == nil)
		survivors, err := hunt(ctx, which, root, dir, *seed, say)
		o := outcome{Plan: mutantsPlan, Noticed: len(which) - len(survivors), Survivors: survivors}
		if err != nil {
			o.Err = err.Error()
		}
		outcomes = append(outcomes, o)
	}
	sound = !slices.ContainsFunc(outcomes, func(o outcome) bool { return !o.sound() })
	if sound && *keep == "" {
		err = os.RemoveAll(dir)
	} else {
		say("histories, stores and logs: %s", dir)
	}
	return sound, errors.Join(err, report(out, *format, outcomes))
}

func planNames() (all []string) {
	for _, p := range plans(0, "") {
		all = append(all, p.name)
	}
	return append(all, mutantsPlan)
}

// upgradePlan is the name of the plan that begins with an earlier version.
const upgradePlan = "upgrade"

// mutantsPlan is the name of what looks for mutants that nobody notices.
const mutantsPlan = "mutants"

func judgeFile(path string) (*audit.Verdict, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	lines, err := audit.Read(in)
	if err != nil {
		return nil, err
	}
	return audit.Judge(lines)
}

// An outcome is what a plan came to.
type outcome struct {
	Plan    string         `json:"plan"`
	Again   string         `json:"again,omitempty"`
	Err     string         `json:"error,omitempty"` // it could not be judged
	Verdict *audit.Verdict `json:"verdict,omitempty"`
	// Of the mutants.
	Noticed   int      `json:"noticed,omitempty"`
	Survivors []string `json:"survivors,omitempty"`
}

func (o outcome) sound() bool {
	if o.Verdict == nil {
		return o.Err == "" && o.Noticed > 0 && len(o.Survivors) == 0
	}
	return o.Err == "" && o.Verdict.Sound()
}

// mostTold is how many sentences of a rule are printed.
const mostTold = 5

func report(out io.Writer, format string, outcomes []outcome) error {
	if format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(outcomes)
	}
	fmt.Fprintf(out, "\n%-12s %8s %8s %8s %6s %6s %8s %8s %8s  %s\n", "plan", "offered", "acked", "applied", "held", "dead", "changes", "repeats", "pause", "verdict")
	for _, o := range outcomes {
		if o.Plan == mutantsPlan && o.Err == "" {
			fmt.Fprintf(out, "%-12s %d noticed, %d not: %s\n", o.Plan, o.Noticed, len(o.Survivors), strings.Join(o.Survivors, "; "))
			continue
		}
		if o.Verdict == nil {
			fmt.Fprintf(out, "%-12s could not be judged: %s\n    again: %s\n", o.Plan, o.Err, o.Again)
			continue
		}
		v, verdict := o.Verdict, "sound"
		if !o.sound() {
			verdict = fmt.Sprintf("%d VIOLATIONS", len(v.Violations))
		}
		fmt.Fprintf(out, "%-12s %8d %8d %8d %6d %6d %8d %8d %6.1f s  %s\n", filepath.Base(o.Plan), v.Offered, v.Acknowledged, v.Applied, v.Held, v.Dead, v.Changes, v.Repeated, v.Pause.Seconds(), verdict)
		told := map[string]int{}
		for _, w := range v.Violations {
			if told[w.Rule]++; told[w.Rule] <= mostTold {
				fmt.Fprintf(out, "    %s: %s\n", w.Rule, w.Text)
			}
		}
		for rule, n := range told {
			if n > mostTold {
				fmt.Fprintf(out, "    %s: and %d more\n", rule, n-mostTold)
			}
		}
		if o.Err != "" || len(v.Violations) > 0 {
			fmt.Fprintf(out, "    %s\n    again: %s\n", o.Err, v.Command)
		}
	}
	return nil
}
