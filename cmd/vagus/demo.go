package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/app/demo"
)

type demoCmd struct {
	Messages int    `default:"30" help:"Admissions to send before the samples."`
	Patients int    `default:"8" help:"Patients that they are about."`
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
	bar := &progress{c: c, start: c.now()}
	fates, err := demo.Run(c.ctx, demo.Config{
		Messages: cmd.Messages, Patients: cmd.Patients, Version: version, Log: log,
		Say: func(format string, args ...any) { bar.end(); c.note(format, args...) },
		Progress: func(done, of int) {
			if c.live { // elsewhere the story's own lines are enough
				bar.total = of
				bar.show(done)
			}
		},
	})
	bar.end()
	if cmd.Output == "json" {
		type row struct {
			demo.Fate
			Status string `json:"status"`
			Good   bool   `json:"as_it_should_be"`
		}
		rows := make([]row, len(fates))
		for i := range fates {
			rows[i] = row{fates[i], fates[i].Status(), fates[i].AsWanted()}
		}
		if perr := c.printJSON(rows); perr != nil {
			return perr
		}
	} else {
		c.note("")
		c.fates(fates)
	}
	if err != nil {
		return fmt.Errorf("the demo did not come out as promised: %w (logs: %s)", err, cmd.Log)
	}
	c.note("\nAll %d came to what they should: acknowledged when on disk and applied once, in order, or refused\nwith the reason. Logs: %s", len(fates), cmd.Log)
	return nil
}

func (c *console) fates(fates []demo.Fate) {
	rows := make([][]cell, 0, len(fates))
	for i := range fates {
		f := &fates[i]
		units, record, took, ack, attempts := "-", "-", "-", f.Ack, 0
		for _, u := range f.Units {
			attempts = max(attempts, u.Attempts)
		}
		if n := len(f.Units); n > 0 {
			units = f.Units[0].ID[:min(len(f.Units[0].ID), 8)] + more(n)
		}
		if n := len(f.Records); n > 0 {
			record = f.Records[0] + more(n)
		}
		if f.Took > 0 {
			took = age(f.Took)
		}
		if f.LinkCut {
			ack += ", cut"
		}
		status := cell{f.Status(), green}
		if !f.AsWanted() {
			status.ink = red
		}
		rows = append(rows, append(append(texts(f.Source, shorten(f.SenderID, 19), ack, units), status), texts(strconv.Itoa(attempts), took, record)...))
	}
	c.table([]column{{head: "SOURCE"}, {head: "SENDER'S ID"}, {head: "ACK"}, {head: "UNIT"}, {head: "STATUS"}, {head: "TRIES", right: true}, {head: "TOOK", right: true}, {head: "ODOO RECORD"}}, rows)
}

// more says how many there are beside the one that is shown.
func more(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" +%d", n-1)
}

// shorten cuts a text that is wider than this, and says so.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
