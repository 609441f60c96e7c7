package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/hub"
)

// authorityCmd is `vagus hub authority`.
type authorityCmd struct {
	Ls     authorityLsCmd     `cmd:"" default:"withargs" help:"The authority, who has what of it, and what is next."`
	Begin  authorityBeginCmd  `cmd:"" help:"Make a new authority beside the one that there is. Sites and workers take it up by themselves."`
	Switch authoritySwitchCmd `cmd:"" help:"Let the new authority sign the hub's servers as well, and destroy the old one's key."`
	Finish authorityFinishCmd `cmd:"" help:"End the trust in the old authority."`
}

// Help is shown by `vagus hub authority --help`.
func (*authorityCmd) Help() string {
	return `A rotation is begin, switch, finish, while the hub runs and messages flow. A step that is out of turn is refused, and so is one that would cut somebody off: it names him, and what to do. Where each server of a cluster has a copy of the directory, copy its ca to all of them after each step.`
}

type authorityDir struct {
	Hub string `required:"" type:"existingdir" help:"The hub's data_dir." placeholder:"DIR"`
}

type authorityLsCmd struct {
	authorityDir
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Run prints what a hub's directory says.
func (cmd authorityLsCmd) Run(c *console) error {
	a, err := hub.ReadAuthority(cmd.Hub)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(a)
	}
	does := map[hub.Stage][]string{
		hub.Settled: {"signs all"}, hub.Begun: {"signs servers, until the switch", "signs sites and workers"}, hub.Switched: {"trusted still, until the finish", "signs all"},
	}[a.Stage]
	var rows [][]cell
	for i, x := range a.Certificates {
		what := ""
		if i < len(does) {
			what = does[i]
		}
		rows = append(rows, texts(x.ID, c.when(x.Since), c.until(x.Until), what))
	}
	c.table([]column{{head: "AUTHORITY"}, {head: "SINCE"}, {head: "UNTIL"}, {head: "DOES"}}, rows)
	c.say("")
	rows = nil
	newest := a.Certificates[len(a.Certificates)-1].ID
	ready := 0
	for _, p := range slices.Concat(a.Servers, a.Peers) {
		heard, trusts := "-", strings.Join(p.Trusts, " ")
		if p.Role != "server" {
			if heard = c.when(p.Heard); p.Heard.IsZero() {
				heard = "never"
			}
			if p.Authority == newest && slices.Contains(p.Trusts, newest) {
				ready++
			}
		}
		rows = append(rows, []cell{{p.Role + " " + p.Name, bold}, {text: orDash(p.Authority)}, {text: c.until(p.Until)}, {text: orDash(trusts)}, {text: heard}})
	}
	c.table([]column{{head: "WHO"}, {head: "CERTIFICATE OF"}, {head: "UNTIL"}, {head: "TRUSTS"}, {head: "HEARD"}}, rows)
	c.say("")
	switch a.Stage {
	case hub.Begun:
		c.say("The rotation is begun: %d of %d sites and workers are ready. When all are: vagus hub authority switch", ready, len(a.Peers))
	case hub.Switched:
		c.say("The rotation is switched: %d of %d sites and workers are ready. When all are, and all servers: vagus hub authority finish", ready, len(a.Peers))
	default:
		c.say("No rotation is under way.")
	}
	return nil
}

// until tells a moment in the future by its day.
func (c *console) until(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	days := int(t.Sub(c.now()).Hours() / 24)
	if t.Before(c.now()) {
		return fmt.Sprintf("%s (ran out %d days ago)", t.In(c.loc).Format(time.DateOnly), -days)
	}
	return fmt.Sprintf("%s (%d days)", t.In(c.loc).Format(time.DateOnly), days)
}

type authorityBeginCmd struct{ authorityDir }

// Run makes the new authority.
func (cmd authorityBeginCmd) Run(c *console) error {
	if err := hub.BeginRotation(cmd.Hub); err != nil {
		return err
	}
	fmt.Fprint(c.out, "A new authority is trusted beside the old one. Sites and workers that are connected take it up within a minute. See who has with\n  vagus hub authority ls\nand go on with\n  vagus hub authority switch\n")
	return nil
}

type authoritySwitchCmd struct {
	authorityDir
	Force bool `help:"Also if that cuts off who does not trust the new authority."`
}

// Run lets the new authority sign all.
func (cmd authoritySwitchCmd) Run(c *console) error {
	if err := hub.SwitchAuthority(cmd.Hub, cmd.Force); err != nil {
		return err
	}
	fmt.Fprint(c.out, "The new authority signs all; the key of the old one is destroyed. Servers that run renew their certificates within seconds. Go on with\n  vagus hub authority finish\n")
	return nil
}

type authorityFinishCmd struct {
	authorityDir
	Force bool `help:"Also if that cuts off who has a certificate of the old authority."`
}

// Run ends the rotation.
func (cmd authorityFinishCmd) Run(c *console) error {
	if err := hub.FinishRotation(cmd.Hub, cmd.Force); err != nil {
		return err
	}
	fmt.Fprint(c.out, "Only the new authority is trusted. Who connects with a certificate of the old one is refused from now on.\n")
	return nil
}

type siteRenewCmd struct {
	Name string `arg:""`
	Hub  string `required:"" type:"existingdir" help:"The hub's data_dir." placeholder:"DIR"`
}

// Help is shown by `vagus site renew --help`.
func (*siteRenewCmd) Help() string {
	return "An agent that is connected has its certificate renewed over the link, by itself. This is for one whose certificate has run out, that may not write its bundle, or that a rotation of the authority left behind."
}

// Run makes the files and says where they go.
func (cmd siteRenewCmd) Run(c *console) error {
	dir, err := hub.RenewSite(cmd.Hub, cmd.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Put the files of this directory over those of the bundle at site %s, and delete it here. Its agent takes them up without a restart:\n  %s\n", cmd.Name, dir)
	return nil
}
