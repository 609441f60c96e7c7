package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheExamplesInDeployAreRead(t *testing.T) {
	t.Setenv("VAGUS_ODOO_KEY", "k")
	t.Setenv("VAGUS_TOKEN", "0123456789abcdef")
	t.Setenv("VAGUS_LEDGER", "postgres://localhost/vagus")
	for name, cfg := range map[string]validator{"up.yaml": NewAll(), "hub.yaml": NewHub(), "agent.yaml": NewAgent()} {
		if err := Load(filepath.Join("..", "..", "deploy", "examples", name), cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// worker.yaml names secret files of a real machine: here they stand beside it.
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "examples", "worker.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, "worker.yaml", strings.ReplaceAll(string(text), "/etc/vagus/", ""))
	for _, secret := range []string{"odoo.key", "token"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), secret), []byte("0123456789abcdef\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := NewWorker()
	if err := Load(path, w); err != nil {
		t.Fatal(err)
	}
	if got := w.Ops.Token.Reveal(); got != "0123456789abcdef" {
		t.Errorf("the token is %q: the line end is not part of it", got)
	}
}

const feed = `
feeds:
  - name: adt
    target: odoo
    mappings: [ adt.map.yaml ]
    hl7: { listen: "127.0.0.1:2575" }
`

// parts is a feed with these settings of connectors.
func parts(settings ...string) string {
	return strings.Replace(feed, `hl7: { listen: "127.0.0.1:2575" }`, strings.Join(settings, "\n    "), 1)
}

func TestRelativePathsAreRelativeToTheFile(t *testing.T) {
	t.Parallel()
	path := write(t, "agent.yaml", "data_dir: journal\nbundle: site\nmappings: { every: 2s, trust: { file: site.pub } }\n"+feed)
	a := NewAgent()
	if err := Load(path, a); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if diff := cmp.Diff([]string{filepath.Join(dir, "journal"), filepath.Join(dir, "site"), filepath.Join(dir, "adt.map.yaml"), filepath.Join(dir, "site.pub")},
		[]string{a.DataDir, a.Bundle, a.Feeds[0].Mappings[0], a.Mappings.Trust.File}); diff != "" {
		t.Error(diff)
	}
}

func TestAFeedMayBeATransportAndAFormat(t *testing.T) {
	t.Parallel()
	for _, f := range []string{"hl7: {}", "json: { id: event.id }"} {
		path := write(t, "agent.yaml", parts("folder: { dir: drop, order: time }", f))
		a := NewAgent()
		if err := Load(path, a); err != nil {
			t.Fatal(err)
		}
		if c := a.Feeds[0].Folder; c.Dir != filepath.Join(filepath.Dir(path), "drop") || c.Order != "time" {
			t.Errorf("%+v", c)
		}
	}
}

func TestAFeedMayWatchAServersFolder(t *testing.T) {
	t.Setenv("VAGUS_SFTP", "sesame")
	path := write(t, "agent.yaml", parts("sftp: { address: files.example.org, user: vagus, password: { env: VAGUS_SFTP }, host_keys: [ 'SHA256:x' ], dir: /exchange, in: inbound }", "tabular: { format: xlsx }"))
	a := NewAgent()
	if err := Load(path, a); err != nil {
		t.Fatal(err)
	}
	if c := a.Feeds[0].SFTP; c.Server.Password.Reveal() != "sesame" || c.Folder.Dir != "/exchange" || c.Folder.In != "inbound" || c.Server.HostKeys[0] != "SHA256:x" {
		t.Errorf("%+v", c)
	}
	if err := Load(write(t, "agent.yaml", parts("sftp: { adress: x }", "tabular: {}")), NewAgent()); err == nil || !strings.Contains(err.Error(), `did you mean "address"`) {
		t.Errorf("%v", err)
	}
}

func TestAFeedMayReadAnOdoo(t *testing.T) {
	t.Setenv("VAGUS_ODOO_KEY", "k")
	t.Setenv("VAGUS_HINT", "0123456789abcdef")
	text := `
feeds:
  - name: erp
    target: odoo
    mappings: [ products.map.yaml ]
    odoo:
      url: https://odoo.example.org
      database: north
      user: vagus
      key: { env: VAGUS_ODOO_KEY }
      tls: { ca_file: ca.pem }
      every: 1m
      models:
        - model: product.template
          fields: [ name, list_price, categ_id.complete_name ]
          domain: [ [ sale_ok, "=", true ], "|", [ id, in, [ 1, 2 ] ], [ name, "!=", false ] ]
      hints: { listen: "127.0.0.1:0", secret: { env: VAGUS_HINT }, cert_file: c.pem, key_file: k.pem }
`
	path := write(t, "agent.yaml", text)
	a := NewAgent()
	if err := Load(path, a); err != nil {
		t.Fatal(err)
	}
	o := a.Feeds[0].Odoo
	if o.Key.Reveal() != "k" || o.Every != time.Minute || o.Models[0].Fields[1] != "list_price" || len(o.Models[0].Domain) != 4 || o.TLS.CAFile != filepath.Join(filepath.Dir(path), "ca.pem") || o.Hints.KeyFile != filepath.Join(filepath.Dir(path), "k.pem") {
		t.Errorf("%+v", o)
	}
	o.Dir = t.TempDir()
	o.TLS.CAFile = ""
	if _, err := odoo.NewSource(broker.Origin{}, *o); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"two connectors":      {"    odoo:\n", "    hl7: { listen: \"127.0.0.1:0\" }\n    odoo:\n", "feeds[0].odoo: a feed has one connector"},
		"an unknown setting":  {"every: 1m", "evry: 1m", "every"},
		"an answer to nobody": {"    odoo:\n", "    validate: before-ack\n    odoo:\n", "feeds[0].validate: before-ack is for senders who hear the answer"},
	} {
		if err := Load(write(t, "agent.yaml", strings.Replace(text, c.old, c.new, 1)), NewAgent()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSinksAreReadAndTheirFilesAreBesideTheFile(t *testing.T) {
	t.Parallel()
	all := NewAll()
	path := write(t, "up.yaml", feed+`
sinks: { lab: { hl7: { connect: "lab:2575", tls: { ca_file: ca.pem } } } }
targets:
  odoo: { odoo: { url: "http://127.0.0.1:8069", database: d, user: u, key: { env: PATH } } }
  lab: { sink: lab }
  away: { site: south, sink: lab, batch: 3 }
  near: { hl7: { connect: "near:2575", tls: { ca_file: ca.pem } } }
`)
	if err := Load(path, all); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(filepath.Dir(path), "ca.pem")
	if all.Sinks["lab"].HL7.TLS.CAFile != ca || all.Targets["near"].HL7.TLS.CAFile != ca {
		t.Error("a relative path is not beside the file")
	}
	if lab, away := all.Targets["lab"], all.Targets["away"]; lab.Site != all.Site || lab.At != "lab" || away.Site != "south" || away.Batch != 3 {
		t.Errorf("%+v %+v", lab, away)
	}
	agent := NewAgent()
	if err := Load(write(t, "agent.yaml", "sinks: { lab: { hl7: { connect: 'lab:2575' } } }\n"), agent); err != nil || len(agent.Sinks) != 1 {
		t.Errorf("an agent that only takes documents: %v", err)
	}
}

func TestAnErrorNamesThePlaceAndTheFix(t *testing.T) {
	t.Parallel()
	worker := "targets:\n  odoo:\n    odoo: { url: \"http://127.0.0.1:8069\", database: d, user: u, key: { env: PATH } }\n"
	for _, c := range []struct {
		name, text string
		cfg        validator
		want       []string
		never      string
	}{
		{"a misspelt field", "feedz: []\n", NewAgent(), []string{"agent.yaml:1:1", `unknown field "feedz"`, `did you mean "feeds"?`}, ""},
		{"a misspelt field of a connector", strings.Replace(feed, "listen", "listn", 1), NewAgent(), []string{"agent.yaml:6:", `did you mean "listen"?`}, ""},
		{"a value of the wrong type", "grace: soon\n" + feed, NewAgent(), []string{"agent.yaml:1:8", "such as 90s"}, ""},
		{"no feed", "data_dir: x\n", NewAgent(), []string{"feeds:", "add one"}, ""},
		{"a feed that no subject can carry", strings.Replace(feed, "adt", "ADT.in", 1), NewAgent(), []string{"feeds[0].name", "a-z, 0-9 and -"}, ""},
		{"two feeds of one name", feed + strings.TrimPrefix(feed, "\nfeeds:\n"), NewAgent(), []string{"feeds[1].name", "another feed"}, ""},
		{"a feed without mapping", strings.Replace(feed, "[ adt.map.yaml ]", "[]", 1), NewAgent(), []string{"feeds[0].mappings"}, ""},
		{"mappings that are looked at without pause", "mappings: { every: 1ms }\n" + feed, NewAgent(), []string{"mappings.every: 1ms is shorter than 1s"}, ""},
		{"a feed without connector", strings.Split(feed, "    hl7")[0], NewAgent(), []string{"feeds[0].hl7", "hl7: {"}, ""},
		{"a transport without a format", parts("folder: { dir: in }"), NewAgent(), []string{"feeds[0].folder: is a transport", "give the feed a format (hl7, json"}, ""},
		{"a format without a transport", parts("json: {}"), NewAgent(), []string{"feeds[0].json: is a format", "give the feed a transport (folder"}, ""},
		{"HL7 that nobody brings", parts("hl7: {}"), NewAgent(), []string{"feeds[0].hl7.listen: missing", "or give the feed a transport (folder"}, ""},
		{"MLLP and a folder", parts("hl7: { listen: ':2575' }", "folder: { dir: in }"), NewAgent(), []string{"feeds[0].folder: hl7 brings its messages itself where it has listen", "leave that out"}, ""},
		{"a database and a format", parts("odoo: {}", "json: {}"), NewAgent(), []string{"feeds[0].json: odoo is a connector by itself"}, ""},
		{"two formats", parts("folder: { dir: in }", "hl7: {}", "json: {}"), NewAgent(), []string{"feeds[0].json: a feed has one format, and this one has hl7 as well"}, ""},
		{"units to be applied whole by a target that does not", feed + "    atomic: true\n" + strings.Replace(worker, "odoo: {", "odoo: { addon: \"off\",", 1), NewAll(), []string{"feeds[0].atomic", "targets.odoo.odoo.addon is off"}, ""},
		{"a wait that is negative", feed + worker + "    defer_for: -1s\n", NewAll(), []string{"targets.odoo.defer_for: -1s is negative"}, ""},
		{"a secret that stands in the file", worker + "ledger: { postgres: hunter2 }\n", NewWorker(), []string{"agent.yaml:4:21", "must not stand in this file"}, "hunter2"},
		{"a variable that is not set", worker + "ledger: { postgres: { env: VAGUS_TEST_NOT_SET } }\n", NewWorker(), []string{"agent.yaml:4:", "VAGUS_TEST_NOT_SET is empty or not set"}, ""},
		{"two ledgers", worker + "ledger: { sqlite: x.db, postgres: { env: PATH } }\n", NewWorker(), []string{"ledger: give one of"}, ""},
		{"a ledger that forgets too soon", worker + "ledger: { sqlite: x.db }\nkeep: 24h\n", NewWorker(), []string{"keep: 24h0m0s is shorter", "720h"}, ""},
		{"a sink without connector", "sinks: { lab: {} }\n" + feed, NewAgent(), []string{"sinks.lab: give the settings of one connector"}, ""},
		{"a sink of two connectors", "sinks: { lab: { hl7: { connect: 'lab:2575' }, fhir: { url: 'https://lab' } } }\n" + feed, NewAgent(), []string{"sinks.lab: give the settings of one"}, ""},
		{"interchanges that go nowhere", "sinks: { meridian: { x12: { id: 'ZZ:M', own: 'ZZ:N', version: '004010' } } }\n" + feed, NewAgent(), []string{"sinks.meridian.x12.folder: give one of folder"}, ""},
		{"interchanges that go two ways", "sinks: { meridian: { x12: { id: 'ZZ:M', own: 'ZZ:N', version: '004010', folder: out, http: { url: 'https://edi.example.org' } } } }\n" + feed, NewAgent(), []string{"sinks.meridian.x12.folder: give one of folder"}, ""},
		{"control numbers of a worker", "ledger: { sqlite: x.db }\ntargets: { m: { x12: { id: 'ZZ:M', own: 'ZZ:N', version: '004010', folder: out } } }\n", NewWorker(), []string{"targets.m.x12: its control numbers are a site's"}, ""},
		{"a sink that no subject can carry", "sinks: { Lab: { hl7: { connect: 'lab:2575' } } }\n" + feed, NewAgent(), []string{"sinks:", "a-z, 0-9 and -"}, ""},
		{"a target that is two things", "ledger: { sqlite: x.db }\ntargets: { lab: { site: north, sink: lab, hl7: { connect: 'lab:2575' } } }\n", NewWorker(), []string{"targets.lab: it is two things at once"}, ""},
		{"a target at a site without a sink", "ledger: { sqlite: x.db }\ntargets: { lab: { site: north } }\n", NewWorker(), []string{"targets.lab.sink"}, ""},
		{"a target without its site", "ledger: { sqlite: x.db }\ntargets: { lab: { sink: lab } }\n", NewWorker(), []string{"targets.lab.site"}, ""},
		{"a target that is nowhere", feed + strings.Replace(worker, "  odoo:\n", "  other:\n", 1), NewAll(), []string{"feeds[0].target: there is no target odoo: add it to targets"}, ""},
		{"a sink that the site does not have", feed + worker + "  lab: { sink: lab }\n", NewAll(), []string{"targets.lab.sink: this site has no sink lab"}, ""},
		{"a target without connector", "targets: { odoo: {} }\nledger: { sqlite: x.db }\n", NewWorker(), []string{"targets.odoo.odoo: missing"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := Load(write(t, "agent.yaml", c.text), c.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\nhas no %q", err, w)
				}
			}
			if c.never != "" && strings.Contains(err.Error(), c.never) {
				t.Errorf("%v\nrepeats %q", err, c.never)
			}
		})
	}
}
