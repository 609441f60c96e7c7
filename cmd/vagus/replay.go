package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/internal/ops"
)

// replayCmd is `vagus replay`. It exits with 0 if everything that was tried
// again is in effect, 1 if not, 130 at ctrl-C, which leaves the replay running.
type replayCmd struct {
	connection
	IDs        []string      `arg:"" optional:"" name:"id" help:"Ids of units or messages, or their first 4 characters or more."`
	Query      string        `placeholder:"QUERY" help:"Instead of ids: \"feed=adt status=dead class=odoo.timeout since=2h\"; also site, target, kind, sender_id, until; several statuses as status=dead,parked."`
	DryRun     bool          `help:"Show and store the plan, do nothing."`
	AllowStale bool          `help:"Also what a later message of its key has overtaken: it will undo that one's effect."`
	Rate       float64       `placeholder:"N" help:"Units a second at most; the worker's own rate if not given."`
	Yes        bool          `short:"y" help:"Do not ask."`
	Resume     string        `placeholder:"REPLAY-ID" help:"Start a stored plan, or follow one that runs."`
	List       bool          `help:"List the plans that were made, newest first."`
	Wait       time.Duration `default:"30s" help:"How long to wait, at the end, for the outcome of what was tried again."`
}

// Help is shown by `vagus replay --help`.
func (*replayCmd) Help() string {
	return "A replay keeps each unit's identity: what is in effect is left alone. It makes a plan, shows it, and carries out exactly that plan, at the worker. Ctrl-C stops only the watching; --resume watches again."
}

// patience is how long a worker that does not answer, as while it is started
// again, is waited for.
const patience = 30 * time.Second

// followTime is how long what waits behind may stand still before it is taken
// to wait for something else.
const followTime = 3 * time.Second

// Run plans, shows, asks, starts and follows a replay.
func (cmd *replayCmd) Run(c *console) error {
	ways := 0
	for _, given := range []bool{len(cmd.IDs) > 0, cmd.Query != "", cmd.Resume != "", cmd.List} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("name ids, or give one of --query, --resume and --list")
	}
	api, err := cmd.client(c)
	if err != nil {
		return err
	}
	if cmd.List {
		return cmd.list(c, api)
	}
	rep, err := cmd.plan(c, api)
	if err != nil {
		return err
	}
	table := cmd.Output == "table"
	shown := *c
	if !table {
		shown.out = c.err // the plan is seen before anybody is asked, and out stays one JSON value
	}
	shown.plan(rep)
	todo := rep.Actions[ledger.RetryNow] + rep.Actions[ledger.Remap]
	fresh := !rep.Running && rep.Done < rep.Total
	switch {
	case cmd.DryRun || todo == 0 && fresh:
		if !table {
			return c.printJSON(rep)
		}
		if todo == 0 {
			c.note("nothing is to be done")
		} else {
			c.note("nothing was done. Carry out exactly this plan with: vagus replay --resume %s", rep.ID)
		}
		return nil
	case !fresh:
	case todo > 1 && !cmd.Yes && !c.ask:
		return fmt.Errorf("nothing was done: %d units need --yes where nobody can be asked. Carry out exactly this plan with: vagus replay --resume %s --yes", todo, rep.ID)
	case todo > 1 && !cmd.Yes && !c.confirm(fmt.Sprintf("Try %d again?", todo)):
		c.note("nothing was done. Carry out exactly this plan with: vagus replay --resume %s", rep.ID)
		if c.ctx.Err() != nil {
			return interrupted
		}
		return exitError(1)
	}
	started, err := api.Start(c.ctx, rep.ID, cmd.Rate)
	switch {
	case errors.Is(err, context.Canceled):
		c.note("the worker had not answered yet: it may have begun. See, and go on, with: vagus replay --resume %s", rep.ID)
		return interrupted
	case err != nil:
		return fmt.Errorf("%w\nthe plan is kept: vagus replay --resume %s", err, rep.ID)
	}
	if err = cmd.follow(c, api, started); errors.Is(err, context.Canceled) {
		c.note("the worker goes on with it. Watch it again with: vagus replay --resume %s", rep.ID)
		return interrupted
	}
	return err
}

func (cmd *replayCmd) list(c *console, api *ops.Client) error {
	all, err := api.Replays(c.ctx)
	if err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		c.note("none")
		return nil
	}
	var rows [][]cell
	for _, r := range all {
		st := cell{"not started", faint}
		switch {
		case r.Done == r.Total:
			st = cell{"finished", green}
		case r.Running:
			st = cell{"running", yellow}
		}
		rows = append(rows, []cell{{text: r.ID}, {text: c.when(r.CreatedAt)}, {text: r.By}, {text: strconv.Itoa(r.Done)}, {text: strconv.Itoa(r.Total)}, st})
	}
	c.table([]column{{head: "ID"}, {head: "MADE"}, {head: "BY", drop: 1}, {head: "DONE", right: true}, {head: "OF", right: true}, {head: "STATE"}}, rows)
	return nil
}

