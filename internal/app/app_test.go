package app_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

const secret = "0123456789abcdef"

// one returns the configuration of a whole Vagus in one process, with one feed
// that takes any port.
func one(t *testing.T, mappings ...string) *config.All {
	t.Helper()
	return oneAt(t, simulated.Config{}, mappings...)
}

// oneAt is one with another database.
func oneAt(t *testing.T, database simulated.Config, mappings ...string) *config.All {
	t.Helper()
	cfg, _ := oneOf(t, database, mappings...)
	return cfg
}

// oneOf is oneAt that returns the database too.
func oneOf(t *testing.T, database simulated.Config, mappings ...string) (*config.All, *simulated.Server) {
	t.Helper()
	database.Database, database.User, database.Key = "demo", "vagus", secret
	odooServer := simulated.New(database)
	url, err := odooServer.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = odooServer.Close() })
	cfg := config.NewAll()
	cfg.DataDir, cfg.Site, cfg.Listen, cfg.MaxBytes, cfg.Journal.MaxBytes = t.TempDir(), "north", "127.0.0.1:0", 1<<28, 1<<28
	cfg.Ledger.SQLite = filepath.Join(cfg.DataDir, "ledger.db")
	cfg.Feeds = []config.Feed{{Name: "adt", Target: "odoo", Mappings: mappings, HL7: &hl7.Config{Listen: "127.0.0.1:0"}}}
	cfg.Targets = map[string]config.Target{"odoo": {Odoo: &odoo.Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret(secret)}}}
	cfg.Ops.Listen, cfg.Ops.Token = "127.0.0.1:0", broker.NewSecret(secret)
	return cfg, odooServer
}

// start runs a whole Vagus until the test ends. If that has failed then, it says what
// became of each unit.
func start(t *testing.T, cfg *config.All, log *safeLog) (*app.All, *ops.Client) {
	t.Helper()
	all, err := app.StartAll(t.Context(), cfg, app.Options{Version: "test", Log: log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	api, err := ops.NewClient("http://"+all.OpsAddr(), broker.NewSecret(secret), "test")
	t.Cleanup(func() {
		if t.Failed() && api != nil {
			page, _ := api.Messages(context.Background(), ops.Query{})
			for _, u := range page.Messages {
				t.Logf("%s %s %s: %s %s %s", u.Feed, u.Kind, u.Mapping, u.Status, u.Class, u.Reason)
			}
		}
		if err := all.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, api
}

const builtin = config.Builtin + "admissions/adt-patient.map.yaml"

// A safeLog may be written to and read at once.
type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func send(t *testing.T, a *app.Agent, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := demo.Dial(ctx, a.FeedAddr("adt").String())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	code, _, err := s.Send(ctx, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func eventually(t *testing.T, what string, log *safeLog, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a minute passed without %s\n%s", what, log)
		}
	}
}

const patient = "MSH|^~\\&|EPIC|NORTH|V|C|20260314||ADT^%A^ADT_A01|%ID|P|2.5.1\rPID|1||4471123^^^NORTH^MR||Doe^Jane||||||1 Elm^^Poseidonis^^1^Atlantis\r"

func message(event, id string) string {
	return strings.NewReplacer("%A", event, "%ID", id).Replace(patient)
}

func TestOneProcessDoesTheWholeJobAndAnswersForAllOfIt(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	cfg := one(t, builtin)
	var before ops.Page
	for run := range 2 { // the second start finds everything as the first one left it
		all, err := app.StartAll(t.Context(), cfg, app.Options{Version: "test", Log: log})
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		api, err := ops.NewClient("http://"+all.OpsAddr(), broker.NewSecret(secret), "test")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"M1", "M2", "M3"} {
			event := "A08"
			if id == "M3" {
				event = "A47" // no mapping wants it: the ledger hears of it all the same
			}
			if code := send(t, all.Agent, message(event, id)); code != "AA" {
				t.Errorf("run %d: %s was answered %s", run, id, code)
			}
		}
		var page ops.Page
		eventually(t, "three messages being settled", log, func() bool {
			page, err = api.Messages(t.Context(), ops.Query{})
			settled := 0
			for _, u := range page.Messages {
				if u.Status == ledger.Applied || u.Status == ledger.Skipped {
					settled++
				}
			}
			return err == nil && settled == 3
		})
		if run == 0 {
			before = page
		} else if len(page.Messages) != len(before.Messages) || page.Messages[0].SettledAt != before.Messages[0].SettledAt {
			t.Error("sending everything again changed the ledger")
		}
		if run == 0 && !(strings.Contains(log.String(), "mapping left something out") && !strings.Contains(log.String(), "Atlantis")) {
			t.Errorf("the log does not say, without its value, that a country was left out:\n%s", log)
		}
		var s ops.Status
		eventually(t, "the link being up", log, func() bool {
			s, err = api.Status(t.Context())
			return err != nil || len(s.Sites) == 1 && s.Sites[0].LinkUp
		})
		if err != nil || len(s.Targets) != 1 || s.Sites[0].Site != "north" || s.Sites[0].Mappings.Set == "" {
			t.Errorf("status is %+v, %v", s, err)
		}
		full := map[string]float64{}
		for _, b := range s.Bounds {
			full[b.Title()] = b.Full()
		}
		for _, name := range []string{"journal of feed adt", "disk of data_dir", "UNITS at the hub"} {
			if full[name] <= 0 || full[name] >= 1 {
				t.Errorf("%s is not said to have a limit that something of is used: %v", name, s.Bounds)
			}
		}
		for _, c := range []struct{ path, want string }{{"/readyz", `"name":"journal"`}, {"/metrics", "vagus_source_accepted"}, {"/metrics", `vagus_bound_used_bytes{bound="UNITS at the hub"`}, {"/livez", ""}} {
			r, err := http.Get("http://" + all.OpsAddr() + c.path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if r.StatusCode != http.StatusOK || !strings.Contains(string(body), c.want) {
				t.Errorf("%s answers %d and has no %q", c.path, r.StatusCode, c.want)
			}
		}
		if err := all.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func TestWhatAMappingRejectsIsRefusedBeforeTheAcknowledgementIfTheFeedSaysSo(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	cfg := one(t, builtin)
	cfg.Feeds[0].Validate = config.BeforeAck
	all, err := app.StartAll(t.Context(), cfg, app.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Stop() }()
	if code := send(t, all.Agent, strings.Replace(message("A08", "M1"), "Doe^Jane", "^Jane", 1)); code != "AR" {
		t.Errorf("a patient without a family name is answered %s, want AR", code)
	}
	if code := send(t, all.Agent, message("A08", "M2")); code != "AA" {
		t.Errorf("a good message is answered %s", code)
	}
}

func TestAnAgentRefusesToStartOnWhatItCanNotKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.map.yaml")
	if err := os.WriteFile(broken, []byte("kind: mapping\nformat: 1\nid: x\nversion: 1\nsorce: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mappings []string
		want     []string
	}{
		"a mapping that does not load": {[]string{broken}, []string{dir + "/broken.map.yaml:1:1"}},
		"a mapping that is not there":  {[]string{filepath.Join(dir, "none.map.yaml")}, []string{"none.map.yaml"}},
		"two mappings of one id":       {[]string{builtin, builtin}, []string{"both called adt-patient"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := app.StartAll(t.Context(), one(t, c.mappings...), app.Options{Log: io.Discard})
			if err == nil {
				_ = all.Stop()
				t.Fatal("it starts")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error has no %q: %v", w, err)
				}
			}
		})
	}
}
