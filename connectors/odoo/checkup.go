package odoo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A Need is one thing that mappings ask of the database: of a model as a whole
// where Field and Method are empty, else of the field, or that the model has the
// method.
type Need struct {
	Model, Field, Method        string // Field leads through relations where it has dots
	Read, Write, Create, Delete bool
	Type, Relation              string   // of the field; "" is any
	Values                      []string // of a selection
	Readonly                    bool     // that the field may be is known
	Line                        bool     // written together with the record that it belongs to
	Mapping                     string   // whose need it is, for people
}

// A Level says how bad a finding is.
type Level string

const (
	Fine      Level = "fine"
	Attention Level = "attention" // works, and a person should look
	Broken    Level = "broken"    // units that need it will not be applied
)

// A Finding is one thing that is not as it should be, with its fix.
type Finding struct {
	Level Level  `json:"level"`
	About string `json:"about"` // "server", "user", "res.partner", "res.partner.mobile"
	What  string `json:"what"`
	Fix   string `json:"fix"`
}

// Millis is a duration that is a number of milliseconds in JSON.
type Millis struct{ time.Duration }

// MarshalJSON gives the milliseconds, rounded to microseconds.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(m.Microseconds())/1000, 'f', -1, 64), nil
}

// A Speed is what a run of harmless calls took.
type Speed struct {
	Calls     int     `json:"calls"`
	AtOnce    int     `json:"at_once"`
	P50       Millis  `json:"p50_ms"`
	Max       Millis  `json:"max_ms"`
	PerSecond float64 `json:"per_second"`
}

// A ModelState is what the mappings need of one model, and what there is. The
// rights are "yes", "no", "" where the mappings need none, and "?" where
// Odoo did not tell.
type ModelState struct {
	Model  string `json:"model"`
	Exists bool   `json:"exists"`
	Read   string `json:"read,omitempty"`
	Write  string `json:"write,omitempty"`
	Create string `json:"create,omitempty"`
	Delete string `json:"delete,omitempty"`
	Fields int    `json:"fields"`         // that the mappings use
	Wrong  int    `json:"wrong_fields"`   // of them, with a finding
	Calls  string `json:"call,omitempty"` // whether the methods may be called, by the addon's policies
}

// An Examination is what [Target.Examine] found. Zero fields were not to be had:
// a finding says why.
type Examination struct {
	Version     string       `json:"version,omitempty"`
	Protocol    string       `json:"protocol,omitempty"` // that is spoken
	Promise     string       `json:"promise,omitempty"`
	Why         string       `json:"promise_because,omitempty"`
	Certificate time.Time    `json:"certificate_until,omitzero"` // the first of the chain to run out
	Skew        Millis       `json:"clock_ahead_ms"`             // Odoo's clock before ours
	Companies   int          `json:"companies,omitempty"`
	Lang        string       `json:"lang,omitempty"`
	Zone        string       `json:"zone,omitempty"`
	Mail        bool         `json:"has_mail"`
	Key         time.Time    `json:"key_until,omitzero"` // the first of the user's to run out
	Identifiers bool         `json:"reads_external_ids"` // may read ir.model.data
	LoginFirst  Millis       `json:"login_first_ms,omitzero"`
	Login       Millis       `json:"login_ms,omitzero"` // one more, median
	Alone       Speed        `json:"one_at_a_time"`
	Together    Speed        `json:"at_once"`
	Models      []ModelState `json:"models,omitempty"`
	Findings    []Finding    `json:"findings"`
	Unseen      []string     `json:"not_visible"` // what Odoo tells nobody from outside
}

// Verdict is the worst level of the findings.
func (e *Examination) Verdict() Level {
	verdict := Fine
	for _, f := range e.Findings {
		if f.Level == Broken {
			return Broken
		}
		if f.Level == Attention {
			verdict = Attention
		}
	}
	return verdict
}

