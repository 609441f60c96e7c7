package x12

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Values of [Config] and [Partner].
const (
	SplitTransaction = "transaction" // one message for each transaction set
	SplitClaim       = "claim"       // one for each claim of an 837; all else as transaction

	AckAuto = "auto" // 999 for groups of a health care guide of 005010, 997 for others
	Ack997  = "997"
	Ack999  = "999"
	AckNone = "none"

	TA1Auto   = "auto" // when ISA-14 asks for it, and when an interchange is not accepted without errors
	TA1Always = "always"
	TA1None   = "none"

	DuplicatesRefuse = "refuse"
	DuplicatesWarn   = "warn"

	// Anyone is the Partner.ID that everybody has for whom no other is written.
	Anyone = "*"
)

// Config configures a [Receiver].
type Config struct {
	Split    string    `yaml:"split"` // "transaction" (default) or "claim"
	Partners []Partner `yaml:"partners"`

	Register *Register    `yaml:"-"` // of the site: all feeds with one partner count together
	Logger   *slog.Logger `yaml:"-"` // nil discards
	Tracer   trace.Tracer `yaml:"-"` // nil is a no-op
	Meter    metric.Meter `yaml:"-"` // nil is a no-op
}

// A Partner is whom interchanges are exchanged with, and what was agreed upon.
type Partner struct {
	Name       string   `yaml:"name"`       // in logs
	ID         string   `yaml:"id"`         // the partner's ISA qualifier and id, "ZZ:MERIDIAN", or "*"
	Own        string   `yaml:"own"`        // ours, "ZZ:NORTHHOSP"
	Code       string   `yaml:"code"`       // the partner's in GS; default: the id
	OwnCode    string   `yaml:"own_code"`   // ours in GS; default: the own id
	Versions   []string `yaml:"versions"`   // beginnings of GS-08 that are taken, "004010", "005010X222A1"; none: all
	Groups     []string `yaml:"groups"`     // GS-01 that are taken, such as HC, HP; none: all
	Usage      string   `yaml:"usage"`      // ISA-15 that is taken, and written: "P" (default) or "T"; in a "*" none takes both
	Ack        string   `yaml:"ack"`        // "auto" (default), "997", "999", "none"
	TA1        string   `yaml:"ta1"`        // "auto" (default), "always", "none"
	Tolerate   []string `yaml:"tolerate"`   // faults that are noted, and accepted all the same
	Duplicates string   `yaml:"duplicates"` // a control number that comes again with other content: "refuse" (default) or "warn"
	First      uint32   `yaml:"first"`      // our first control number to this partner; default 1

	id, own party
}

// A party is who sends or receives interchanges: ISA-05 and ISA-06, or ISA-07
// and ISA-08.
type party struct{ qualifier, id string }

func (p party) String() string { return p.qualifier + ":" + p.id }

func readParty(s string) (party, error) {
	q, id, ok := strings.Cut(s, ":")
	if !ok || len(q) != 2 || id == "" || len(id) > 15 || !isPlain(s) {
		return party{}, fmt.Errorf("%q is no qualifier and id, such as ZZ:MERIDIAN", s)
	}
	return party{q, id}, nil
}

// isPlain says whether s can stand in a segment of ours whatever separates there.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > 0x7e || strings.IndexByte("*^>~", c) >= 0 {
			return false
		}
	}
	return true
}

