package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
)

// An Agent is `vagus agent -c`: one site.
type Agent struct {
	DataDir string  `yaml:"data_dir"` // the journal; a volume of its own
	Bundle  string  `yaml:"bundle"`   // directory that `vagus site add` made for this site: who it is and how it reaches the cloud
	Journal Journal `yaml:"journal"`
	Feeds   []Feed  `yaml:"feeds"`
	// Sinks are systems of the site that documents from the cloud go to: workers
	// name them in their targets.
	Sinks map[string]Outlet `yaml:"sinks"`
	// Mappings says how the mappings that the feeds name come into force.
	Mappings Mappings      `yaml:"mappings"`
	Grace    time.Duration `yaml:"grace"` // for work in hand at the end
	Process  `yaml:",inline"`
}

// Mappings says which changes of mapping files come into force, and when.
type Mappings struct {
	// Trust is the public key that bundles are signed with: then feeds name
	// bundles only, and none that is unsigned, altered or older is taken.
	Trust KeyFile `yaml:"trust"`
	// Every is how long after one look at the files the next one is.
	Every time.Duration `yaml:"every"`
}

// A KeyFile names a file with a key that is no secret.
type KeyFile struct {
	File string `yaml:"file"`
}

// Journal is the site's durable log.
type Journal struct {
	MaxBytes      int64         `yaml:"max_bytes"`      // of one feed, unless the feed says otherwise; when it is reached the feed refuses
	Retention     time.Duration `yaml:"retention"`      // how long what the cloud has is kept, for replays
	EncryptionKey broker.Secret `yaml:"encryption_key"` // none: not encrypted at rest
	// Provision allows one start to make the streams of feeds that are new and to
	// apply changed limits to a journal that is in use. Take it out again after.
	Provision bool `yaml:"provision"`
}

// A Feed is one source at the site: a connector that is a source by itself (hl7 with
// listen, odoo), or one transport and the one format that it carries.
type Feed struct {
	Name     string   `yaml:"name"`
	Target   string   `yaml:"target"`    // a target of the cloud's workers
	Lane     string   `yaml:"lane"`      // live (also ""), bulk (initial loads, nightly files), replay or synthetic (what only tests the way): they share the target's calls by its weights
	Mappings []string `yaml:"mappings"`  // files, directories, bundles (north.vmb, or north.vmb#admissions for a part); "builtin:admissions/adt-patient.map.yaml" for those that come with Vagus
	Validate string   `yaml:"validate"`  // "" or "before-ack": what a mapping rejects is refused to its sender instead of dead-lettered
	MaxBytes int64    `yaml:"max_bytes"` // of this feed's journal
	// Atomic says that the target applies units whole, as Odoo with the addon does: without it
	// a mapping with unit: atomic is refused.
	Atomic bool               `yaml:"atomic"`
	Odoo   *odoo.SourceConfig `yaml:"odoo"` // what changes in a database is sent
	HL7    *hl7.Config        `yaml:"hl7"`  // with listen a source, by MLLP; without it a format
	FHIR   *fhir.Config       `yaml:"fhir"` // resources that are sent to us, or that a server is asked for

	Folder *folder.Config  `yaml:"folder"` // a transport: files of this machine
	HTTP   *webhook.Config `yaml:"http"`   // a transport: bodies of requests
	SFTP   *SFTP           `yaml:"sftp"`   // a transport: files of a server

	JSON    *webhook.JSON   `yaml:"json"`    // a format
	Tabular *tabular.Config `yaml:"tabular"` // a format
	X12     *x12.Config     `yaml:"x12"`     // a format
}

// A Worker is `vagus worker -c`: one of the cloud's.
type Worker struct {
	Name    string            `yaml:"name"`   // unique among the workers of a ledger; default: host name and process id
	Bundle  string            `yaml:"bundle"` // directory that the hub made for the tenant's workers
	Ledger  Ledger            `yaml:"ledger"`
	Targets map[string]Target `yaml:"targets"`
	Keep    time.Duration     `yaml:"keep"` // how long the ledger remembers what was applied; not shorter than the stream's 30 days
	Grace   time.Duration     `yaml:"grace"`
	Process `yaml:",inline"`
}

// Ledger says where the ledger is: one of the two.
type Ledger struct {
	Postgres broker.Secret `yaml:"postgres"` // DSN: it holds a password
	SQLite   string        `yaml:"sqlite"`   // file, for one machine
}

