package scale

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// A command is what an operator types, and what it finds.
type command struct {
	name string
	args []string
}

// commands are all that read the ledger, with arguments for a filled one: what is common, what is
// rare, and what is not there.
func commands() []command {
	unit, message, dead, before := pgtest.UnitID(1234), pgtest.MessageID(4321), pgtest.UnitID(5007), pgtest.UnitID(1001)
	list := func(name string, args ...string) command {
		return command{"messages ls" + name, append([]string{"messages", "ls"}, args...)}
	}
	return []command{
		{"status", []string{"status"}},
		list(""),
		list(", the last page", "--before", before),
		list(" of an hour, two weeks ago", "--since", "337h", "--until", "336h"),
		list(" --sender-id", "--sender-id", "MSG4242"),
		list(" --feed", "--feed", "adt"),
		list(" --feed, a rare one", "--feed", "rare"),
		list(" --feed, unknown", "--feed", "nosuch"),
		list(" --site", "--site", "site-42"),
		list(" --site, unknown", "--site", "nosuch"),
		list(" --site and --feed, rare together", "--site", "site-17", "--feed", "rare"),
		list(" --target, unknown", "--target", "nosuch"),
		list(" --kind", "--kind", "ADT^A08"),
		list(" --kind, a rare one", "--kind", "ADT^A40"),
		list(" --kind, unknown", "--kind", "ZZZ^Z01"),
		list(" --class", "--class", "odoo.ValidationError"),
		list(" --class, a rare one", "--class", "odoo.rare"),
		list(" --class, unknown", "--class", "no.such"),
		list(" --status applied", "--status", "applied"),
		list(" --status claimed", "--status", "claimed"),
		list(" --status skipped", "--status", "skipped"),
		list(" --status parked", "--status", "parked"),
		list(" --status discarded", "--status", "discarded"),
		{"messages show", []string{"messages", "show", unit[:10]}},
		{"trace, by a unit's id", []string{"trace", unit}},
		{"trace, by a message's id", []string{"trace", message[:8]}},
		{"trace, of a dead letter", []string{"trace", dead}},
		{"dead ls", []string{"dead", "ls"}},
		{"dead ls --class, a rare one", []string{"dead", "ls", "--class", "odoo.rare"}},
		{"dead show", []string{"dead", "show", dead}},
		{"replay --list", []string{"replay", "--list"}},
		{"replay, plan by id", []string{"replay", "--dry-run", "--yes", dead}},
		{"replay, plan by class", []string{"replay", "--dry-run", "--yes", "--query", "status=dead class=odoo.rare"}},
		{"replay, plan of a feed's last hours", []string{"replay", "--dry-run", "--yes", "--query", "feed=adt status=dead since=6h"}},
		{"replay, plan of half an hour, all of it applied", []string{"replay", "--dry-run", "--yes", "--query", "since=30m"}},
	}
}

// quick is what a command may take, and again is how often each is measured.
const (
	quick = 200 * time.Millisecond
	again = 5
)

