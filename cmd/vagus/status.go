package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/internal/ops"
)

// statusCmd is `vagus status`. It exits with 0 if all is well, 1 if a person
// should look, 2 if something stands still or nobody answers.
type statusCmd struct {
	connection
	Bounds bool `help:"Show all that fills up to a limit, the fullest first."`
}

// Help is shown by `vagus status --help`.
func (*statusCmd) Help() string {
	return "Exits with 0 if all is well, 1 if a person should look, 2 if something stands still or the worker does not answer. With --api of a site's agent it shows that site's feeds and link."
}

// Run prints one verdict for everything and one for each target, feed and site.
func (cmd *statusCmd) Run(c *console) error {
	api, err := cmd.client(c)
	if err != nil {
		c.fail(err)
		return exitError(ops.Broken)
	}
	s, err := api.Status(c.ctx)
	if err != nil {
		c.fail(err)
		return exitError(ops.Broken)
	}
	s.Judge(c.loc)
	if cmd.Output == "json" {
		if err := c.printJSON(s); err != nil {
			return err
		}
	} else {
		c.status(s, cmd.Bounds)
	}
	if s.Verdict.Level > ops.Fine {
		return exitError(s.Verdict.Level)
	}
	return nil
}

var levelInk = [...]ink{ops.Fine: green, ops.Attention: yellow, ops.Broken: red}

// state is a verdict's level as a word.
func state(v ops.Verdict) cell {
	if v.Level < 0 || int(v.Level) >= len(levelInk) {
		return cell{v.Level.String(), red}
	}
	return cell{v.Level.String(), levelInk[v.Level]}
}

func (c *console) status(s ops.Status, bounds bool) {
	c.table([]column{{}, {}}, [][]cell{{state(s.Verdict), {s.Verdict.Text, bold}}})
	for _, p := range s.Problems {
		c.table([]column{{}, {}}, [][]cell{{{"problem", red}, {text: p}}})
	}
	if len(s.Targets) > 0 {
		c.say("")
		var rows [][]cell
		for _, t := range s.Targets {
			workers := "-"
			if t.Partitions > 0 {
				workers = strconv.Itoa(t.Held) + "/" + strconv.Itoa(t.Partitions)
			}
			breaker := t.Breaker
			if breaker == "" {
				breaker = "-"
			}
			calls := "-"
			if t.CallsMax > 0 {
				calls = strconv.Itoa(t.Calls) + "/" + strconv.Itoa(t.CallsMax)
			}
			promise := t.Promise
			if promise == "" {
				promise = "-"
			}
			rows = append(rows, []cell{{t.Target, bold}, state(t.Verdict), {text: promise}, {text: strconv.Itoa(t.Backlog)}, {text: strconv.Itoa(t.Parked)},
				{text: strconv.Itoa(t.Dead)}, {text: breaker}, {text: calls}, {text: workers}, {text: c.when(t.LastApplied)}, {text: t.Verdict.Text}})
		}
		c.table([]column{{head: "TARGET"}, {head: "STATE"}, {head: "PROMISE", drop: 4}, {head: "BACKLOG", right: true}, {head: "PARKED", right: true}, {head: "DEAD", right: true},
			{head: "BREAKER", drop: 2}, {head: "CALLS", drop: 5}, {head: "PARTITIONS", drop: 3}, {head: "LAST APPLIED", drop: 1}, {head: "VERDICT"}}, rows)
	}
	if rows := laneRows(s.Targets); len(rows) > 0 {
		c.say("")
		c.table([]column{{head: "TARGET"}, {head: "LANE"}, {head: "WEIGHT", right: true}, {head: "WAITING", right: true}, {head: "ASIDE", right: true}, {head: "APPLIED", right: true}}, rows)
	}
	if len(s.Lanes) > 0 {
		c.say("")
		var rows [][]cell
		for _, l := range s.Lanes {
			n := func(st ledger.Status) cell { return cell{text: strconv.Itoa(l.Counts[st])} }
			rows = append(rows, []cell{{l.Site + "/" + l.Feed, bold}, {text: l.Target}, state(l.Verdict), n(ledger.Applied), n(ledger.Skipped), n(ledger.Parked), n(ledger.Dead),
				{text: c.when(l.LastApplied)}, {text: l.Verdict.Text}})
		}
		c.table([]column{{head: "FEED"}, {head: "TARGET", drop: 1}, {head: "STATE"}, {head: "APPLIED", right: true, drop: 3}, {head: "SKIPPED", right: true, drop: 4},
			{head: "PARKED", right: true}, {head: "DEAD", right: true}, {head: "LAST APPLIED", drop: 2}, {head: "VERDICT"}}, rows)
	}
	for _, site := range s.Sites {
		c.say("")
		c.table([]column{{}, {}, {}}, [][]cell{{{"site " + site.Site, bold}, state(site.Verdict), {text: site.Verdict.Text}}})
		if m := site.Mappings; m.Set != "" {
			c.say("mappings %s in force since %s", m.Set, c.when(m.Loaded))
		}
		var rows [][]cell
		for _, f := range site.Feeds {
			full := "-"
			if f.JournalLimit > 0 {
				full = strconv.FormatInt(f.JournalBytes*100/f.JournalLimit, 10) + "%"
			}
			rows = append(rows, []cell{{f.Feed, bold}, state(f.Verdict), {text: strconv.Itoa(f.Waiting)}, {text: c.when(f.OldestWaiting)}, {text: full},
				{text: c.when(f.LastReceived)}, {text: f.Verdict.Text}})
		}
		if len(rows) > 0 {
			c.table([]column{{head: "FEED"}, {head: "STATE"}, {head: "TO SEND", right: true}, {head: "OLDEST", drop: 1}, {head: "JOURNAL", right: true, drop: 2},
				{head: "LAST RECEIVED", drop: 3}, {head: "VERDICT"}}, rows)
		}
	}
	c.bounds(s, bounds)
}

