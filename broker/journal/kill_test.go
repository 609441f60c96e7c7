package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

// child is the process that is killed: it appends singly and in steps until it
// dies and prints each acknowledged sender id, "s<first>" for a step.
func child(dir string) {
	j, err := journal.Open(context.Background(), journal.Config{Dir: dir, Feeds: []journal.Feed{{Name: "adt"}}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	from, _ := strconv.ParseInt(os.Getenv("VAGUS_TEST_JOURNAL_FROM"), 10, 64)
	var out sync.Mutex
	say := func(what string) {
		out.Lock()
		defer out.Unlock()
		_, _ = os.Stdout.WriteString(what + "\n")
	}
	for s := range int64(16) {
		go func() {
			for i := from + s*100_000; ; {
				var err error
				if s < 4 {
					if err = j.Append(context.Background(), "adt", batch(i, stepSize, adt)...); err == nil {
						say("s" + strconv.FormatInt(i, 10))
					}
					i += stepSize
				} else {
					if err = j.Append(context.Background(), "adt", message("adt", i, adt)); err == nil {
						say(strconv.FormatInt(i, 10))
					}
					i++
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		}()
	}
	select {}
}

const stepSize = 25

func TestKilledUnderLoadItHasAllThatWasAcknowledgedAndNoHalfStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked, steps := map[string]bool{}, map[int64]bool{}
	for round := range int64(3) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "VAGUS_TEST_JOURNAL_CHILD="+dir, "VAGUS_TEST_JOURNAL_FROM="+strconv.FormatInt(round*10_000_000, 10))
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		n := 0
		for sc := bufio.NewScanner(out); sc.Scan(); {
			line := sc.Text()
			if first, ok := strings.CutPrefix(line, "s"); ok {
				i, _ := strconv.ParseInt(first, 10, 64)
				steps[i] = true
			} else {
				acked[line] = true
			}
			if n++; n == 300 { // later lines are acknowledged as well: they are read until the pipe ends
				must(t, cmd.Process.Signal(syscall.SIGKILL))
			}
		}
		_ = cmd.Wait()
		if n < 300 {
			t.Fatalf("the child died by itself after %d acknowledgements", n)
		}
	}
	for i := range steps {
		for k := range int64(stepSize) {
			acked[strconv.FormatInt(i+k, 10)] = true
		}
	}
	j := open(t, journal.Config{Dir: dir, Feeds: []journal.Feed{{Name: "adt"}}})
	found, groups := map[string]int{}, map[string]int{}
	last := ""
	for _, e := range entries(t, j, "adt", journal.Position{}) {
		found[e.SenderID]++
		if e.Group.Count == 0 {
			last = ""
			continue
		}
		groups[e.Group.ID]++
		if e.Group.Index > 0 && last != e.Group.ID {
			t.Errorf("step %s is not in one piece", e.Group.ID)
		}
		last = e.Group.ID
	}
	lost := 0
	for id := range acked {
		if found[id] != 1 {
			lost++
		}
	}
	half := 0
	for _, n := range groups {
		if n != stepSize {
			half++
		}
	}
	t.Logf("%d acknowledged, %d of them in %d steps; %d in the journal in all", len(acked), len(steps)*stepSize, len(steps), len(found))
	if lost > 0 || half > 0 || len(steps) == 0 {
		t.Errorf("%d acknowledged messages lost, %d steps by half", lost, half)
	}
	// It goes on from there.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(t, j.Append(ctx, "adt", message("adt", 1<<40, adt)))
	m := message("adt", 1<<40, adt)
	if _, err := j.Find(ctx, "adt", broker.ShortID(m.ID)); err != nil {
		t.Error(err)
	}
}