func fullLedger(ctx context.Context, m *measurement) error {
	n := m.of(10_000_000, 100_000)
	if err := room(m.dir, float64(n)*1400+1e9, 3e9); err != nil {
		return err
	}
	r, err := newRig(m)
	if err != nil {
		return err
	}
	binary := filepath.Join(m.dir, "vagus")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/vagus").CombinedOutput(); err != nil {
		return fmt.Errorf("build vagus: %w: %s", err, out)
	}
	// While it is filled the server logs and flushes little: nobody relies on these rows.
	if err := r.startLedger(ctx, "wal_level = minimal", "max_wal_senders = 0", "shared_buffers = '1GB'", "autovacuum = off", "fsync = off", "max_wal_size = '8GB'"); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, r.pg.DSN)
	if err != nil {
		return err
	}
	began := time.Now()
	err = pgtest.Fill(ctx, conn, n, func(done int) {
		m.step(0.7*float64(done)/float64(n), fmt.Sprintf("%d of %d units in the ledger", done, n))
	})
	if err != nil {
		return err
	}
	m.add("filled by the server itself, with indexes", time.Since(began).Seconds(), "s")
	var size float64
	if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
		return err
	}
	m.add(fmt.Sprintf("on disk with %s units", page.Number(float64(n))), size/1e9, "GB")
	if err := conn.Close(ctx); err != nil {
		return err
	}
	// From here on each statement's plan is in the server's log, as it was carried out.
	if err := r.set(ctx, "fsync = on", "session_preload_libraries = 'auto_explain'", "auto_explain.log_min_duration = 0", "auto_explain.log_format = 'json'", "log_line_prefix = ''"); err != nil {
		return err
	}
	if _, err := r.startHub(ctx); err != nil {
		return err
	}
	if _, err := r.startWorker(ctx); err != nil {
		return err
	}
	return r.timeCommands(ctx, binary, commands())
}

// timeCommands runs each command some times.
func (r *rig) timeCommands(ctx context.Context, binary string, cmds []command) error {
	m, slow := r.m, 0
	began := time.Now()
	if err := exec.CommandContext(ctx, binary, "--version").Run(); err != nil {
		return err
	}
	m.add("vagus --version, which asks nobody", time.Since(began).Seconds()*1000, "ms")
	var walked []string
	var failed []error
	for i, c := range cmds {
		m.step(0.75+0.25*float64(i)/float64(len(cmds)), c.name)
		log := int64(len(r.pg.Logged()))
		took := make([]time.Duration, 0, again)
		for range again {
			began := time.Now()
			cmd := exec.CommandContext(ctx, binary, c.args...)
			cmd.Env = append(os.Environ(), "VAGUS_API=http://"+r.workerAPI, "VAGUS_TOKEN="+token)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !(errors.As(err, &exit) && exit.ExitCode() <= 2 && c.name == "status") {
				failed = append(failed, fmt.Errorf("vagus %s: %w: %s", strings.Join(c.args, " "), err, said.String()))
			}
			took = append(took, time.Since(began))
			if err != nil && time.Since(began) > 5*time.Second {
				break // it gave up, and would again
			}
		}
		slices.Sort(took)
		median := took[len(took)/2]
		if median >= quick {
			slow++
		}
		m.judge("vagus "+c.name, float64(median.Microseconds())/1000, "ms", "under 200", median < quick)
		plans, err := plansSince(r.pg.Log, log)
		if err != nil {
			return err
		}
		for _, p := range plans {
			var asked struct {
				SQL string `json:"Query Text"`
			}
			if err := json.Unmarshal(p, &asked); err != nil {
				return err
			}
			for _, w := range pgtest.Walks(asked.SQL, p) {
				walked = append(walked, "vagus "+c.name+": "+w)
			}
		}
	}
	m.judge("commands that take longer", float64(slow), fmt.Sprintf("of %d", len(cmds)), "none", slow == 0)
	slices.Sort(walked)
	walked = slices.Compact(walked)
	m.judge("plans that read a table that grows without an index", float64(len(walked)), "", "none", len(walked) == 0)
	for _, w := range walked {
		m.add(w, 1, "")
	}
	return errors.Join(failed...)
}

// plansSince reads the plans that auto_explain wrote into a server's log from a place on.
func plansSince(file string, from int64) (plans []json.RawMessage, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(from, 0); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	var plan *bytes.Buffer
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "LOG:") && strings.Contains(line, "plan:"):
			plan = &bytes.Buffer{}
		case plan != nil && strings.HasPrefix(line, "\t"):
			plan.WriteString(line + "\n")
			if line == "\t}" {
				if json.Valid(plan.Bytes()) {
					plans = append(plans, plan.Bytes())
				}
				plan = nil
			}
		}
	}
	return plans, lines.Err()
}