func (cmd *replayCmd) plan(c *console, api *ops.Client) (ledger.Replay, error) {
	if cmd.Resume != "" {
		return api.Replay(c.ctx, cmd.Resume)
	}
	q := ops.Query{IDs: cmd.IDs}
	if cmd.Query != "" {
		var err error
		if q, err = c.parseQuery(cmd.Query); err != nil {
			return ledger.Replay{}, err
		}
	}
	return api.Plan(c.ctx, ops.PlanRequest{Query: q, AllowStale: cmd.AllowStale})
}

// parseQuery reads "feed=adt status=dead,parked since=2h".
func (c *console) parseQuery(s string) (ops.Query, error) {
	var q ops.Query
	words := map[string]*string{"feed": &q.Feed, "site": &q.Site, "target": &q.Target, "kind": &q.Kind, "class": &q.Class, "sender_id": &q.SenderID, "sender-id": &q.SenderID}
	times := map[string]*time.Time{"since": &q.Since, "until": &q.Until}
	for f := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(f, "=")
		if value == "" {
			return q, fmt.Errorf("--query: %q is not name=value", clean(f))
		}
		switch {
		case words[name] != nil:
			*words[name] = value
		case times[name] != nil:
			t, err := c.parseTime(value)
			if err != nil {
				return q, fmt.Errorf("--query: %s: %w", name, err)
			}
			*times[name] = t
		case name == "status":
			for one := range strings.SplitSeq(value, ",") {
				q.Status = append(q.Status, ledger.Status(one))
			}
		default:
			return q, fmt.Errorf("--query: there is no %q: use feed, site, target, status, kind, class, sender_id, since, until", clean(name))
		}
	}
	return q, nil
}

// actions are what a plan may hold, in the order in which it is shown.
var actions = []struct {
	action ledger.Action
	means  string
}{
	{ledger.RetryNow, "dead or waiting: tried again now"},
	{ledger.Remap, "never became a unit: its site maps its message again"},
	{ledger.Waits, "waits behind an earlier one of its key: goes when that one does"},
	{ledger.Nothing, "in effect: nothing is done"},
	{ledger.Refused, "a later message of its key is in effect: refused without --allow-stale"},
	{ledger.Gone, "a person discarded it: nothing is done"},
}

func (c *console) plan(r ledger.Replay) {
	c.say("replay %s: %d in all, made by %s at %s", r.ID, r.Total, r.By, c.when(r.CreatedAt))
	var rows [][]cell
	for _, a := range actions {
		if n := r.Actions[a.action]; n > 0 {
			rows = append(rows, texts(strconv.Itoa(n), string(a.action), a.means))
		}
	}
	if len(rows) > 0 {
		c.table([]column{{head: "UNITS", right: true}, {head: "ACTION"}, {head: "MEANS"}}, rows)
	}
}

// follow watches a replay until its plan is through and what was tried again
// has an outcome, and prints what became of it.
func (cmd *replayCmd) follow(c *console, api *ops.Client, rep ledger.Replay) error {
	bar := &progress{c: c, total: rep.Total, start: c.now(), from: rep.Done}
	defer bar.end()
	var err error
	quiet, moved := time.Time{}, c.now()
	for {
		bar.show(rep.Done)
		if rep.Done >= rep.Total {
			break
		}
		if err := c.pause(c.poll); err != nil {
			return err
		}
		var now ledger.Replay
		if now, err = api.Replay(c.ctx, rep.ID); err != nil {
			var refused *ops.Error
			if errors.As(err, &refused) && refused.Code < 500 || c.ctx.Err() != nil {
				return err
			}
			if quiet.IsZero() {
				quiet = c.now()
			}
			if c.now().Sub(quiet) > patience {
				return fmt.Errorf("%w\nthe replay is not lost: when the worker answers again, vagus replay --resume %s", err, rep.ID)
			}
			continue
		}
		quiet = time.Time{}
		if now.Done > rep.Done {
			moved = c.now()
		} else if c.now().Sub(moved) > time.Minute {
			moved = c.now()
			bar.end()
			c.note("no progress for a minute: does `vagus status` show a worker and an open breaker?")
		}
		rep = now
	}
	// What waits behind the units that were tried again follows them, unless
	// they failed again: it is waited for as long as it moves.
	var items []ops.Item
	behind, since := -1, c.now()
	for deadline := c.now().Add(cmd.Wait); ; {
		began := time.Now()
		if items, err = api.Items(c.ctx, rep.ID); err != nil {
			return err
		}
		open, waits := 0, 0
		for _, it := range items {
			switch {
			case it.Status != ledger.Parked && it.Status != ledger.Claimed:
			case it.Action == ledger.RetryNow:
				open++
			case it.Action == ledger.Waits:
				waits++
			}
		}
		if waits != behind || open > 0 {
			behind, since = waits, c.now()
		}
		if open == 0 && (waits == 0 || c.now().Sub(since) > followTime) || c.now().After(deadline) {
			break
		}
		bar.wait(open + waits)
		// A long plan takes long to read: leave the worker most of its time.
		if err := c.pause(max(c.poll, 5*time.Since(began))); err != nil {
			return err
		}
	}
	bar.end()
	return cmd.summary(c, rep, items)
}

