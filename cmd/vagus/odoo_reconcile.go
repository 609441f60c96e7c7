package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/internal/app"
)

// odooReconcileCmd is `vagus odoo reconcile`. It exits with 1 if there are
// differences that a person should look at, and 2 if it could not tell.
type odooReconcileCmd struct {
	configured
	Feed   string `required:"" placeholder:"NAME" help:"The feed whose units are compared."`
	Site   string `placeholder:"NAME" help:"Only of this site."`
	Since  string `placeholder:"TIME" help:"Received since: 2h, 3d, 15:04, 2026-03-01."`
	Until  string `placeholder:"TIME" help:"Received before."`
	Last   int    `placeholder:"N" help:"Only the newest N units."`
	Output string `name:"output" short:"o" enum:"table,json,csv" default:"table" help:"table, json or csv."`
}

// Help is shown by `vagus odoo reconcile --help`.
func (*odooReconcileCmd) Help() string {
	return `Runs where the worker's configuration is, since only there are the ledger, the units and Odoo's key. Of each record
the last applied unit of the feed counts: is the record there, does it hold what was written, did somebody else write since?
Values are compared while the hub has the units (30 days); references, lines and formatted texts are not. It writes
nothing, and prints models, ids and names of fields, never a value. Exits with 1 if something is missing, changed,
duplicate or made twice, and 2 if it could not be compared; merged, touched and shared are for you to know.`
}

// differences says what each kind means, in the order in which they are shown.
var differences = []struct{ kind, means string }{
	{odoo.Missing, "was deleted in Odoo"},
	{odoo.Changed, "holds something else than was written"},
	{odoo.Duplicate, "others have the same fields to match by"},
	{odoo.Twice, "is there, and its external id leads to another record"},
	{odoo.Merged, "went into another record"},
	{odoo.Touched, "somebody else wrote since; what can be compared is as it was written"},
	{odoo.Shared, "several external ids of ours lead to it, as after a merge"},
}

// shownDifferences is how many a table has: more are for a file.
const shownDifferences = 200

// Run compares, prints what differs and sums up.
func (cmd *odooReconcileCmd) Run(c *console) error {
	err := cmd.compare(c)
	var told exitError
	if err == nil || errors.As(err, &told) || errors.Is(err, context.Canceled) {
		return err
	}
	c.fail(err)
	return exitError(2)
}

func (cmd *odooReconcileCmd) compare(c *console) error {
	if cmd.Config == "" {
		return errors.New("name the worker's file with -c: it says where the ledger, the units and Odoo are")
	}
	if cmd.Last < 0 {
		return errors.New("--last is a number of units")
	}
	w, _, err := cmd.load()
	if err != nil {
		return err
	}
	r := app.Reconciliation{Feed: cmd.Feed, Site: cmd.Site, Last: cmd.Last}
	if r.Target, _, err = cmd.target(w); err != nil {
		return err
	}
	if r.Since, err = c.parseTime(cmd.Since); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if r.Until, err = c.parseTime(cmd.Until); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	bar := &progress{c: c, start: c.now()}
	r.Progress = func(done, all int) {
		bar.total = all
		bar.show(done)
	}
	show, end := c.reporter(cmd.Output)
	r.Found = func(d odoo.Difference) error {
		if cmd.Output != "json" { // its file is not looked at while it grows
			bar.end()
		}
		return show(d)
	}
	sum, err := app.Reconcile(c.ctx, w, r)
	bar.end()
	if err != nil {
		return err
	}
	if err := end(sum); err != nil {
		return err
	}
	if sum.Serious > 0 {
		return exitError(1)
	}
	return nil
}

