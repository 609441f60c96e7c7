package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// TestMain: the test binary is the processes of Vagus as well, so that the race detector is in them.
func TestMain(m *testing.M) {
	bed.Role()
	os.Exit(m.Run())
}

// What make faults does for a quarter of an hour, in half a minute.
func TestASliceOfTheFaults(t *testing.T) {
	t.Parallel()
	p := plan{name: "slice", seed: uint64(time.Now().UnixNano()) % 1_000_000, shape: shape{hubs: 1, workers: 2}, volume: ward, play: func(r *run) error {
		for _, f := range r.general() {
			lasts := time.Second
			switch f.name {
			case "agent killed", "hub killed", "worker killed", "PostgreSQL killed", "Odoo applies and dies before it answers":
			case "link cut":
				lasts = 4 * time.Second
			default:
				continue
			}
			if err := r.fault(f, lasts); err != nil {
				return err
			}
		}
		return nil
	}}
	p.again = fmt.Sprintf("go run ./contract-tests/faults -seed %d singly", p.seed)
	v, err := p.do(t.Context(), t.TempDir(), t.Logf)
	if err != nil {
		t.Fatalf("%v\nagain: %s", err, p.again)
	}
	t.Logf("%+v", v)
	for _, w := range v.Violations {
		t.Errorf("%s: %s", w.Rule, w.Text)
	}
	if !v.Sound() || v.Held == 0 || v.Dead == 0 {
		t.Errorf("again: %s", p.again)
	}
}

// A mutant that no longer fits is found by who changes the code, not by the next long run.
func TestTheMutantsFitTheCode(t *testing.T) {
	t.Parallel()
	root, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if _, err := m.texts(root); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

func TestTheCommandJudgesAHistoryThatIsThere(t *testing.T) {
	t.Parallel()
	const lost = `{"at":1,"run":{"seed":7,"command":"again","grace":1}}
{"at":2,"offer":{"message":"m1","feed":"adt","sender_id":"1","thing":"patient A","version":1,"want":"applied"}}
{"at":3,"answer":{"messages":["m1"],"ok":true,"code":"CA"}}
`
	path := filepath.Join(t.TempDir(), "history.ndjson")
	if err := os.WriteFile(path, []byte(lost), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		var out, errs strings.Builder
		sound, err := execute(context.Background(), []string{"-audit", path, "-o", format}, &out, &errs)
		if err != nil || sound || !strings.Contains(out.String(), "message m1 was acknowledged and is lost") || !strings.Contains(out.String(), "again") {
			t.Errorf("%v %v %s", sound, err, out.String())
		}
	}
	for _, args := range [][]string{{"-audit", path + "-not"}, {"nothing-like-that"}, {"-nothing"}} {
		var out, errs strings.Builder
		if sound, err := execute(context.Background(), args, &out, &errs); err == nil || sound {
			t.Errorf("%v is run", args)
		}
	}
}
