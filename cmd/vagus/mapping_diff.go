package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

type mappingDiffCmd struct {
	mappingRoot
	Old    string `arg:"" type:"path" help:"The mapping as it is."`
	New    string `arg:"" type:"path" help:"The mapping as it is to be."`
	Replay string `type:"path" placeholder:"DIR" help:"Messages: a directory of files, or a file; a file holds one, or as many as the format splits it into."`
	Config string `short:"c" type:"existingfile" placeholder:"agent.yaml" help:"Configuration of the site whose journal to read, the agent's or that of vagus up, on its machine and as its user."`
	Data   string `name:"data-dir" type:"existingdir" placeholder:"DIR" help:"The data directory instead of the one that --config names, such as a copy of it."`
	Feed   string `placeholder:"NAME" help:"The feed whose messages to read from the journal."`
	Last   int    `default:"1000" placeholder:"N" help:"How many of its last messages (${default})."`
	Exit   bool   `name:"exit-code" help:"Exit with 1 when something differs."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says where messages come from.
func (mappingDiffCmd) Help() string {
	return `Changes are grouped by what differs, verdicts first, then operations, then fields, with the number of messages
and one example each. Nothing is sent. What is printed holds values of the messages: mind who reads it.

  vagus mapping diff adt.map.yaml adt-new.map.yaml --replay messages/
  vagus mapping diff adt.map.yaml adt-new.map.yaml -c agent.yaml --feed adt --last 1000

A running agent gives its stored messages over a socket in its data directory, to its own user only, and goes on
meanwhile; of one that does not run the journal is read.`
}

func (cmd mappingDiffCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	oldName, err := b.existing(cmd.Old)
	if err != nil {
		return err
	}
	newName, err := b.existing(cmd.New)
	if err != nil {
		return err
	}
	stored, err := cmd.messages(c)
	if err != nil {
		return err
	}
	bar := &progress{c: c, total: len(stored), start: c.now()}
	rep, err := b.Diff(c.ctx, oldName, newName, stored, c.progress(bar))
	bar.end()
	if err != nil {
		return c.faulty(err, cmd.Output)
	}
	if cmd.Output == "json" {
		err = c.printJSON(rep)
	} else {
		rep.Print(c.screen())
	}
	if err == nil && cmd.Exit && len(rep.Changes) > 0 {
		err = exitError(1)
	}
	return err
}

// siteConfig reads the configuration of a site: of an agent, or of the one
// process of vagus up, whose site it is.
func siteConfig(file string) (*config.Agent, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if hasTargets.Match(text) {
		all := config.NewAll()
		if err := config.Load(file, all); err != nil {
			return nil, err
		}
		return app.AgentOf(all), nil
	}
	agent := config.NewAgent()
	return agent, config.Load(file, agent)
}

// hasTargets tells the configuration of vagus up: no agent has targets.
var hasTargets = regexp.MustCompile(`(?m)^targets\s*:`)

// progress draws a bar on a terminal, and nothing elsewhere.
func (c *console) progress(bar *progress) workbench.Progress {
	if !c.live {
		return nil
	}
	return func(done, all int) {
		if bar.total = all; done == all || done%50 == 0 {
			bar.show(done)
		}
	}
}

func (cmd mappingDiffCmd) messages(c *console) ([]workbench.Stored, error) {
	switch {
	case cmd.Replay != "" && cmd.Feed == "":
		return storedFiles(c, cmd.Replay)
	case cmd.Replay == "" && cmd.Feed != "" && cmd.Config != "":
		if cmd.Last < 1 || cmd.Last > app.MaxStored {
			return nil, fmt.Errorf("--last is 1 to %d, not %d", app.MaxStored, cmd.Last)
		}
		cfg, err := siteConfig(cmd.Config)
		if err != nil {
			return nil, err
		}
		if cmd.Data != "" {
			cfg.DataDir = cmd.Data
		}
		messages, err := app.StoredMessages(c.ctx, cfg, cmd.Feed, cmd.Last)
		if err != nil {
			return nil, err
		}
		if len(messages) == 0 {
			return nil, fmt.Errorf("the journal has no message of feed %s", cmd.Feed)
		}
		out := make([]workbench.Stored, len(messages))
		for i, m := range messages {
			out[i] = workbench.Stored{Name: broker.ShortID(m.ID), Body: m.Body}
		}
		return out, nil
	}
	return nil, errors.New("say which messages to replay: --replay DIR, or --config agent.yaml and --feed NAME")
}

const maxStored = 2 << 30 // bytes of all messages of a replay

// storedFiles reads the files below a directory, in the order of their names. A
// file that is empty or can not be read is there with the reason.
func storedFiles(c *console, dir string) ([]workbench.Stored, error) {
	var out []workbench.Stored
	size := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path) // path is below dir
		if name == "." {
			name = filepath.Base(path)
		}
		one := workbench.Stored{Name: filepath.ToSlash(name)}
		switch {
		case err != nil && path == dir:
			return notOpened(dir, err)
		case err != nil: // a directory that can not be listed
			one.Unread = err.Error()
			out = append(out, one)
			return nil
		case strings.HasPrefix(d.Name(), ".") && path != dir && d.IsDir():
			return filepath.SkipDir
		case d.IsDir() || strings.HasPrefix(d.Name(), ".") || !d.Type().IsRegular():
			return nil
		}
		if one.Body, err = readMessage(c, path); err != nil {
			one.Unread = strings.TrimPrefix(err.Error(), path+" ")
		}
		if size += len(one.Body); size > maxStored {
			return fmt.Errorf("%s holds over %d MiB: replay a part of it", dir, maxStored>>20)
		}
		out = append(out, one)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s holds no message", dir)
	}
	return out, err
}
