package main

import (
	"errors"
	"fmt"

	"github.com/vagus-health/vagus/internal/mapping"
)

type mappingRenderCmd struct {
	mappingRoot
	File   string `arg:"" type:"path" help:"Mapping file."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what is printed.
func (mappingRenderCmd) Help() string {
	return "Prints the mapping as one file, with what it extends and includes put in, and behind every line where it was written. Saved beside the file, it does the same."
}

func (cmd mappingRenderCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	name, err := b.existing(cmd.File)
	if err != nil {
		return err
	}
	lines, err := mapping.Render(b.FS, name)
	var issues mapping.Issues
	if errors.As(err, &issues) {
		for i := range issues {
			issues[i].File = b.Show(issues[i].File)
		}
		return c.faulty(issues, cmd.Output)
	}
	for i := range lines {
		lines[i].File = b.Show(lines[i].File)
	}
	if cmd.Output == "json" {
		return c.printJSON(lines)
	}
	fmt.Fprint(c.out, mapping.Annotate(lines))
	return nil
}
