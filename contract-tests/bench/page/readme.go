package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Files are the page: README.md and a drawing for each chart. file is the report's name, notes are
// files beside it.
func Files(r *Report, file string, notes []string) map[string][]byte {
	files := map[string][]byte{}
	for _, p := range r.Parts {
		for _, c := range p.Charts {
			files[c.ID+".svg"] = c.SVG()
		}
	}
	files["README.md"] = []byte(r.readme(file, notes))
	return files
}

func (r *Report) readme(file string, notes []string) string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "# Load and scale: what was measured\n\nDrawn from [%s](%s) by `go run ./contract-tests/bench -draw contract-tests/bench/results/%[1]s`; measured by `make bench-scale`,\n"+
		"with real processes of agent, hub and worker, PostgreSQL with fsync, and a simulated Odoo, all on one machine, the senders too.\n\n", file, file)
	if r.Short {
		b.WriteString("**These are the small sizes of `-short`, which show that it runs: no target is judged by them.**\n\n")
	}
	fmt.Fprintf(&b, "| | |\n|---|---|\n| measured | %s, commit %s, in %s |\n| processor | %d × %s |\n| memory | %.0f GB |\n| disk | %s, %.0f flushes of 4 KB a second by one writer |\n"+
		"| system | %s, kernel %s |\n| built with | %s |\n| database | PostgreSQL %s |\n| others at the time | %.2f cores |\n",
		r.At.Format("2 January 2006 15:04 MST"), r.Commit, time.Duration(r.Took*float64(time.Second)).Round(time.Second), m.Cores, m.CPU, m.MemoryGB, m.Disk, m.Fsyncs, m.System, m.Kernel, m.Go, m.PostgreSQL, m.Load)
	b.WriteString("\n## Targets\n\n| part | figure | target | measured | |\n|---|---|---|---:|---|\n")
	for _, p := range r.Parts {
		for _, f := range p.Figures {
			if f.Target != "" {
				fmt.Fprintf(&b, "| %s | %s | %s | %s %s | %s |\n", p.Name, f.Name, f.Target, Number(f.Value), f.Unit, verdict(f.Met))
			}
		}
		if p.Error != "" {
			fmt.Fprintf(&b, "| %s | could not be measured to its end | | | 🔴 failed |\n", p.Name)
		}
	}
	for _, p := range r.Parts {
		fmt.Fprintf(&b, "\n## %s\n\n%s It took %s.\n", strings.ToUpper(p.Name[:1])+p.Name[1:], p.What, time.Duration(p.Took*float64(time.Second)).Round(time.Second))
		if p.Error != "" {
			fmt.Fprintf(&b, "\n🔴 It ended with: %s\n", strings.ReplaceAll(p.Error, "\n", " "))
		}
		for _, c := range p.Charts {
			fmt.Fprintf(&b, "\n![%s](%s.svg)\n", c.Title, c.ID)
		}
		if len(p.Figures) > 0 {
			b.WriteString("\n| figure | measured | |\n|---|---:|---|\n")
		}
		for _, f := range p.Figures {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Name, Number(f.Value), f.Unit)
		}
	}
	if len(notes) > 0 {
		b.WriteString("\n## Profiles\n\nWhat was hot, and what was changed because of it:")
		for i, n := range notes {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " [%s](%s)", strings.TrimSuffix(strings.TrimPrefix(n, "notes-"), ".md"), n)
		}
		b.WriteString(".\n")
	}
	return b.String()
}

// verdict is what the page says of a target; nil: it was not judged.
func verdict(met *bool) string {
	switch {
	case met == nil:
		return "not judged"
	case *met:
		return "🟢 met"
	}
	return "🔴 not met"
}

// Number formats a value with three or four digits that matter.
func Number(v float64) string {
	switch a := max(v, -v); {
	case a >= 10_000:
		s := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 100 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}