// A Target is one system that units are applied to: an Odoo, a sink that the
// worker reaches by itself, or one at a site.
type Target struct {
	Odoo        *odoo.Config `yaml:"odoo"`
	Outlet      `yaml:",inline"`
	Site        string         `yaml:"site"`         // the agent there has
	At          string         `yaml:"sink"`         // this sink
	Batch       int            `yaml:"batch"`        // units handed to the target at once; 0: 100, and up to 900 of a backlog
	Concurrency int            `yaml:"concurrency"`  // calls at once: the Odoo workers that we may use; 0: 2. Worker processes share them, but each makes one: have no more processes than this
	Lanes       map[string]int `yaml:"lanes"`        // weights: live 8, bulk 2, replay 1, synthetic 1 where nothing is said
	MaxAttempts int            `yaml:"max_attempts"` // then a unit is a dead letter; -1: never
	RetryMin    time.Duration  `yaml:"retry_min"`
	RetryMax    time.Duration  `yaml:"retry_max"`
	DeferFor    time.Duration  `yaml:"defer_for"` // how long a unit waits for a record that another is to bring, then it is a dead letter; 0: 7 days
}

// A Hub is `vagus hub -c`: a message server with our settings. Its data_dir
// holds keys, certificates and sites; `vagus site` works on it while it runs.
type Hub struct {
	DataDir       string        `yaml:"data_dir"`
	StoreDir      string        `yaml:"store_dir"` // streams; default data_dir/store; a volume of its own
	Name          string        `yaml:"name"`      // unique in a cluster
	Listen        string        `yaml:"listen"`
	Names         []string      `yaml:"names"` // DNS names and addresses that sites know it by: its certificate covers them
	Tenant        string        `yaml:"tenant"`
	MaxBytes      int64         `yaml:"max_bytes"` // of each tenant's UNITS
	MaxAge        time.Duration `yaml:"max_age"`   // how long a unit stays there for workers that are behind; goes by when the streams are made
	Replicas      int           `yaml:"replicas"`
	Production    bool          `yaml:"production"` // refuse fewer than three replicas
	Cluster       Cluster       `yaml:"cluster"`
	EncryptionKey broker.Secret `yaml:"encryption_key"` // none: not encrypted at rest
	Grace         time.Duration `yaml:"grace"`
	Process       `yaml:",inline"`
}

// A Cluster joins hubs; none: one server alone.
type Cluster struct {
	Name   string   `yaml:"name"`
	Listen string   `yaml:"listen"`
	Routes []string `yaml:"routes"`
}

// All is `vagus up -c`: site, hub and worker in one process. Bundles are made
// as needed below data_dir.
type All struct {
	DataDir  string            `yaml:"data_dir"`
	Tenant   string            `yaml:"tenant"`
	Site     string            `yaml:"site"`
	Listen   string            `yaml:"listen"`    // of the hub
	MaxBytes int64             `yaml:"max_bytes"` // of the units that the hub keeps
	Journal  Journal           `yaml:"journal"`
	Feeds    []Feed            `yaml:"feeds"`
	Sinks    map[string]Outlet `yaml:"sinks"`
	Mappings Mappings          `yaml:"mappings"`
	Ledger   Ledger            `yaml:"ledger"` // default: SQLite below data_dir
	Targets  map[string]Target `yaml:"targets"`
	Grace    time.Duration     `yaml:"grace"`
	Process  `yaml:",inline"`
}

// Process is what every process has.
type Process struct {
	Ops Ops `yaml:"ops"`
	Log Log `yaml:"log"`
	// OTLP is where traces go, "http://host:4318"; none: nowhere.
	OTLP string `yaml:"otlp"`
}

// Ops is the process's HTTP side: /metrics, /livez, /readyz and, with a token, the API.
type Ops struct {
	Listen string        `yaml:"listen"`
	Token  broker.Secret `yaml:"token"` // none: no API
	// Plain says that something before us encrypts: without it the API listens on
	// loopback only.
	Plain bool `yaml:"plain"`
}

// Log says how much is logged, to standard error, and in which form.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // json or text
}

const gib = 1 << 30

