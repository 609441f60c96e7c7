package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

type mappingTestCmd struct {
	mappingRoot
	Files       []string `arg:"" optional:"" type:"path" help:"Test files, or directories to look through; default: this directory."`
	Update      bool     `help:"Write the golden files anew from what came out. Read the diff before you commit it."`
	Run_        string   `name:"run" placeholder:"REGEXP" help:"Only cases whose name it matches."`
	Coverage    bool     `help:"List the outcomes of rules that no case reaches."`
	MinCoverage float64  `name:"min-coverage" placeholder:"PERCENT" help:"Fail when the tests of a mapping reach less, and list what they do not reach."`
	JUnit       string   `name:"junit" type:"path" placeholder:"FILE" help:"Write the result for a build server, too."`
	Output      string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what coverage means.
func (mappingTestCmd) Help() string { return workbench.CoverageMeaning }

func (cmd mappingTestCmd) Run(c *console) error {
	switch {
	case !(cmd.MinCoverage >= 0 && cmd.MinCoverage <= 100): // NaN is neither
		return fmt.Errorf("--min-coverage is a percentage from 0 to 100, not %g", cmd.MinCoverage)
	case cmd.Run_ != "" && cmd.MinCoverage > 0:
		return errors.New("--min-coverage is of all cases: leave out --run")
	case cmd.Run_ != "" && cmd.Coverage:
		return errors.New("--coverage is of all cases: leave out --run")
	}
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	names, err := b.find(orHere(cmd.Files), "file that ends in .test.yaml", endsIn(".test.yaml"))
	if err != nil {
		return err
	}
	var o workbench.TestOptions
	if cmd.Update {
		o.Update = b.write
	}
	if cmd.Run_ != "" {
		if o.Run, err = regexp.Compile(cmd.Run_); err != nil {
			return fmt.Errorf("--run: %w", err)
		}
	}
	each := func(f workbench.FileTest) { f.Print(c.screen()) }
	if cmd.Output == "json" {
		each = nil
	}
	rep, err := b.Test(c.ctx, names, o, each)
	if err != nil {
		return err
	}
	if cmd.JUnit != "" {
		if err := writeFile(cmd.JUnit, rep.JUnit); err != nil {
			return fmt.Errorf("--junit: %w", err)
		}
	}
	if cmd.Output == "json" {
		err = c.printJSON(rep)
	} else {
		rep.Print(c.screen(), cmd.Coverage, cmd.MinCoverage)
		if !rep.Covers(cmd.MinCoverage) {
			c.note("coverage is below --min-coverage %g", cmd.MinCoverage)
		}
	}
	if err == nil && !(rep.OK() && rep.Covers(cmd.MinCoverage)) {
		err = exitError(1)
	}
	return err
}

// writeFile creates or replaces a file with what write writes.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