// withDefaults returns the settings with the defaults filled in, or an error
// that names the setting to change.
func (c Config) withDefaults() (Config, error) {
	if c.Split == "" {
		c.Split = SplitTransaction
	}
	if c.Split != SplitTransaction && c.Split != SplitClaim {
		return c, fmt.Errorf("split: use %s or %s", SplitTransaction, SplitClaim)
	}
	if len(c.Partners) == 0 {
		return c, errors.New(`partners: nobody could send; add one, such as { name: meridian, id: "ZZ:MERIDIAN", own: "ZZ:NORTHHOSP" }`)
	}
	c.Partners = slices.Clone(c.Partners)
	names := map[string]bool{}
	for i := range c.Partners {
		p := &c.Partners[i]
		if err := p.fill(); err != nil {
			return c, fmt.Errorf("partners[%d].%w", i, err)
		}
		if names[p.Name] {
			return c, fmt.Errorf("partners[%d].name: %s is the name of another partner", i, p.Name)
		}
		names[p.Name] = true
	}
	if c.Register == nil {
		return c, errors.New("no register of control numbers")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// fill sets a partner's defaults and checks what is written.
func (p *Partner) fill() (err error) {
	orText := func(v *string, def string) {
		if *v == "" {
			*v = def
		}
	}
	if p.ID != Anyone {
		if p.id, err = readParty(p.ID); err != nil {
			return fmt.Errorf("id: %w", err)
		}
		orText(&p.Usage, "P")
	}
	if p.own, err = readParty(p.Own); err != nil && (p.ID != Anyone || p.Own != "") {
		return fmt.Errorf("own: %w", err)
	}
	orText(&p.Code, p.id.id)
	orText(&p.OwnCode, p.own.id)
	orText(&p.Ack, AckAuto)
	orText(&p.TA1, TA1Auto)
	orText(&p.Duplicates, DuplicatesRefuse)
	if p.First == 0 {
		p.First = 1
	}
	for _, v := range []struct {
		name, value string
		of          []string
	}{
		{"ack", p.Ack, []string{AckAuto, Ack997, Ack999, AckNone}},
		{"ta1", p.TA1, []string{TA1Auto, TA1Always, TA1None}},
		{"duplicates", p.Duplicates, []string{DuplicatesRefuse, DuplicatesWarn}},
		{"usage", p.Usage, []string{"P", "T", ""}},
	} {
		if !slices.Contains(v.of, v.value) {
			return fmt.Errorf("%s: %q is not known; use %s", v.name, v.value, strings.Join(v.of, ", "))
		}
	}
	switch {
	case p.Name == "" || len(p.Name) > 64:
		return errors.New("name: give one of at most 64 characters")
	case !isPlain(p.Code) || !isPlain(p.OwnCode) || len(p.Code) > 15 || len(p.OwnCode) > 15:
		return errors.New("code: at most 15 characters, none of * ^ > ~")
	case p.First > maxControl:
		return fmt.Errorf("first: a control number has at most nine digits")
	}
	for _, t := range p.Tolerate {
		if t == "" || !slices.Contains(classes, class(t)) {
			return fmt.Errorf("tolerate: %q is not known; use some of %v", t, classes)
		}
	}
	return nil
}

// counter is what control numbers are counted under: whom and from whom.
func (p *Partner) counter() string {
	if p.ID == Anyone {
		return Anyone
	}
	return p.own.String() + " " + p.id.String()
}

func (p *Partner) tolerates(c class) bool {
	return c != never && slices.Contains(p.Tolerate, string(c))
}

// takes says whether a version, GS-08, was agreed upon.
func (p *Partner) takes(version string) bool {
	return len(p.Versions) == 0 || slices.ContainsFunc(p.Versions, func(v string) bool { return strings.HasPrefix(version, baseVersion(v)) })
}

// isConvention: 005010X222A1, and no release alone.
func isConvention(s string) bool { return len(s) > 6 && isNumber(s[:6]) && s[6] == 'X' }

// partnerOf finds who sent an interchange and says what is wrong with the
// address, as TA105 does: "" is nothing.
func (c *Config) partnerOf(from, to party) (p *Partner, code string) {
	var known, anyone *Partner
	for i := range c.Partners {
		switch p := &c.Partners[i]; {
		case p.ID == Anyone:
			anyone = p
		case p.id == from && p.own == to:
			return p, ""
		case p.id == from:
			known = p
		}
	}
	switch {
	case known != nil:
		return known, "009" // unknown receiver
	case anyone == nil:
		return nil, "006" // invalid sender
	case anyone.Own != "" && anyone.own != to:
		return anyone, "009"
	}
	return anyone, ""
}
