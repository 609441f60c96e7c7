package main

import (
	"github.com/vagus-health/vagus/broker/failpoint"
)

// failpointsCmd is `vagus failpoints`.
type failpointsCmd struct {
	Output string `name:"output" short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Help is shown by `vagus failpoints --help`.
func (*failpointsCmd) Help() string {
	return `To see what a crash at one of them does, arm it in the environment of one process, never where real patients' messages are:

  ` + failpoint.Env + `=journal.synced=kill vagus agent -c agent.yaml

kill ends the process there as SIGKILL does, kill#3 when it comes there for the third time; stop lets it stand still until it gets SIGCONT. Several are separated by commas. No configuration and no API arms anything.`
}

// Run prints every place at which a process can be made to die.
func (cmd *failpointsCmd) Run(c *console) error {
	if cmd.Output == "json" {
		type point struct {
			Name string `json:"name"`
			Done string `json:"done"`
			Open string `json:"open"`
		}
		var all []point
		for _, p := range failpoint.All() {
			all = append(all, point{p.Name(), p.Done(), p.Open()})
		}
		return c.printJSON(all)
	}
	var rows [][]cell
	for _, p := range failpoint.All() {
		rows = append(rows, []cell{{p.Name(), bold}, {text: p.Done() + " | " + p.Open()}})
	}
	c.table([]column{{head: "POINT"}, {head: "DONE | NOT DONE"}}, rows)
	return nil
}
