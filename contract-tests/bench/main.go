// Command bench runs the benchmarks that Vagus' promises about speed and size
// name, in one run of this machine, prints them as a table beside their targets
// and the last run, and writes them to last.json. Figures differ from machine
// to machine and from minute to minute; ratios within a run are what to trust.
// It fails when a benchmark fails, never because of a figure.
//
// With -scale it measures whole systems under load and at size instead (see results/README.md), with -draw
// it draws the page of such a report again.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/contract-tests/bench/page"
	"github.com/vagus-health/vagus/contract-tests/bench/scale"
)

// A run is one benchmark as `go test -bench` prints it: its values by unit.
type run map[string]float64

// A figure is one line of the table, computed from the runs.
type figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
	Met    *bool   `json:"met,omitempty"`
}

type report struct {
	At      time.Time `json:"at"`
	Machine string    `json:"machine"`
	Figures []figure  `json:"figures"`
}

// suites are what is run, in this order.
var suites = []struct{ pkg, bench, long, short string }{
	{"./broker/journal", "BarePublishAlways|Append", "2s", "300x"},
	{"./contract-tests/endtoend", "AcceptToBare", "20x", "3x"},
	{"./contract-tests/endtoend", "Accept$", "2s", "300x"},
	{"./contract-tests/endtoend", "EndToEnd", "1x", "1x"},
	{"./contract-tests/endtoend", "CatchUp", "1x", "1x"},
	{"./contract-tests/endtoend", "Mixed", "1x", "1x"},
	{"./contract-tests/endtoend", "AgentAtRest", "1x", "1x"},
	{"./contract-tests/endtoend", "Sizes", "1x", "1x"},
	{"./contract-tests/endtoend", "HeapGrowth", "1x", ""}, // it waits for the journal's trimming: minutes
	{"./connectors/hl7", ".", "1s", "100x"},
	{"./connectors/x12", ".", "1s", "5x"},
	{"./contract-tests/fhir", ".", "2s", "2x"},
	{"./connectors/fhir", ".", "1s", "1x"},
	{"./internal/mapping", ".", "1s", "100x"},
	{"./internal/mapping/workbench", "LintAll|TestAll|Diff1000", "2s", "2x"},
	{"./contract-tests/batches", ".", "3x", "1x"},
	{"./connectors/odoo/...", ".", "1s", "20x"},
	{"./broker/ledger/...", ".", "1s", "20x"},
}

func main() {
	scale.Role()
	bed.Role()
	short := flag.Bool("short", false, "a few iterations of each, or small sizes, to see that they run")
	out := flag.String("out", filepath.Join("contract-tests", "bench", "last.json"), "where the figures are kept for the next run")
	large := flag.Bool("scale", false, "measure whole systems under load and at size")
	parts := flag.String("parts", "", "of -scale: "+strings.Join(scale.Names(), ",")+"; none: all")
	dir := flag.String("dir", "", "of -scale: scratch on the disk to be measured, some 16 GB; none: a temporary one")
	format := flag.String("o", "text", "of -scale: text or json")
	save := flag.Bool("save", false, "of -scale: keep the report in "+results+" and draw its page")
	draw := flag.String("draw", "", "draw the page of this report of -scale")
	flag.Parse()
	var err error
	switch {
	case *draw != "":
		err = page.Draw(*draw)
	case *large:
		err = atScale(scale.Options{Parts: split(*parts), Short: *short, Dir: *dir}, *format, *save)
	default:
		err = bench(*short, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(short bool, out string) error {
	runs := map[string]run{}
	for i, s := range suites {
		long := s.long
		if short {
			long = s.short
		}
		if long == "" {
			continue
		}
		fmt.Fprintf(os.Stderr, "[%d/%d] %s %s\n", i+1, len(suites), s.pkg, s.bench)
		cmd := exec.Command("go", "test", "-run", "^$", "-bench", s.bench, "-benchtime", long, "-benchmem", "-timeout", "20m", s.pkg)
		if short {
			cmd.Env = append(os.Environ(), "VAGUS_BENCH_SHORT=1")
		}
		var printed bytes.Buffer
		cmd.Stdout, cmd.Stderr = &printed, &printed
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w\n%s", s.pkg, err, printed.String())
		}
		read(&printed, strings.TrimPrefix(s.pkg, "./"), runs)
	}
	r := report{At: time.Now().UTC().Truncate(time.Second), Machine: machine(), Figures: figures(runs)}
	last, err := previous(out)
	if err != nil {
		return err
	}
	r.print(os.Stdout, last)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o644)
}

// read collects lines such as
//
//	BenchmarkAppend/senders=64-2   1234   81234 ns/op   12 B/op   3.5 units/call
func read(printed io.Reader, pkg string, runs map[string]run) {
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		values := run{}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				values[f[i+1]] = v
			}
		}
		runs[strings.TrimSuffix(pkg, "/...")+" "+name] = values
	}
}

