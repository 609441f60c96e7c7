package main

import (
	"fmt"
	"strconv"

	"github.com/vagus-health/vagus/internal/sizing"
)

// sizeCmd is `vagus size`.
type sizeCmd struct {
	Rate     string  `default:"10/s" placeholder:"RATE" help:"Messages of all sites together, on average: 50/s, 3000/min, 1M/day."`
	Sites    int     `default:"1" help:"Sites."`
	Peak     float64 `default:"4" help:"The busiest minute, in averages."`
	Body     string  `default:"1.2KB" placeholder:"SIZE" help:"A message."`
	Unit     string  `placeholder:"SIZE" help:"What its mapping makes of it (vagus mapping run prints it); by default 1.2 times the message."`
	Journal  string  `name:"retention" default:"14d" placeholder:"TIME" help:"journal.retention of the sites."`
	Hub      string  `name:"max-age" default:"30d" placeholder:"TIME" help:"max_age of the hub."`
	Ledger   string  `name:"keep" default:"90d" placeholder:"TIME" help:"keep of the workers."`
	Replicas int     `default:"3" help:"Replicas of the hub's streams: 1, 3 or 5."`
	OdooRate float64 `default:"60" help:"Units a second that one worker process of Odoo takes: 60 for new and changed contacts, 15 for invoices; vagus odoo check measures yours."`
	Cores    int     `default:"8" help:"Cores of one server."`
	Memory   string  `default:"64GB" placeholder:"SIZE" help:"Memory of one server."`
	Disk     string  `default:"4TB" placeholder:"SIZE" help:"Disk of one server."`
	Writes   float64 `default:"5000" help:"Flushes a second that its disk makes (fio --fdatasync=1)."`
	Output   string  `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Help is shown by `vagus size --help`.
func (*sizeCmd) Help() string {
	return "What a load needs of each part, and which part is full first. The figures behind it were measured; deploy/SIZING.md says how, and how the cost grows."
}

// Run prints what a load needs.
func (cmd *sizeCmd) Run(c *console) error {
	l := sizing.Load{Sites: cmd.Sites, Peak: cmd.Peak, Replicas: cmd.Replicas, Odoo: cmd.OdooRate, Machine: sizing.Machine{Cores: cmd.Cores, Writes: cmd.Writes}}
	var err error
	if l.Rate, err = sizing.ParseRate(cmd.Rate); err != nil {
		return fmt.Errorf("--rate: %w", err)
	}
	for _, size := range []struct {
		flag, text string
		to         *int64
	}{{"body", cmd.Body, &l.Body}, {"unit", cmd.Unit, &l.Unit}, {"memory", cmd.Memory, &l.Machine.Memory}, {"disk", cmd.Disk, &l.Machine.Disk}} {
		if size.flag == "unit" && size.text == "" {
			l.Unit = l.Body * 6 / 5
			continue
		}
		if *size.to, err = sizing.ParseBytes(size.text); err != nil {
			return fmt.Errorf("--%s: %w", size.flag, err)
		}
	}
	if l.Journal, err = sizing.ParseKeep(cmd.Journal); err != nil {
		return fmt.Errorf("--retention: %w", err)
	}
	if l.Hub, err = sizing.ParseKeep(cmd.Hub); err != nil {
		return fmt.Errorf("--max-age: %w", err)
	}
	if l.Ledger, err = sizing.ParseKeep(cmd.Ledger); err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	e, err := sizing.Of(l)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(e)
	}
	c.size(e)
	return nil
}

func cores(n float64) string {
	if n < 0.01 {
		return "< 0.01"
	}
	return fmt.Sprintf("%.2f", n)
}

func (c *console) size(e sizing.Estimate) {
	some := func(is bool, text string) cell {
		if !is {
			text = "-"
		}
		return cell{text: text}
	}
	var rows [][]cell
	for _, p := range e.Parts {
		full := cell{text: fmt.Sprintf("%.0f %% %s", 100*p.Full, p.By), ink: green}
		switch {
		case p.By == "": // not ours
			full = cell{text: "-"}
		case p.Full > 1:
			full.ink = red
		case p.Full > 0.7:
			full.ink = yellow
		}
		rows = append(rows, []cell{{p.Name, bold}, {text: strconv.Itoa(p.Count)}, some(p.Cores > 0, cores(p.Cores)), some(p.Memory > 0, sizing.Bytes(p.Memory)),
			some(p.Disk > 0, sizing.Bytes(p.Disk)), some(p.Writes > 0, sizing.Count(p.Writes)), some(p.Rows > 0, sizing.Count(float64(p.Rows))), full})
	}
	c.say("%s messages a day of %d site(s); of each process, at the busiest minute, with %.0f %% of disks left free:", sizing.Count(float64(e.Day)), e.Load.Sites, 100*sizing.Reserve)
	c.say("")
	c.table([]column{{head: "PART"}, {head: "PROCESSES"}, {head: "CORES"}, {head: "MEMORY"}, {head: "DISK"}, {head: "WRITES/S"}, {head: "ROWS", drop: 1}, {head: "OF A SERVER"}}, rows)
	c.say("")
	c.table([]column{{}, {}}, [][]cell{{{"full first", bold}, {text: e.Limit}}, {{"to add", bold}, {text: e.Add}}})
}