// The addresses that `vagus` listens on and asks when nothing else is said.
const (
	DefaultHubListen  = "127.0.0.1:4222"
	DefaultOpsListen  = "127.0.0.1:8480" // worker, and all in one
	defaultAgentOps   = "127.0.0.1:8481"
	defaultHubOps     = "127.0.0.1:8482"
	defaultJournalMax = 8 * gib
)

func process(ops string) Process {
	return Process{Ops: Ops{Listen: ops}, Log: Log{Level: "info", Format: "json"}}
}

// NewAgent returns the defaults.
func NewAgent() *Agent {
	return &Agent{DataDir: "/var/lib/vagus/agent", Bundle: "/etc/vagus/site", Journal: newJournal(), Grace: 20 * time.Second, Process: process(defaultAgentOps)}
}

func newJournal() Journal {
	return Journal{MaxBytes: defaultJournalMax, Retention: 14 * 24 * time.Hour}
}

// NewWorker returns the defaults.
func NewWorker() *Worker {
	return &Worker{Bundle: "/etc/vagus/worker", Keep: 90 * 24 * time.Hour, Grace: 20 * time.Second, Process: process(DefaultOpsListen)}
}

// NewHub returns the defaults.
func NewHub() *Hub {
	return &Hub{DataDir: "/var/lib/vagus/hub", Listen: DefaultHubListen, MaxBytes: 32 * gib, MaxAge: 30 * 24 * time.Hour, Replicas: 1, Grace: 20 * time.Second, Process: process(defaultHubOps)}
}

// NewAll returns the defaults.
func NewAll() *All {
	return &All{DataDir: "/var/lib/vagus", Tenant: "main", Site: "site", Listen: DefaultHubListen, MaxBytes: 8 * gib, Journal: newJournal(), Grace: 20 * time.Second, Process: process(DefaultOpsListen)}
}

func (a *Agent) validate(dir string) error {
	a.DataDir, a.Bundle = absolute(dir, a.DataDir), absolute(dir, a.Bundle)
	if err := a.Journal.validate(); err != nil {
		return err
	}
	if err := a.Mappings.validate(dir); err != nil {
		return err
	}
	if err := validateSinks(a.Sinks, dir); err != nil {
		return err
	}
	if len(a.Feeds) == 0 && len(a.Sinks) > 0 {
		return nil
	}
	return validateFeeds(a.Feeds, dir)
}

func (j Journal) validate() error {
	switch {
	case j.MaxBytes < 1<<20:
		return fmt.Errorf("journal.max_bytes: %d is less than 1 MiB", j.MaxBytes)
	case j.Retention < 0:
		return fmt.Errorf("journal.retention: %s is negative", j.Retention)
	}
	return nil
}

func (m *Mappings) validate(dir string) error {
	m.Trust.File = absolute(dir, m.Trust.File)
	if m.Every != 0 && m.Every < time.Second {
		return fmt.Errorf("mappings.every: %s is shorter than 1s", m.Every)
	}
	return nil
}

func validateFeeds(feeds []Feed, dir string) error {
	if len(feeds) == 0 {
		return fmt.Errorf("feeds: a site without a feed has nothing to do; add one")
	}
	var names []string
	for i := range feeds {
		f := &feeds[i]
		at := func(field, format string, args ...any) error {
			return fmt.Errorf("feeds[%d].%s: %s", i, field, fmt.Sprintf(format, args...))
		}
		if err := stream.CheckToken("feed", f.Name); err != nil {
			return at("name", "%v", err)
		}
		if slices.Contains(names, f.Name) {
			return at("name", "%s is the name of another feed", f.Name)
		}
		names = append(names, f.Name)
		if err := stream.CheckToken("target", f.Target); err != nil {
			return at("target", "%v", err)
		}
		if f.Lane != "" && !slices.Contains(broker.Lanes[:], f.Lane) {
			return at("lane", "%q is not known; use one of %s", f.Lane, strings.Join(broker.Lanes[:], ", "))
		}
		if len(f.Mappings) == 0 {
			return at("mappings", "no mapping: nothing could leave the site; name a file, or builtin:admissions/adt-patient.map.yaml")
		}
		for j, m := range f.Mappings {
			if !strings.HasPrefix(m, Builtin) {
				f.Mappings[j] = absolute(dir, m)
			}
		}
		if f.Validate != "" && f.Validate != BeforeAck {
			return at("validate", "%q is not known; leave it out or write %s", f.Validate, BeforeAck)
		}
		if err := f.checkParts(at); err != nil {
			return err
		}
		for _, file := range f.files() {
			*file = absolute(dir, *file)
		}
	}
	return nil
}

