// Command vagus carries events between a hospital's systems and Odoo: the
// site's agent, the cloud's worker, a hub between them, and the tools of those
// who write mappings and of those who are on call. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/vagus-health/vagus/broker/failpoint"
	"github.com/vagus-health/vagus/broker/hub"
)

// version is set by the linker.
var version = "unknown"

type cli struct {
	Agent   agentCmd   `cmd:"" group:"run" help:"Run a site's agent: receive, journal, map, send."`
	Worker  workerCmd  `cmd:"" group:"run" help:"Run a worker of the cloud: apply units to targets."`
	Hub     hubCmd     `cmd:"" group:"run" help:"Run a hub: a message server with settings that keep the promises."`
	Up      upCmd      `cmd:"" group:"run" help:"Run agent, hub and worker in one process."`
	OdooSim odooSimCmd `cmd:"" group:"run" help:"Run a simulated Odoo, with a page that shows its records, and faults on demand."`
	Demo    demoCmd    `cmd:"" group:"run" help:"Send invented admissions to a simulated Odoo over a link that is cut, and tell what became of each."`

	Site    siteCmd    `cmd:"" group:"setup" help:"Add, list and remove the sites of a hub."`
	Ledger  ledgerCmd  `cmd:"" group:"setup" help:"Create or update the ledger's tables."`
	Mapping mappingCmd `cmd:"" group:"setup" help:"Tools for those who write mappings."`
	Odoo    odooCmd    `cmd:"" group:"setup" help:"See whether an Odoo database will take units, and whether it has what was applied."`

	Status   statusCmd   `cmd:"" group:"ops" help:"One verdict per feed and target."`
	Messages messagesCmd `cmd:"" group:"ops" help:"Find messages and see what became of them."`
	Dead     deadCmd     `cmd:"" group:"ops" help:"Messages that need a person."`
	Replay   replayCmd   `cmd:"" group:"ops" help:"Deliver again, without doing anything twice."`
	Trace    traceCmd    `cmd:"" group:"ops" help:"Every hop of one message with its time."`

	Size       sizeCmd       `cmd:"" group:"setup" help:"What a load needs: disk, memory, writes, rows, servers, and what is full first."`
	Failpoints failpointsCmd `cmd:"" group:"tests" help:"List the places at which tests make a process die."`

	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	os.Exit(execute(os.Args[1:]))
}

func execute(args []string) int {
	// The first SIGTERM or ^C asks for a graceful end, the second one does not ask.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	var c cli
	parser := kong.Must(&c, kong.Name("vagus"), kong.ShortUsageOnError(),
		kong.Description("Carries a hospital's events to Odoo and back: journaled before acknowledged, applied exactly once, in order."),
		kong.Vars{"version": version, "default_tenant": hub.DefaultTenant},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "run", Title: "Run"}, {Key: "setup", Title: "Set up"}, {Key: "ops", Title: "Operate (against a worker's API)"}, {Key: "tests", Title: "Test"},
		}))
	command, err := parser.Parse(args)
	if err != nil {
		parser.FatalIfErrorf(err)
	}
	console := newConsole(ctx)
	if err := failpoint.Arm(os.Getenv(failpoint.Env)); err != nil {
		return console.fail(err)
	}
	if armed := failpoint.Armed(); armed != "" {
		console.note("vagus: WARNING: this process is armed to end itself: %s=%s", failpoint.Env, armed)
	}
	return console.fail(command.Run(console))
}
