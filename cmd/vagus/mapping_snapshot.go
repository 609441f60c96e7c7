package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

type mappingSnapshotCmd struct {
	Pull snapshotPullCmd `cmd:"" help:"Write what a live Odoo has of some models to a snapshot file."`
	Diff snapshotDiffCmd `cmd:"" help:"Compare two snapshots: what an upgrade adds, removes, retypes, requires."`
}

type snapshotPullCmd struct {
	mappingRoot
	URL       string   `required:"" placeholder:"URL" help:"Odoo's address, https://odoo.example.org."`
	DB        string   `name:"db" required:"" placeholder:"NAME" help:"The database."`
	User      string   `required:"" placeholder:"LOGIN" help:"A user who may read the models."`
	KeyFile   string   `name:"key-file" type:"existingfile" placeholder:"FILE" help:"File with the user's API key; or the key itself in VAGUS_ODOO_KEY."`
	Model     []string `placeholder:"MODEL" help:"Models to describe: res.partner,sale.order; repeat or separate by commas."`
	Like      string   `type:"path" placeholder:"SNAPSHOT" help:"Describe the models of this snapshot, too."`
	Out       string   `short:"o" type:"path" placeholder:"FILE" help:"Where to write it; default: standard output."`
	CAFile    string   `name:"ca-file" type:"existingfile" placeholder:"FILE" help:"Authorities that may sign the server's certificate; default: the system's."`
	PlainHTTP bool     `name:"plain-http" help:"Allow http to another machine, where the network itself encrypts."`
}

func (cmd snapshotPullCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	key := strings.TrimSpace(c.getenv("VAGUS_ODOO_KEY"))
	if cmd.KeyFile != "" {
		f, err := os.Open(cmd.KeyFile)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, 4096))
		if err != nil {
			return err
		}
		key = strings.TrimSpace(string(data))
	}
	if key == "" {
		return errors.New("no API key: name a file with --key-file, or set VAGUS_ODOO_KEY (Odoo: Preferences, Account Security, New API Key)")
	}
	models := slices.Clone(cmd.Model)
	if cmd.Like != "" {
		name, err := b.existing(cmd.Like)
		if err != nil {
			return err
		}
		like, err := b.Snapshot(name)
		if err != nil {
			return err
		}
		models = slices.AppendSeq(models, maps.Keys(like.Models))
	}
	slices.Sort(models)
	if models = slices.Compact(models); len(models) == 0 {
		return errors.New("which models? name them with --model, or a snapshot that has them with --like")
	}
	target, err := odoo.New(odoo.Config{URL: cmd.URL, Database: cmd.DB, User: cmd.User, Key: broker.NewSecret(key), UserAgent: userAgent(), PlainHTTP: cmd.PlainHTTP, TLS: odoo.TLS{CAFile: cmd.CAFile}})
	if err != nil {
		return err
	}
	bar := &progress{c: c, total: len(models), start: c.now()}
	d, err := target.Describe(c.ctx, models, func(done int) {
		if c.live {
			bar.show(done)
		}
	})
	bar.end()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.URL, err)
	}
	for _, model := range slices.Sorted(maps.Keys(d.NoDefaults)) {
		c.note("%s: Odoo does not tell its defaults (%s): required fields that have one will be asked for by lint", model, d.NoDefaults[model])
	}
	s := snapshotOf(d)
	if cmd.Out == "" {
		return s.Write(c.out)
	}
	if err := writeFile(cmd.Out, s.Write); err != nil {
		return err
	}
	fields := 0
	for _, m := range s.Models {
		fields += len(m)
	}
	c.note("wrote %d models with %d fields of Odoo %s to %s", len(s.Models), fields, s.Odoo, cmd.Out)
	return nil
}

// snapshotOf is a description in the form of a snapshot file.
func snapshotOf(d odoo.Description) workbench.Snapshot {
	s := workbench.Snapshot{Odoo: d.Version, Models: map[string]map[string]workbench.Field{}}
	for model, fields := range d.Models {
		s.Models[model] = map[string]workbench.Field{}
		for name, f := range fields {
			out := workbench.Field{Type: f.Type, Title: f.Label, Help: f.Help, Relation: f.Relation, Selection: f.Selection, Required: f.Required,
				Default: f.Default, Compute: f.Compute, Related: f.Related, Inherits: f.Inherits, Inverse: f.Inverse}
			out.Readonly = &f.Readonly
			if !f.Store {
				out.Store = &f.Store
			}
			s.Models[model][name] = out
		}
	}
	return s
}

type snapshotDiffCmd struct {
	mappingRoot
	Old    string `arg:"" type:"path" help:"The snapshot as it is."`
	New    string `arg:"" type:"path" help:"The other one."`
	Exit   bool   `name:"exit-code" help:"Exit with 1 when something differs that mappings may rely on."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (cmd snapshotDiffCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	var both [2]workbench.Snapshot
	for i, path := range []string{cmd.Old, cmd.New} {
		name, err := b.existing(path)
		if err != nil {
			return err
		}
		if both[i], err = b.Snapshot(name); err != nil {
			return err
		}
	}
	d := workbench.DiffSnapshots(both[0], both[1])
	if cmd.Output == "json" {
		err = c.printJSON(d)
	} else {
		d.Print(c.screen())
	}
	if err == nil && cmd.Exit && d.Breaks() {
		err = exitError(1)
	}
	return err
}