// figures are the promises first, with their targets, and then every other
// benchmark as it is.
func figures(runs map[string]run) []figure {
	var fs []figure
	at := func(name, unit string) float64 { return runs[name][unit] }
	add := func(name string, value float64, unit, target string, met bool) {
		f := figure{Name: name, Value: value, Unit: unit, Target: target}
		if target != "" {
			f.Met = &met
		}
		fs = append(fs, f)
	}
	const e = "contract-tests/endtoend "
	if ratio, one, many := at(e+"AcceptToBare", "×bare"), at(e+"Accept/connections=1", "ns/op"), at(e+"Accept/connections=64", "ns/op"); ratio > 0 && one > 0 && many > 0 {
		add("accept, 1 connection, to a bare publish by TCP", ratio, "×", "at most 1.3", ratio <= 1.3)
		add("accept, 1 connection, to one inside the process", at(e+"AcceptToBare", "×in-process"), "×", "", false)
		add("accept, 64 connections, to 1", one/many, "×", "at least 5", one/many >= 5)
		add("accept, 1 connection", 1e9/one, "msg/s", "", false)
		add("accept, 64 connections", 1e9/many, "msg/s", "", false)
	}
	for _, m := range []struct {
		name, run, unit, target string
		met                     func(float64) bool
	}{
		{"end to end", "EndToEnd", "msg/cpu-s", "at least 1500", func(v float64) bool { return v >= 1500 }},
		{"end to end, rate", "EndToEnd", "msg/s", "", nil},
		{"upserts in one Odoo call, backlog", "EndToEnd", "upserts/call", "at least 20", func(v float64) bool { return v >= 20 }},
		{"calls of Odoo, backlog", "EndToEnd", "msg/odoo-call", "", nil},
		{"transactions of the ledger, backlog", "EndToEnd", "msg/commit", "", nil},
		{"catch-up after a cut, to the hub", "CatchUp", "msg/s", "at least 15000", func(v float64) bool { return v >= 15000 }},
		{"catch-up, agent's processor time", "CatchUp", "agent-µs/msg", "", nil},
		{"catch-up, hub's processor time", "CatchUp", "hub-µs/msg", "", nil},
		{"catch-up, growth of what the agent holds", "CatchUp", "grown-MB", "", nil},
		{"mixed feeds", "Mixed", "msg/cpu-s", "", nil},
		{"mixed feeds, agent alone", "Mixed", "agent-msg/cpu-s", "", nil},
		{"mixed feeds, rate", "Mixed", "msg/s", "", nil},
		{"mixed feeds, acknowledgement, median", "Mixed", "ack-p50-ms", "", nil},
		{"mixed feeds, acknowledgement, 99th of 100", "Mixed", "ack-p99-ms", "", nil},
		{"mixed feeds, order violations", "Mixed", "violations", "none", func(v float64) bool { return v == 0 }},
		{"agent at rest, resident", "AgentAtRest", "MB", "at most 80", func(v float64) bool { return v <= 80 }},
		{"agent's heap, growth from 10,000 to 100,000", "HeapGrowth", "agent-B/msg", "none: under 16", func(v float64) bool { return v < 16 }},
		{"worker's heap, growth from 10,000 to 100,000", "HeapGrowth", "worker-B/msg", "none: under 16", func(v float64) bool { return v < 16 }},
		{"agent's heap after 100,000", "HeapGrowth", "agent-MB", "", nil},
		{"worker's heap after 100,000", "HeapGrowth", "worker-MB", "", nil},
	} {
		if v, ok := runs[e+m.run][m.unit]; ok {
			add(m.name, v, m.unit, m.target, m.met != nil && m.met(v))
		}
	}
	if r := runs["connectors/hl7 ParseAgain"]; r != nil { // as decoding does
		add("HL7 parse", r["MB/s"], "MB/s", "at least 300", r["MB/s"] >= 300)
		add("HL7 parse, allocations of a message", r["allocs/op"], "", "none", r["allocs/op"] == 0)
	}
	if v, ok := runs["connectors/x12 EnvelopeScan"]["MB/s"]; ok {
		add("X12 envelope scan", v, "MB/s", "at least 500", v >= 500)
	}
	const w = "internal/mapping/workbench "
	for _, m := range []struct {
		name, run, unit string
		scale           float64 // of the unit that is shown
		shown, target   string
		most            float64
	}{
		{"mapping an ADT, tree at hand, processor time", "internal/mapping RunADT", "cpu-ns/op", 1e3, "µs", "at most 60", 60},
		{"mapping an ADT with decoding, processor time", "internal/mapping DecodeAndRunADT", "cpu-ns/op", 1e3, "µs", "at most 100", 100},
		{"lint of all shipped mappings", w + "LintAll", "ns/op", 1e9, "s", "under 2", 2},
		{"test of all shipped mappings", w + "TestAll", "ns/op", 1e9, "s", "under 5", 5},
		{"diff of 1,000 stored messages", w + "Diff1000", "ns/op", 1e9, "s", "at most 2", 2},
	} {
		if v, ok := runs[m.run][m.unit]; ok {
			add(m.name, v/m.scale, m.shown, m.target, v/m.scale <= m.most)
		}
	}
	if v, ok := runs["connectors/odoo Upserts/rows=50"]["upserts/s"]; ok {
		add("the simulated Odoo, 50 upserts a call", v, "upserts/s", "at least 5000", v >= 5000)
	}
	if v, ok := runs["internal/mapping DecodeAndRunADT"]["cpu-ns/op"]; ok {
		add("mapping an ADT with decoding, one core", 1e9/v, "msg/s", "", false)
	}
	fs = append(fs, resources(runs)...)
	fs = append(fs, batches(runs)...)
	for _, s := range suites {
		pkg := strings.TrimSuffix(strings.TrimPrefix(s.pkg, "./"), "/...")
		if strings.HasPrefix(pkg, "contract-tests") {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(runs)) {
			if strings.HasPrefix(name, pkg+" ") {
				add(name, runs[name]["ns/op"]/1e3, "µs/op", "", false)
			}
		}
	}
	return fs
}

func (r report) print(w io.Writer, last *report) {
	before := map[string]float64{}
	if last != nil {
		for _, f := range last.Figures {
			before[f.Name] = f.Value
		}
	}
	fmt.Fprintln(w, r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FIGURE\tVALUE\tUNIT\tTARGET\t\tLAST RUN")
	for _, f := range r.Figures {
		met, was := "", "-"
		if f.Met != nil {
			met = map[bool]string{true: "met", false: "NOT MET"}[*f.Met]
		}
		if v, ok := before[f.Name]; ok && v != 0 {
			was = fmt.Sprintf("%s (%+.0f %%)", number(v), 100*(f.Value-v)/v)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, number(f.Value), f.Unit, f.Target, met, was)
	}
	_ = t.Flush()
}

func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func previous(path string) (*report, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s is not a report of this program: delete it: %w", path, err)
	}
	return &r, nil
}

// machine describes what the figures were measured on.
func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s/%s, %d × %s, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), model, runtime.Version())
}