// reporter returns what takes each difference, and the sum at the end.
func (c *console) reporter(form string) (func(odoo.Difference) error, func(app.Reconciled) error) {
	switch form {
	case "csv":
		out := csv.NewWriter(c.out)
		row := func(cells ...string) error {
			err := out.Write(cells)
			out.Flush()
			return errors.Join(err, out.Error())
		}
		head := false
		first := func() error {
			if head {
				return nil
			}
			head = true
			return row("kind", "serious", "model", "id", "unit", "operation", "applied_at", "written_at", "written_by_us", "fields", "others")
		}
		return func(d odoo.Difference) error {
				return errors.Join(first(), row(d.Kind, strconv.FormatBool(d.Serious()), d.Model, strconv.FormatInt(d.ID, 10), d.Unit, d.Op,
					stamp(d.At), stamp(d.Since), strconv.FormatBool(d.Ours), strings.Join(d.Fields, " "), idList(d.Others)))
			}, func(sum app.Reconciled) error {
				c.sum(c.note, sum)
				return first()
			}
	case "json":
		sep := "{\n\"differences\": [\n"
		return func(d odoo.Difference) error {
				line, err := json.Marshal(d)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "%s%s", sep, line)
				}
				sep = ",\n"
				return err
			}, func(sum app.Reconciled) error {
				if sep[0] == '{' {
					fmt.Fprint(c.out, sep)
				}
				text, err := json.Marshal(sum)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "\n],\n\"summary\": %s\n}\n", text)
				}
				return err
			}
	}
	var rows [][]cell
	more := 0
	return func(d odoo.Difference) error {
			if len(rows) == shownDifferences {
				more++
				return nil
			}
			kind := cell{d.Kind, yellow}
			if d.Serious() {
				kind.ink = red
			}
			rows = append(rows, []cell{kind, {text: fmt.Sprintf("%s %d", d.Model, d.ID)}, {text: d.Unit}, {text: c.when(d.At)}, {text: c.detail(d)}})
			return nil
		}, func(sum app.Reconciled) error {
			if len(rows) > 0 {
				c.table([]column{{head: "DIFFERENCE"}, {head: "RECORD"}, {head: "UNIT", drop: 1}, {head: "APPLIED", drop: 2}, {head: "DETAIL"}}, rows)
				if more > 0 {
					c.say("and %d more: all of them with -o csv", more)
				}
				c.say("")
			}
			c.sum(func(format string, args ...any) {
				c.table([]column{{}}, [][]cell{{{text: fmt.Sprintf(format, args...)}}})
			}, sum)
			return nil
		}
}

// detail says what a kind does not say by itself.
func (c *console) detail(d odoo.Difference) string {
	var parts []string
	if len(d.Fields) > 0 {
		parts = append(parts, strings.Join(d.Fields, ", "))
	}
	if len(d.Others) > 0 {
		parts = append(parts, "also "+idList(d.Others))
	}
	if !d.Since.IsZero() {
		by := "somebody else"
		if d.Ours {
			by = "us: another feed, or a later unit"
		}
		parts = append(parts, "written "+d.Since.In(c.loc).Format("2 Jan 15:04:05")+" by "+by)
	}
	return strings.Join(parts, "; ")
}

// sum says how much was compared and what each kind of difference means.
func (c *console) sum(line func(string, ...any), sum app.Reconciled) {
	line("%d units in effect, which were about %d records", sum.Units, sum.Records)
	if sum.Valueless > 0 {
		line("of %d records no field was compared: their units are not in the hub any more", sum.Valueless)
	}
	for _, n := range sum.Notices {
		line("%s", n)
	}
	for _, d := range differences {
		if n := sum.Kinds[d.kind]; n > 0 {
			line("%d %s: %s", n, d.kind, d.means)
		}
	}
	switch {
	case sum.Serious > 0:
		line("Odoo differs from what was applied: let the feed send again what is missing or wrong, or correct it in Odoo.")
	case len(sum.Kinds) > 0:
		line("Odoo holds what was applied; the differences above are for you to know.")
	default:
		line("Odoo holds what was applied.")
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func idList(ids []int64) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(out, " ")
}