// Examine looks at the server, the user and what the mappings need, and writes
// nothing (Odoo itself notes each login). What cannot be looked at is a finding.
// tell, when not nil, hears how many of how many steps are done. The error is
// ctx's.
func (t *Target) Examine(ctx context.Context, needs []Need, tell func(done, all int)) (Examination, error) {
	x := &examiner{t: t, tell: tell, models: map[string]*modelNeed{}, absent: map[string][]string{}}
	x.Findings, x.Unseen = []Finding{}, []string{}
	x.need(needs)
	x.all = 6 + len(x.models)
	for _, step := range []func(context.Context) bool{x.server, x.login, x.user, x.promise, x.database, x.speed} {
		if !step(ctx) {
			break
		}
		x.step()
	}
	if err := ctx.Err(); err != nil {
		return x.Examination, err
	}
	slices.SortStableFunc(x.Findings, func(a, b Finding) int { return rank[a.Level] - rank[b.Level] })
	x.Unseen = append(x.Unseen, "workers, limit_time_real and memory limits of Odoo: see that odoo.conf has limit_time_real of 120 or more, and workers for our "+fmt.Sprint(cap(t.client.slots))+" calls at once")
	return x.Examination, nil
}

var rank = map[Level]int{Broken: 0, Attention: 1, Fine: 2}

// An examiner is one examination.
type examiner struct {
	Examination
	t         *Target
	tell      func(done, all int)
	done, all int
	uid       int64
	models    map[string]*modelNeed
	absent    map[string][]string // models by the module that brings them
	policies  map[string]any      // the addon's, by model; nil: units go by Odoo's own interface
}

func (x *examiner) step() {
	x.done++
	if x.tell != nil {
		x.tell(x.done, x.all)
	}
}

func (x *examiner) find(level Level, about, what, fix string) {
	x.Findings = append(x.Findings, Finding{level, about, what, fix})
}

// ask makes a call. The verdict says why there is no answer; it is nil when
// there is one, and when ctx is done.
func (x *examiner) ask(ctx context.Context, model, method string, args []arg, kw map[string]any) (any, *verdict) {
	res, err := x.t.client.execute(ctx, model, method, args, kw)
	if err == nil || ctx.Err() != nil {
		return res, nil
	}
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{class: "net.closed"}
	}
	v := judge(f, "", nil)
	if v.act == none { // XML-RPC cannot say None
		return nil, nil
	}
	return nil, &v
}

// failed is the finding of a probe that got no answer.
func (x *examiner) failed(level Level, about, what string, v *verdict) {
	x.find(level, about, what+" ("+v.class+")", v.reason)
}

// need sorts the needs by model.
func (x *examiner) need(needs []Need) {
	for _, n := range needs {
		m := x.models[n.Model]
		if m == nil {
			m = &modelNeed{by: map[string]bool{}, fields: map[string]*Need{}, methods: map[string]bool{}, writers: map[string]map[string]bool{}}
			x.models[n.Model] = m
		}
		m.add(n)
	}
}

// A modelNeed is what all mappings together need of one model.
type modelNeed struct {
	Need    // of the model as a whole; Line when it is needed as a line only
	seen    bool
	by      map[string]bool // mappings
	fields  map[string]*Need
	methods map[string]bool
	writers map[string]map[string]bool // by mapping that makes records: the fields that it fills
}

func (m *modelNeed) add(n Need) {
	if !m.seen {
		m.seen, m.Line = true, n.Line
	}
	m.Line = m.Line && (n.Line || !n.Write && !n.Create)
	m.by[n.Mapping] = true
	switch {
	case n.Method != "":
		m.methods[n.Method] = true
	case n.Field != "":
		f := m.fields[n.Field]
		if f == nil {
			f = &Need{Mapping: n.Mapping}
			m.fields[n.Field] = f
		}
		f.Read, f.Write = f.Read || n.Read, f.Write || n.Write
		if f.Type == "" {
			f.Type, f.Relation, f.Readonly = n.Type, n.Relation, n.Readonly
		}
		f.Values = append(f.Values, n.Values...)
		if n.Write {
			m.fills(n.Mapping)[n.Field] = true
		}
	default:
		m.Read, m.Write, m.Create, m.Delete = m.Read || n.Read, m.Write || n.Write, m.Create || n.Create, m.Delete || n.Delete
		if n.Create {
			m.fills(n.Mapping)[""] = true
		}
	}
}

func (m *modelNeed) fills(mapping string) map[string]bool {
	if m.writers[mapping] == nil {
		m.writers[mapping] = map[string]bool{}
	}
	return m.writers[mapping]
}
