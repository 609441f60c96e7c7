package scale

import (
	"fmt"
	"io"
	"strings"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// Print writes a report as a table of at most width characters a line; 0: any.
func Print(w io.Writer, r *page.Report, width int) {
	line := func(s string) {
		if c := []rune(s); width > 3 && len(c) > width {
			s = string(c[:width-1]) + "…"
		}
		fmt.Fprintln(w, strings.TrimRight(s, " "))
	}
	m := r.Machine
	line(fmt.Sprintf("%d × %s, %.0f GB, %s, %.0f flushes/s, %s, PostgreSQL %s", m.Cores, m.CPU, m.MemoryGB, m.Disk, m.Fsyncs, m.Go, m.PostgreSQL))
	line(fmt.Sprintf("commit %s; others took %.2f cores", r.Commit, m.Load))
	values, units, targets := 5, 0, 0
	for _, p := range r.Parts {
		for _, f := range p.Figures {
			values, units, targets = max(values, len([]rune(page.Number(f.Value)))), max(units, len([]rune(f.Unit))), max(targets, len([]rune(f.Target)))
		}
	}
	units, targets = min(units, 12), min(targets, 20)
	name := 64
	if width > 0 {
		name = max(20, min(name, width-values-units-targets-16))
	}
	for _, p := range r.Parts {
		line("")
		line(fmt.Sprintf("%s (%.0f s)", strings.ToUpper(p.Name), p.Took))
		if p.Error != "" {
			first, _, _ := strings.Cut(p.Error, "\n")
			line("  FAILED: " + first)
		}
		for _, f := range p.Figures {
			met := ""
			if f.Met != nil {
				met = map[bool]string{true: "met", false: "NOT MET"}[*f.Met]
			}
			line(fmt.Sprintf("  %-*s %*s %-*s  %-*s %s", name, short(f.Name, name), values, page.Number(f.Value), units, short(f.Unit, units), targets, short(f.Target, targets), met))
		}
	}
}

func short(s string, n int) string {
	if c := []rune(s); len(c) > n && n > 1 {
		return string(c[:n-1]) + "…"
	}
	return s
}