// bounds says what is nearest to its limit, or all of it.
func (c *console) bounds(s ops.Status, all bool) {
	if len(s.Bounds) == 0 {
		return
	}
	c.say("")
	if !all {
		if b, ok := s.Nearest(); ok {
			c.say("Of what fills up, %s.", b)
		}
		if b, ok := s.Pacing(); ok {
			c.say("What sets the pace: %s.", b)
		}
		return
	}
	var rows [][]cell
	for _, b := range slices.SortedStableFunc(slices.Values(s.Bounds), func(a, b ops.Bound) int { return cmp.Compare(b.Full(), a.Full()) }) {
		then := b.Then
		if b.Paces {
			then = "(nothing to do) " + then
		}
		rows = append(rows, []cell{{b.Name, bold}, {text: b.Of}, {text: fmt.Sprintf("%.0f%%", 100*b.Full())}, {text: b.Amount()}, {text: then}})
	}
	c.table([]column{{head: "FILLS UP"}, {head: "OF"}, {head: "FULL", right: true}, {head: "USED"}, {head: "WHEN FULL", drop: 1}}, rows)
}

// laneRows are the lanes of targets that had units in another lane than live.
func laneRows(targets []ops.TargetLine) (rows [][]cell) {
	for _, t := range targets {
		if len(t.Lanes) == 0 || len(t.Lanes) == 1 && t.Lanes[0].Lane == broker.Lanes[0] {
			continue
		}
		for _, l := range t.Lanes {
			rows = append(rows, []cell{{t.Target, bold}, {text: l.Lane}, {text: strconv.Itoa(l.Weight)}, {text: strconv.Itoa(l.Waiting)}, {text: strconv.Itoa(l.Aside)}, {text: strconv.FormatUint(l.Applied, 10)}})
		}
	}
	return rows
}
