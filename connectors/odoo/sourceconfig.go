package odoo

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A SourceConfig says what a [Source] reads of an Odoo database, and how often.
// Of its Config, batch is the number of records read in one call, and protocol
// is not xmlrpc: an answer in which nothing stands for a deleted record cannot
// travel by it.
type SourceConfig struct {
	Config `yaml:",inline"`
	// Every is the time between two looks at a model; default 30 s.
	Every time.Duration `yaml:"every"`
	// Settle is how long a transaction may take without any of its changes being
	// seen late; default 10 m. It costs no delay: what is younger is looked at
	// again. With the addon it is not needed.
	Settle time.Duration `yaml:"settle"`
	// Reconcile is the time between two comparisons of the list of all records with
	// what was sent, which find deletions and whatever else was not seen, and the
	// time in which every record is read again, a few at each look; default 24 h.
	Reconcile time.Duration `yaml:"reconcile"`
	// Echo also sends the changes of which our own user was the last writer.
	Echo   bool          `yaml:"echo"`
	Models []SourceModel `yaml:"models"`
	// Hints receives the webhooks of Odoo's automation rules; nil: it does not listen.
	Hints *Hints `yaml:"hints"`

	// Dir is a directory of this feed alone, for what it remembers of the records.
	Dir string `yaml:"-"`
}

// A SourceModel is a model of which changes are sent.
type SourceModel struct {
	Model string `yaml:"model"`
	// Fields are what is read: "list_price", or through relations
	// "order_line.product_id.default_code". A relation alone brings the id and the
	// name of its records.
	Fields []string `yaml:"fields"`
	// Watch are those of the fields of which each message also says what they were
	// before, as _was: for outbound mappings whose trigger is that a field becomes
	// something.
	Watch []string `yaml:"watch"`
	// Domain restricts the records, as Odoo writes it: [["sale_ok", "=", true]].
	Domain []any `yaml:"domain"`
}

// Hints is an HTTP listener.
type Hints struct {
	Listen string        `yaml:"listen"` // "host:port"
	Secret broker.Secret `yaml:"secret"` // at least 16 characters
	// CertFile and KeyFile are PEM; without them it listens on loopback only, unless
	// Plain says that something before us encrypts.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	Plain    bool   `yaml:"plain"`
}

const (
	maxSourceModels = 100
	maxSourceFields = 500
	maxFieldDepth   = 4
	minSecret       = 16
)

func (c SourceConfig) withDefaults() (SourceConfig, error) {
	var err error
	if c.Config, err = c.Config.withDefaults(); err != nil {
		return c, err
	}
	if c.Protocol == "xmlrpc" {
		return c, errors.New("odoo: protocol: a source takes jsonrpc, json2 or auto")
	}
	for _, d := range []struct {
		name       string
		value      *time.Duration
		normal, at time.Duration
	}{{"every", &c.Every, 30 * time.Second, time.Second}, {"settle", &c.Settle, 10 * time.Minute, 10 * time.Second}, {"reconcile", &c.Reconcile, 24 * time.Hour, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.normal
		}
		if *d.value < d.at {
			return c, fmt.Errorf("odoo: %s: %s is shorter than %s", d.name, *d.value, d.at)
		}
	}
	if len(c.Models) == 0 || len(c.Models) > maxSourceModels {
		return c, fmt.Errorf("odoo: models: name 1 to %d, such as - { model: product.template, fields: [name, list_price] }", maxSourceModels)
	}
	c.Models = slices.Clone(c.Models)
	for i := range c.Models {
		m := &c.Models[i]
		if slices.ContainsFunc(c.Models[:i], func(o SourceModel) bool { return o.Model == m.Model }) {
			return c, fmt.Errorf("odoo: models[%d].model: %s is there twice", i, m.Model)
		}
		if m.Domain, err = m.check(); err != nil {
			return c, fmt.Errorf("odoo: models[%d].%w", i, err)
		}
	}
	if c.Hints != nil {
		if err := c.Hints.check(); err != nil {
			return c, fmt.Errorf("odoo: hints.%w", err)
		}
	}
	return c, nil
}

