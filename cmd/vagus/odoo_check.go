package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo"
)

// odooCheckCmd is `vagus odoo check`. It exits with 0 if all is well, 1 if a
// person should look, 2 if units would not be applied.
type odooCheckCmd struct {
	odooAddress
	Mappings []string `type:"path" placeholder:"DIR" help:"Mappings that are to be applied there: files or directories; default: those of the file's feeds, else those that come with Vagus."`
	Output   string   `name:"output" short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Help is shown by `vagus odoo check --help`.
func (*odooCheckCmd) Help() string {
	return "Looks at the server, the user and everything that the mappings need, all at once, and makes 40 harmless calls to see how fast they are. It writes nothing; Odoo itself notes the logins. Exits with 0 if all is well, 1 if a person should look, 2 if units would not be applied."
}

// verdicts says what a level means for the whole, with its exit code.
var verdicts = map[odoo.Level]struct {
	ink  ink
	code int
	text string
}{
	odoo.Fine:      {green, 0, "fine: what these mappings make can be applied"},
	odoo.Attention: {yellow, 1, "attention: units can be applied; see to what is named above"},
	odoo.Broken:    {red, 2, "broken: some or all units will not be applied until what is named above is put right"},
}

// Run examines, and prints what it found with the verdict last.
func (cmd *odooCheckCmd) Run(c *console) error {
	cfg, feeds, err := cmd.config(c)
	if err != nil {
		return err
	}
	target, err := odoo.New(cfg)
	if err != nil {
		return err
	}
	needs, whose, err := c.needs(cmd.Mappings, feeds, target)
	if err != nil {
		return c.faulty(err, cmd.Output)
	}
	bar := &progress{c: c, start: c.now()}
	x, err := target.Examine(c.ctx, needs, func(done, all int) {
		if bar.total = all; c.live {
			bar.show(done)
		}
	})
	bar.end()
	if err != nil {
		return err
	}
	verdict := verdicts[x.Verdict()]
	if cmd.Output == "json" {
		err = c.printJSON(struct {
			URL      string     `json:"url"`
			Database string     `json:"database"`
			User     string     `json:"user"`
			Mappings string     `json:"mappings"`
			Verdict  odoo.Level `json:"verdict"`
			odoo.Examination
		}{cfg.URL, cfg.Database, cfg.User, whose, x.Verdict(), x})
	} else {
		c.say("database %s of %s, user %s", cfg.Database, cfg.URL, cfg.User)
		c.say("for %s", whose)
		c.say("")
		c.facts(&x)
		c.models(&x)
		c.findings(&x)
		c.say("")
		c.table([]column{{}}, [][]cell{{{verdict.text, verdict.ink}}})
	}
	if err == nil && verdict.code != 0 {
		err = exitError(verdict.code)
	}
	return err
}

// facts prints what is known of server and user.
func (c *console) facts(x *odoo.Examination) {
	var rows [][]cell
	fact := func(name, format string, args ...any) { rows = append(rows, texts(name, fmt.Sprintf(format, args...))) }
	if x.Version != "" {
		fact("server", "Odoo %s, spoken to by %s", x.Version, x.Protocol)
	}
	if !x.Certificate.IsZero() {
		fact("certificate", "until %s (%d days)", x.Certificate.In(c.loc).Format("2006-01-02"), int(x.Certificate.Sub(c.now()).Hours()/24))
	}
	if x.Version != "" {
		switch skew := x.Skew.Duration; {
		case skew > 0:
			fact("clock", "%s before ours", skew)
		case skew < 0:
			fact("clock", "%s behind ours", -skew)
		default:
			fact("clock", "as ours")
		}
	}
	if x.Login.Duration > 0 {
		fact("login", "%s, the first one %s", millis(x.Login.Duration), millis(x.LoginFirst.Duration))
		mail := "has no e-mail address"
		if x.Mail {
			mail = "has an e-mail address"
		}
		if x.Companies > 1 {
			mail += fmt.Sprintf(", of %d companies", x.Companies)
		}
		if !x.Key.IsZero() {
			mail += ", a key that runs out on " + x.Key.Format(time.DateOnly)
		}
		fact("user", "language %s, time zone %s, %s", orDash(x.Lang), orDash(x.Zone), mail)
	}
	if x.Promise != "" {
		fact("promise", "%s: %s", x.Promise, x.Why)
		ids := "may not be read"
		if x.Identifiers {
			ids = "may be read"
		}
		fact("external ids", "%s (ir.model.data)", ids)
	}
	for _, s := range []odoo.Speed{x.Alone, x.Together} {
		if s.Calls > 0 {
			fact("speed", "%d calls, %d at once: half within %s, the slowest %s, %.0f/s", s.Calls, s.AtOnce, millis(s.P50.Duration), millis(s.Max.Duration), s.PerSecond)
		}
	}
	c.table([]column{{}, {}}, rows)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func millis(d time.Duration) string {
	return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
}

// models prints one line for each model that the mappings need.
func (c *console) models(x *odoo.Examination) {
	if len(x.Models) == 0 {
		return
	}
	c.say("")
	right := func(s string) cell {
		switch s {
		case "no":
			return cell{s, red}
		case "":
			return cell{"-", faint}
		}
		return cell{s, plain}
	}
	var rows [][]cell
	for _, m := range x.Models {
		fields := strconv.Itoa(m.Fields)
		if m.Wrong > 0 {
			fields = fmt.Sprintf("%d, wrong %d", m.Fields, m.Wrong)
		}
		if !m.Exists {
			rows = append(rows, []cell{{m.Model, red}, right(""), right(""), right(""), right(""), right(""), {text: "not in this database"}})
			continue
		}
		rows = append(rows, []cell{{text: m.Model}, right(m.Read), right(m.Write), right(m.Create), right(m.Delete), right(m.Calls), {text: fields}})
	}
	c.table([]column{{head: "MODEL"}, {head: "READ"}, {head: "WRITE"}, {head: "CREATE"}, {head: "DELETE", drop: 2}, {head: "CALL", drop: 1}, {head: "FIELDS"}}, rows)
}

// findings prints what is wrong, the worst first, each with its fix, and what
// could not be seen.
func (c *console) findings(x *odoo.Examination) {
	if len(x.Findings) > 0 {
		c.say("")
		var rows [][]cell
		for _, f := range x.Findings {
			rows = append(rows, []cell{{string(f.Level), verdicts[f.Level].ink}, {text: f.About + ": " + f.What}}, texts("", "→ "+f.Fix))
		}
		c.table([]column{{head: "FINDING"}, {head: "WHAT, AND WHAT TO DO"}}, rows)
	}
	if len(x.Unseen) > 0 {
		c.say("")
		c.table([]column{{}, {}}, [][]cell{texts("not visible:", strings.Join(x.Unseen, "; "))})
	}
}
