package main

import (
	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

type mappingMutateCmd struct {
	mappingRoot
	Mappings []string `arg:"" optional:"" type:"path" help:"Mappings, or directories to look through; default: this directory."`
	MinScore float64  `name:"min-score" placeholder:"PERCENT" help:"Fail when the tests of a mapping notice less."`
	Output   string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what is done.
func (mappingMutateCmd) Help() string {
	return `Removes each rule, each policy of a rule (required, default, on_error, on_null, only_on, when), each when of an
operation and each guard, one at a time, and runs the tests that stand beside the mapping. What can be removed
without a test that fails is something that no test proves. No file is changed.`
}

func (cmd mappingMutateCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	names, err := b.find(orHere(cmd.Mappings), "file that ends in .map.yaml", endsIn(".map.yaml"))
	if err != nil {
		return err
	}
	ok := true
	reports := []workbench.MutationReport{}
	for _, name := range names {
		tests, err := b.TestsOf(name)
		if err != nil {
			return err
		}
		bar := &progress{c: c, start: c.now()}
		rep, err := b.Mutate(c.ctx, name, tests, c.progress(bar))
		bar.end()
		if err != nil {
			return c.faulty(err, cmd.Output)
		}
		ok = ok && rep.Score >= cmd.MinScore
		reports = append(reports, rep)
		if cmd.Output == "text" {
			rep.Print(c.screen())
		}
	}
	if cmd.Output == "json" {
		if err := c.printJSON(reports); err != nil {
			return err
		}
	}
	if !ok {
		c.note("a score is below --min-score %g", cmd.MinScore)
		return exitError(1)
	}
	return nil
}
