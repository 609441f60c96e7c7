package main

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/workbench"
	"github.com/vagus-health/vagus/mappings"
)

type mappingNewCmd struct {
	mappingRoot
	From     string `required:"" placeholder:"MESSAGE" help:"A real message of the kind that is to be mapped."`
	Model    string `required:"" placeholder:"MODEL" help:"The model of Odoo that it becomes: res.partner."`
	Format   string `placeholder:"NAME" help:"The message's format, when it does not show."`
	Version  string `name:"format-version" placeholder:"VERSION" help:"Version of the format, when the message does not say."`
	Snapshot string `type:"path" placeholder:"FILE" help:"Snapshot of your Odoo; default: that of a stock Odoo 18, copied beside the mapping."`
	ID       string `name:"id" placeholder:"NAME" help:"The mapping's id; default: after the message's file and the model."`
	Out      string `type:"path" default:"." placeholder:"DIR" help:"Where the files go (${default})."`
	Output   string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what comes out.
func (mappingNewCmd) Help() string {
	return `Writes a mapping that lints clean and a test that passes. Rules are proposed for what is well known of both ends
(PID-5 becomes name, Patient.birthDate becomes birthday); all else that the message has stands in comments with
its standard name, type and labels. What CSV, JSON and Odoo records hold is declared from their header and names,
each as what may reveal the most: say what it is. No value of the message is copied: the test's input is scrubbed.`
}

const stockSnapshot = "snapshots/odoo18.json"

var notInID = regexp.MustCompile(`[^a-z0-9]+`)

func (cmd mappingNewCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	body, err := readMessage(c, cmd.From)
	if err != nil {
		return err
	}
	dir, err := b.name(cmd.Out)
	if err != nil {
		return err
	}
	p := workbench.ScaffoldPlan{Dir: dir, ID: cmd.ID, Model: cmd.Model, Source: workbench.Source{Format: cmd.Format, Version: cmd.Version}, Message: body, Key: make([]byte, 32)}
	_, _ = rand.Read(p.Key) // never fails: crypto/rand
	if p.ID == "" {
		base := strings.TrimSuffix(filepath.Base(cmd.From), filepath.Ext(cmd.From))
		p.ID = strings.Trim(notInID.ReplaceAllString(strings.ToLower(base+"-"+cmd.Model), "-"), "-")
	}
	extra := map[string][]byte{}
	if cmd.Snapshot != "" {
		if p.Snapshot, err = b.existing(cmd.Snapshot); err != nil {
			return err
		}
	} else {
		p.Snapshot = path.Join(dir, stockSnapshot)
		if extra[p.Snapshot], err = mappings.FS.ReadFile(stockSnapshot); err != nil {
			return err
		}
	}
	made, err := b.With(extra).NewMapping(c.ctx, p)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.From, err)
	}
	for name := range made.Files {
		if _, err := os.Stat(filepath.Join(b.root, filepath.FromSlash(name))); err == nil {
			return fmt.Errorf("%s is there already: choose another --id or --out", b.Show(name))
		}
	}
	if _, err := os.Stat(filepath.Join(b.root, filepath.FromSlash(p.Snapshot))); err != nil {
		maps.Copy(made.Files, extra)
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(made.Files)) {
		if err := b.write(name, made.Files[name]); err != nil {
			return err
		}
		files = append(files, b.Show(name))
	}
	if cmd.Output == "json" {
		return c.printJSON(struct {
			Files      []string `json:"files"`
			Rules      int      `json:"rules"`
			Candidates int      `json:"candidates"`
		}{files, made.Rules, made.Candidates})
	}
	for _, name := range files {
		c.say("%s", name)
	}
	rules := "rules"
	if made.Rules == 1 {
		rules = "rule"
	}
	c.note("%d %s proposed, %d more elements of the message as comments; read every line of the mapping, then: vagus mapping test %s", made.Rules, rules, made.Candidates, b.Show(path.Join(dir, p.ID+".test.yaml")))
	return nil
}
