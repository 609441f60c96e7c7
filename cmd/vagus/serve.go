package main

import (
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

type agentCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"Configuration file." placeholder:"agent.yaml"`
}

func (cmd agentCmd) Run(c *console) error {
	cfg := config.NewAgent()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	p, err := app.StartAgent(c.ctx, cfg, app.Options{Version: version})
	if err != nil {
		return err
	}
	return app.Run(c.ctx, p)
}

type workerCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"Configuration file." placeholder:"worker.yaml"`
}

func (cmd workerCmd) Run(c *console) error {
	cfg := config.NewWorker()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	p, err := app.StartWorker(c.ctx, cfg, app.Options{Version: version})
	if err != nil {
		return err
	}
	return app.Run(c.ctx, p)
}

type upCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"Configuration file." placeholder:"vagus.yaml"`
}

func (cmd upCmd) Run(c *console) error {
	cfg := config.NewAll()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	p, err := app.StartAll(c.ctx, cfg, app.Options{Version: version})
	if err != nil {
		return err
	}
	return app.Run(c.ctx, p)
}

type hubCmd struct {
	Run       hubRunCmd       `cmd:"" default:"withargs" help:"Run the hub (what vagus hub alone does)."`
	Provision hubProvisionCmd `cmd:"" help:"On a stock nats-server: create the streams, and what sites need that were added."`
	Authority authorityCmd    `cmd:"" help:"Who signs the certificates of servers, sites and workers, and its rotation."`
	Render    hubRenderCmd    `cmd:"" help:"Print the configuration of a stock nats-server that does what the hub does."`
}

type hubRunCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"Configuration file." placeholder:"hub.yaml"`
}

func (cmd hubRunCmd) Run(c *console) error {
	cfg := config.NewHub()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	p, err := app.StartHub(c.ctx, cfg, app.Options{Version: version})
	if err != nil {
		return err
	}
	return app.Run(c.ctx, p)
}

type siteCmd struct {
	Add    siteAddCmd    `cmd:"" help:"Make a site's keys and certificate, and let it in."`
	Ls     siteLsCmd     `cmd:"" help:"List the sites that may connect."`
	Renew  siteRenewCmd  `cmd:"" help:"Make a new certificate for a site that can not get it over the link."`
	Remove siteRemoveCmd `cmd:"" help:"Shut a site out at once."`
}

type siteAddCmd struct {
	Name   string   `arg:"" help:"1 to 32 of a-z, 0-9 and -."`
	Hub    string   `required:"" type:"existingdir" help:"The hub's data_dir." placeholder:"DIR"`
	URL    []string `required:"" help:"Where the site reaches the hub." placeholder:"tls://hub.example.org:4222"`
	Tenant string   `help:"The organisation that the site belongs to." default:"${default_tenant}"`
}

func (cmd siteAddCmd) Run(c *console) error {
	bundle, err := hub.AddSite(cmd.Hub, cmd.Name, hub.SiteConfig{Tenant: cmd.Tenant, URLs: cmd.URL})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Site %s may connect. Carry this directory to it, set `bundle:` of its agent.yaml to where you put it, and delete it here:\n  %s\n", cmd.Name, bundle)
	return nil
}

type siteLsCmd struct {
	Hub    string `required:"" type:"existingdir" help:"The hub's data_dir." placeholder:"DIR"`
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (cmd siteLsCmd) Run(c *console) error {
	sites, err := hub.Sites(cmd.Hub)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(sites)
	}
	has := map[string]hub.Peer{}
	if a, err := hub.ReadAuthority(cmd.Hub); err == nil { // a directory that no hub ran on has none yet
		for _, p := range a.Peers {
			if p.Role == "site" {
				has[p.Name] = p
			}
		}
	}
	rows := make([][]cell, 0, len(sites))
	for _, s := range sites {
		p, heard := has[s.Name], "never"
		if !p.Heard.IsZero() {
			heard = c.when(p.Heard)
		}
		rows = append(rows, texts(s.Name, s.Tenant, c.when(s.Added), orDash(p.Authority), c.until(p.Until), heard, s.Nkey))
	}
	c.table([]column{{head: "SITE"}, {head: "TENANT"}, {head: "ADDED", drop: 2}, {head: "CERTIFICATE OF"}, {head: "UNTIL"}, {head: "HEARD"}, {head: "PUBLIC KEY", drop: 1}}, rows)
	return nil
}

type siteRemoveCmd struct {
	Name string `arg:""`
	Hub  string `required:"" type:"existingdir" help:"The hub's data_dir." placeholder:"DIR"`
}

func (cmd siteRemoveCmd) Run(c *console) error {
	if err := hub.RemoveSite(cmd.Hub, cmd.Name); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Site %s is shut out. What it sent stays.\n", strings.TrimSpace(cmd.Name))
	return nil
}

type hubRenderCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"Configuration file." placeholder:"hub.yaml"`
}

func (cmd hubRenderCmd) Run(c *console) error {
	cfg := config.NewHub()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	text, err := hub.Render(app.HubSettings(cfg, nil))
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, text)
	return nil
}

type hubProvisionCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"Configuration file." placeholder:"hub.yaml"`
	URL    string `required:"" help:"Where the server is." placeholder:"tls://hub.example.org:4222"`
}

func (cmd hubProvisionCmd) Run(c *console) error {
	cfg := config.NewHub()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	if err := hub.ProvisionStock(c.ctx, app.HubSettings(cfg, nil), cmd.URL); err != nil {
		return err
	}
	c.say("The streams are there. Workers connect with what is in the workers directory below %s.", cfg.DataDir)
	return nil
}
