package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vagus-health/vagus/internal/app/demo"
)

type demoCmd struct {
	Messages int    `default:"60" help:"Messages to send."`
	Patients int    `default:"12" help:"Patients that they are about."`
	Output   string `short:"o" enum:"table,json" default:"table" help:"table or json."`
	Log      string `type:"path" help:"File for the processes' logs (default: one in the temporary directory)." placeholder:"FILE"`
}

func (cmd demoCmd) Run(c *console) error {
	if cmd.Messages < 3 || cmd.Messages > 1000 || cmd.Patients < 1 || cmd.Patients > 1000 {
		return fmt.Errorf("--messages: 3 to 1000; --patients: 1 to 1000")
	}
	if cmd.Log == "" {
		cmd.Log = filepath.Join(os.TempDir(), "vagus-demo.log")
	}
	log, err := os.Create(cmd.Log)
	if err != nil {
		return err
	}
	defer log.Close()
	bar := &progress{c: c, total: cmd.Messages, start: c.now()}
	fates, err := demo.Run(c.ctx, demo.Config{
		Messages: cmd.Messages, Patients: cmd.Patients, Version: version, Log: log,
		Say: func(format string, args ...any) { bar.end(); c.note(format, args...) },
		Progress: func(done int) {
			if c.live { // elsewhere the story's own lines are enough
				bar.show(done)
			}
		},
	})
	bar.end()
	if cmd.Output == "json" {
		if perr := c.printJSON(fates); perr != nil {
			return perr
		}
	} else {
		c.fates(fates)
	}
	if err != nil {
		return fmt.Errorf("the demo did not come out as promised: %w (logs: %s)", err, cmd.Log)
	}
	c.note("\nAll %d messages: acknowledged after they were on disk, applied once, in the order of each patient and account. Logs: %s", len(fates), cmd.Log)
	return nil
}

func (c *console) fates(fates []demo.Fate) {
	rows := make([][]cell, 0, len(fates))
	for _, f := range fates {
		link, record := "", "-"
		if f.LinkCut {
			link = "cut"
		}
		if len(f.Unit.Records) > 0 {
			r := f.Unit.Records[0]
			record = fmt.Sprintf("%s(%d)", r.Model, r.ID)
			if r.Made {
				record += " new"
			}
		}
		unit := f.Unit.ID
		if len(unit) > 10 {
			unit = unit[:10]
		}
		status := cell{string(f.Unit.Status), green}
		if f.Unit.Status != f.Want {
			status.ink = red
		}
		row := texts(f.ControlID, f.Event, f.Ack, fmt.Sprintf("%.1fms", f.AckTook.Seconds()*1e3), link, unit, "", strconv.Itoa(f.Unit.Attempts), age(f.Took), record)
		row[6] = status
		rows = append(rows, row)
	}
	c.table([]column{{head: "SENT"}, {head: "EVENT"}, {head: "ACK"}, {head: "AFTER", right: true, drop: 1}, {head: "LINK"}, {head: "UNIT", drop: 2}, {head: "STATUS"}, {head: "ATTEMPTS", right: true, drop: 3},
		{head: "TOOK", right: true}, {head: "ODOO RECORD"}}, rows)
}
