package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

type mappingLintCmd struct {
	mappingRoot
	Files    []string `arg:"" optional:"" type:"path" help:"Files, or directories to look through; default: this directory."`
	Format   string   `short:"o" aliases:"output" enum:"text,json,sarif,github" default:"text" help:"text, json, sarif (SARIF 2.1.0) or github (annotations of GitHub Actions)."`
	Against  string   `type:"existingdir" placeholder:"DIR" help:"An older state of the same directory: a mapping that does something else now must have a higher version."`
	Snapshot string   `placeholder:"NEW" help:"Lint against another snapshot, OLD=NEW when only a base is replaced, and tell which mappings it breaks."`
}

// Help says what is checked.
func (mappingLintCmd) Help() string {
	return `Both ends are checked: paths, types, tables and labels against the dictionary of the message format, and
models, fields, types, selections and required fields against the snapshot of Odoo. The exit code is 1 when
there is an error; warnings do not fail.`
}

func (cmd mappingLintCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	names, err := b.find(orHere(cmd.Files), "mapping, fragment or test file", ofTheLanguage)
	if err != nil {
		return err
	}
	if cmd.Snapshot != "" {
		return cmd.upgrade(c, b)
	}
	dirs, err := b.dirs(orHere(cmd.Files))
	if err != nil {
		return err
	}
	rep, err := b.Lint(c.ctx, names, dirs)
	if err == nil && cmd.Against != "" {
		if len(dirs) != 1 {
			return errors.New("--against compares one directory with another: name one")
		}
		err = b.Against(&rep, dirs[0], os.DirFS(cmd.Against))
	}
	if err != nil {
		return err
	}
	switch cmd.Format {
	case "json":
		err = c.printJSON(rep)
	case "sarif":
		err = c.printJSON(rep.SARIF(version))
	case "github":
		rep.GitHub(c.out)
	default:
		rep.Print(c.screen())
	}
	if err == nil && !rep.OK() {
		err = exitError(1)
	}
	return err
}

// upgrade tells what of the mappings another snapshot breaks.
func (cmd mappingLintCmd) upgrade(c *console, b bench) error {
	names, err := b.find(orHere(cmd.Files), "file that ends in .map.yaml", endsIn(".map.yaml"))
	if err != nil {
		return err
	}
	old, path, both := strings.Cut(cmd.Snapshot, "=")
	if !both {
		old, path = "", cmd.Snapshot
	} else if old, err = b.existing(old); err != nil {
		return err
	}
	snapshot, err := b.existing(path)
	if err != nil {
		return err
	}
	rep, err := b.Upgrade(c.ctx, names, snapshot, old)
	if err != nil {
		return err
	}
	switch cmd.Format {
	case "text":
		rep.Print(c.screen())
	case "json":
		err = c.printJSON(rep)
	default:
		err = fmt.Errorf("--snapshot gives text or json, not %s", cmd.Format)
	}
	if err == nil && !rep.OK() {
		err = exitError(1)
	}
	return err
}

func orHere(paths []string) []string {
	if len(paths) == 0 {
		return []string{"."}
	}
	return paths
}