// check returns the domain as wires take it.
func (m *SourceModel) check() ([]any, error) {
	if !dottedName(m.Model) {
		return nil, errors.New("model: give the name of a model, such as purchase.order")
	}
	if len(m.Fields) == 0 || len(m.Fields) > maxSourceFields {
		return nil, fmt.Errorf("fields: name 1 to %d fields of %s", maxSourceFields, m.Model)
	}
	for _, f := range m.Fields {
		steps := strings.Split(f, ".")
		if len(steps) > maxFieldDepth || slices.ContainsFunc(steps, func(s string) bool { return !fieldName(s) }) {
			return nil, fmt.Errorf("fields: %q is not the name of a field, or a way of at most %d steps to one: partner_id.ref", f, maxFieldDepth)
		}
	}
	for _, f := range m.Watch {
		if strings.Contains(f, ".") || !slices.Contains(m.Fields, f) {
			return nil, fmt.Errorf("watch: %q is not one of the fields: of %s", f, m.Model)
		}
	}
	out := make([]any, len(m.Domain))
	for i, term := range m.Domain {
		switch t := term.(type) {
		case string:
			if t != "&" && t != "|" && t != "!" {
				return nil, fmt.Errorf("domain: term %d is none: write [field, operator, value], \"&\", \"|\" or \"!\"", i+1)
			}
			out[i] = t
		case []any:
			if len(t) != 3 {
				return nil, fmt.Errorf("domain: term %d has %d parts; write [field, operator, value]", i+1, len(t))
			}
			field, _ := t[0].(string)
			op, _ := t[1].(string)
			value, ok := domainValue(t[2], 1)
			if !dottedName(field) || op == "" || !ok {
				return nil, fmt.Errorf("domain: term %d is not [field, operator, value]", i+1)
			}
			out[i] = []any{field, op, value}
		default:
			return nil, fmt.Errorf("domain: term %d is none: write [field, operator, value], \"&\", \"|\" or \"!\"", i+1)
		}
	}
	return out, nil
}

// domainValue makes of what YAML gave what wires take.
func domainValue(v any, depth int) (any, bool) {
	switch v := v.(type) {
	case nil:
		return false, true
	case bool, string, int64, float64:
		return v, true
	case int:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			y, ok := domainValue(x, depth-1)
			if !ok || depth == 0 {
				return nil, false
			}
			out[i] = y
		}
		return out, true
	}
	return nil, false
}

func (h *Hints) check() error {
	host, _, err := net.SplitHostPort(h.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("listen: write host:port, such as 127.0.0.1:8490: %w", err)
	case len(h.Secret.Reveal()) < minSecret:
		return fmt.Errorf("secret: at least %d characters, from a file or the environment", minSecret)
	case strings.ContainsFunc(h.Secret.Reveal(), func(c rune) bool { return c >= 0x80 || !madeOf(string(c), "-_") }):
		return errors.New("secret: ASCII letters, digits, - and _ only: it stands in a URL")
	case (h.CertFile == "") != (h.KeyFile == ""):
		return errors.New("cert_file and key_file are both needed")
	case h.CertFile == "" && !h.Plain && !loopback(host):
		return errors.New("listen: the secret would come in the clear; listen on 127.0.0.1, give cert_file and key_file, or say plain: true when something before it encrypts")
	}
	return nil
}

// specification is what web_read takes, of dotted names.
func specification(fields []string) map[string]any {
	spec := map[string]any{}
	for _, f := range fields {
		at := spec
		steps := strings.Split(f, ".")
		for i, step := range steps {
			next, ok := at[step].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[step] = next
			}
			if i == len(steps)-1 {
				break
			}
			within, ok := next["fields"].(map[string]any)
			if !ok {
				within = map[string]any{}
				next["fields"] = within
			}
			at = within
		}
	}
	return spec
}

// sentTypes are the types of fields whose values can be sent.
const sentTypes = "char text html selection boolean integer float monetary date datetime reference many2one_reference many2one one2many many2many"

// checkFields checks a specification against the database and gives relations that
// name no fields the id and the name of their records. facts asks for the
// fields of a model.
func checkFields(model string, spec map[string]any, facts func(model string) (map[string]any, error)) error {
	known, err := facts(model)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		about, ok := known[name].(map[string]any)
		kind, _ := about["type"].(string)
		relation, _ := about["relation"].(string)
		within, _ := spec[name].(map[string]any)
		deeper, isWay := within["fields"].(map[string]any)
		switch {
		case !ok:
			return fmt.Errorf("%s has no field %s that the user may read", model, name)
		case !contains(sentTypes, kind):
			return fmt.Errorf("%s.%s is of a type that is not sent", model, name)
		case relation == "" && isWay:
			return fmt.Errorf("%s.%s is no relation: nothing stands behind it", model, name)
		case relation == "":
		case isWay:
			if err := checkFields(relation, deeper, facts); err != nil {
				return err
			}
		default:
			within["fields"] = map[string]any{"display_name": map[string]any{}}
		}
	}
	return nil
}