// Builtin begins the name of a mapping that comes with Vagus.
const Builtin = "builtin:"

// BeforeAck is the Feed.Validate that maps before the acknowledgement.
const BeforeAck = "before-ack"

func (w *Worker) validate(dir string) error {
	w.Bundle = absolute(dir, w.Bundle)
	if w.Keep < 30*24*time.Hour {
		return fmt.Errorf("keep: %s is shorter than the 30 days that the stream keeps: a unit could come again that the ledger forgot; use 720h or more", w.Keep)
	}
	if err := w.Ledger.validate(dir); err != nil {
		return err
	}
	return validateTargets(w.Targets, dir)
}

func (l *Ledger) validate(dir string) error {
	if l.Postgres.IsZero() == (l.SQLite == "") {
		return fmt.Errorf("ledger: give one of postgres: { env: NAME } (or file) and sqlite: PATH")
	}
	l.SQLite = absolute(dir, l.SQLite)
	return nil
}

// maxWeight is the largest weight of a lane.
const maxWeight = 1000

func validateTargets(targets map[string]Target, dir string) error {
	if len(targets) == 0 {
		return fmt.Errorf("targets: a worker without a target has nothing to do; add one")
	}
	for name, t := range targets {
		if err := stream.CheckToken("target", name); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
		if err := t.validate(name, dir); err != nil {
			return err
		}
		if t.DeferFor < 0 {
			return fmt.Errorf("targets.%s.defer_for: %s is negative", name, t.DeferFor)
		}
		for lane, weight := range t.Lanes {
			if !slices.Contains(broker.Lanes[:], lane) {
				return fmt.Errorf("targets.%s.lanes: %q is not known; use some of %s", name, lane, strings.Join(broker.Lanes[:], ", "))
			}
			if weight < 1 || weight > maxWeight {
				return fmt.Errorf("targets.%s.lanes.%s: a weight is 1 to %d: none means that the lane would starve", name, lane, maxWeight)
			}
		}
		if t.Batch < 0 || t.Concurrency < 0 || t.MaxAttempts < -1 {
			return fmt.Errorf("targets.%s: batch, concurrency and max_attempts must not be negative (max_attempts: -1 means for ever)", name)
		}
	}
	return nil
}

func (h *Hub) validate(dir string) error {
	h.DataDir, h.StoreDir = absolute(dir, h.DataDir), absolute(dir, h.StoreDir)
	return nil // the rest is checked where it is used, by broker/hub
}

func (a *All) validate(dir string) error {
	a.DataDir = absolute(dir, a.DataDir)
	if a.Ledger.Postgres.IsZero() && a.Ledger.SQLite == "" {
		a.Ledger.SQLite = absolute(a.DataDir, "ledger.db")
	}
	for what, name := range map[string]string{"tenant": a.Tenant, "site": a.Site} {
		if err := stream.CheckToken(what, name); err != nil {
			return err
		}
	}
	if err := a.Journal.validate(); err != nil {
		return err
	}
	if err := a.Mappings.validate(dir); err != nil {
		return err
	}
	if err := a.Ledger.validate(dir); err != nil {
		return err
	}
	if err := validateFeeds(a.Feeds, dir); err != nil {
		return err
	}
	if err := validateSinks(a.Sinks, dir); err != nil {
		return err
	}
	for name, t := range a.Targets {
		if t.Site == "" && t.At != "" {
			t.Site = a.Site // there is one
			a.Targets[name] = t
		}
		if _, ok := a.Sinks[t.At]; t.At != "" && t.Site == a.Site && !ok {
			return fmt.Errorf("targets.%s.sink: this site has no sink %s: add it to sinks", name, t.At)
		}
	}
	for i, f := range a.Feeds {
		if _, ok := a.Targets[f.Target]; !ok {
			return fmt.Errorf("feeds[%d].target: there is no target %s: add it to targets", i, f.Target)
		}
		if t := a.Targets[f.Target]; f.Atomic && t.Odoo != nil && t.Odoo.Addon == "off" {
			return fmt.Errorf("feeds[%d].atomic: targets.%s.odoo.addon is off, and only with the addon are units applied whole", i, f.Target)
		}
	}
	return validateTargets(a.Targets, dir)
}