// A replayGroup counts units of one kind to which the same was done with the
// same end.
type replayGroup struct {
	Feed   string        `json:"feed"`
	Target string        `json:"target"`
	Kind   string        `json:"kind"`
	Action ledger.Action `json:"action"`
	Now    ledger.Status `json:"now"`
	Class  string        `json:"class,omitempty"`
	Units  int           `json:"units"`
}

func (cmd *replayCmd) summary(c *console, rep ledger.Replay, items []ops.Item) error {
	counts := map[replayGroup]int{}
	left := 0
	for _, it := range items {
		g := replayGroup{Feed: it.Feed, Target: it.Target, Kind: it.Kind, Action: it.Action, Now: it.Status}
		if it.Status != ledger.Applied {
			g.Class = it.Class
		}
		counts[g]++
		if it.Action == ledger.RetryNow && it.Status != ledger.Applied && it.Status != ledger.Skipped && it.Status != "" {
			left++
		}
	}
	groups := make([]replayGroup, 0, len(counts))
	for g, n := range counts {
		g.Units = n
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(x, y replayGroup) int {
		return cmp.Or(cmp.Compare(x.Feed, y.Feed), cmp.Compare(x.Target, y.Target), cmp.Compare(x.Kind, y.Kind),
			cmp.Compare(x.Action, y.Action), cmp.Compare(x.Now, y.Now), cmp.Compare(x.Class, y.Class))
	})
	if cmd.Output == "json" {
		if err := c.printJSON(struct {
			Replay ledger.Replay `json:"replay"`
			Groups []replayGroup `json:"groups"`
		}{rep, groups}); err != nil {
			return err
		}
	} else {
		c.say("")
		var rows [][]cell
		for _, g := range groups {
			now := cell{string(g.Now), statusInk(g.Now)}
			if g.Now == "" {
				now.text = "forgotten" // applied or discarded, and pruned since
			}
			rows = append(rows, []cell{{text: strconv.Itoa(g.Units)}, {text: g.Feed}, {text: g.Kind}, {text: g.Target}, {text: string(g.Action)}, now, {text: g.Class}})
		}
		c.table([]column{{head: "UNITS", right: true}, {head: "FEED"}, {head: "KIND", drop: 1}, {head: "TARGET", drop: 2}, {head: "WAS TO BE"}, {head: "NOW"}, {head: "WHY"}}, rows)
	}
	if n := rep.Actions[ledger.Remap]; n > 0 {
		c.note("asked of their sites: %d; a site maps its messages again when it is connected: see vagus messages show ID", n)
	}
	if left > 0 {
		c.note("%d of those tried again are not in effect: vagus dead ls, vagus messages ls --status parked", left)
		return exitError(1)
	}
	return nil
}

// pause waits between two questions.
func (c *console) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// progress draws how far something is: a bar where the line can be drawn
// again, else a line for each tenth.
type progress struct {
	c      *console
	total  int
	from   int // already done when it began
	start  time.Time
	tenths int  // shown
	drawn  bool // a line that is not ended yet
}

func (p *progress) show(done int) {
	if p.total == 0 {
		return
	}
	share := float64(done) / float64(p.total)
	text := fmt.Sprintf("%d of %d", done, p.total)
	if took := p.c.now().Sub(p.start).Seconds(); done > p.from && took > 1 {
		rate := float64(done-p.from) / took
		text += fmt.Sprintf(", %.0f/s", rate)
		if left := time.Duration(float64(p.total-done) / rate * float64(time.Second)); left > time.Second {
			text += ", " + age(left) + " to go"
		}
	}
	if p.c.live {
		const width = 30
		n := int(share * width)
		p.draw("[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "] " + text)
	} else if tenth := int(share*10) + 1; tenth > p.tenths {
		p.tenths = tenth
		p.c.note("%s", text)
	}
}

// wait says that the plan is through and outcomes are not.
func (p *progress) wait(open int) {
	text := fmt.Sprintf("waiting for the outcome of %d", open)
	if p.c.live {
		p.draw(text)
	} else if p.tenths < 100 {
		p.tenths = 100
		p.c.note("%s", text)
	}
}

func (p *progress) draw(line string) {
	fmt.Fprint(p.c.err, "\r\x1b[K", line)
	p.drawn = true
}

// end ends the line that was drawn last.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.c.err)
		p.drawn = false
	}
}
