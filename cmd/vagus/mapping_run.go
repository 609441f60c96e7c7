package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

type mappingRunCmd struct {
	mappingRoot
	Mapping string   `arg:"" type:"path" help:"The mapping."`
	Input   string   `required:"" short:"i" placeholder:"FILE" help:"The message, or a file of several; - reads standard input."`
	Message int      `placeholder:"N" help:"Only the n-th message of the file."`
	Explain bool     `short:"e" help:"Tell for every value where it comes from and what each step made of it."`
	Only    []string `placeholder:"OPERATION" help:"Explain only these operations (kin, kin#2)."`
	Output  string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what is shown.
func (mappingRunCmd) Help() string {
	return `Prints the unit that the message becomes, as it would travel. Nothing is sent. What is printed holds the
values of the message: mind who reads it.`
}

func (cmd mappingRunCmd) Run(c *console) error {
	if len(cmd.Only) > 0 && (!cmd.Explain || cmd.Output == "json") {
		return errors.New("--only chooses what --explain tells as text")
	}
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	name, err := b.existing(cmd.Mapping)
	if err != nil {
		return err
	}
	body, err := readMessage(c, cmd.Input)
	if err != nil {
		return err
	}
	runs, err := b.Run(c.ctx, name, body)
	if issues := (mapping.Issues)(nil); errors.As(err, &issues) { // of the mapping, and not of the message
		return c.faulty(err, cmd.Output)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Input, err)
	}
	if cmd.Message != 0 {
		if cmd.Message < 1 || cmd.Message > len(runs) {
			return fmt.Errorf("--message %d: %s has messages 1 to %d", cmd.Message, cmd.Input, len(runs))
		}
		runs = runs[cmd.Message-1 : cmd.Message]
	}
	switch {
	case cmd.Output == "json" && cmd.Explain:
		return c.printJSON(runs)
	case cmd.Explain:
		for i, r := range runs {
			if i > 0 {
				c.say("")
			}
			if err := r.Explain(c.screen(), cmd.Only); err != nil {
				return fmt.Errorf("--only: %w", err)
			}
		}
		return nil
	case cmd.Output == "json" && len(runs) != 1:
		units := make([]workbench.Unit, len(runs))
		for i, r := range runs {
			units[i] = r.Unit
		}
		return c.printJSON(units)
	}
	for _, r := range runs {
		if cmd.Output == "json" {
			return c.printJSON(r.Unit)
		}
		if err := r.Unit.Print(c.screen()); err != nil {
			return err
		}
	}
	return nil
}

const maxMessageFile = 256 << 20 // bytes of a file of messages

// readMessage reads a message file, bounded; - is standard input.
func readMessage(c *console, path string) ([]byte, error) {
	from := c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, notOpened(path, err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil, fmt.Errorf("%s is a directory: name a file", relative(path))
		}
		from = f
	}
	body, err := io.ReadAll(io.LimitReader(from, maxMessageFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(body) > maxMessageFile {
		return nil, fmt.Errorf("%s has over %d MiB: split it first", path, maxMessageFile>>20)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return body, nil
}
