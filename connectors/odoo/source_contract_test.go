package odoo

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// Writers that nobody waits for, and a transaction that ends long after it
// began: on the simulated server, and on a real one when the environment names
// it. There the long transaction is PostgreSQL's own when VAGUS_ODOO_POSTGRES
// is its DSN; VAGUS_ODOO_CHANGES says that the database has the addon, with a
// policy that lets changes of contacts be read.
func TestASourceKeepsUpWithWriters(t *testing.T) {
	t.Parallel()
	run := func(name string, e endpoint, protocol, addon string) {
		t.Run(name+" "+protocol+" addon "+addon, func(t *testing.T) {
			t.Parallel()
			keepUp(t, &bench{endpoint: e, protocol: protocol, addon: addon, prefix: fmt.Sprintf("outof%d", time.Now().UnixNano())})
		})
	}
	for _, e := range endpoints(t, false) {
		for _, protocol := range e.protocols {
			if protocol != "xmlrpc" { // which a source does not take
				run(e.name, e, protocol, "off")
			}
		}
		if e.simulated == nil && os.Getenv("VAGUS_ODOO_CHANGES") != "" {
			run(e.name, e, "jsonrpc", "require")
		}
	}
	for _, e := range endpoints(t, true) {
		if e.simulated != nil {
			run(e.name, e, "auto", "require")
		}
	}
}

func keepUp(t *testing.T, b *bench) {
	const refs, writers = 30, 4
	ops := 150
	if b.simulated == nil {
		ops = 25
	}
	var names []any
	for i := range refs {
		names = append(names, fmt.Sprintf("%s-%02d", b.prefix, i))
	}
	cfg := SourceConfig{Config: b.config(b.user, b.key), Every: time.Second, Settle: 20 * time.Second, Echo: true, Dir: t.TempDir(),
		Models: []SourceModel{{Model: partner, Fields: []string{"ref", "name", "country_id.code"}, Domain: []any{[]any{"ref", "in", names}}}}}
	j := &journal{ids: map[string]bool{}}
	start := func() (stop func()) {
		src, err := NewSource(broker.Origin{Tenant: "main", Site: "cloud", Feed: "erp"}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- src.Run(ctx, j.accept) }()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if p := src.Problem(); p != "" {
				t.Error(p)
			}
		}
	}
	stop := start()
	admin := b.as(t, b.user, b.key).client
	call := func(method string, args ...arg) any {
		v, err := admin.execute(context.Background(), partner, method, args, map[string]any{"context": map[string]any{"tracking_disable": true}})
		if err != nil {
			t.Errorf("%s: %v", method, err)
		}
		return v
	}
	create := func(ref any, name string) int64 {
		v := call("create", arg{"vals_list", []any{map[string]any{"ref": ref, "name": name}}})
		id, _ := asInt(v.([]any)[0])
		return id
	}
	late := lateWrite(t, b, create(names[0], "early"), "late")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var ids []int64
	for w := range writers {
		wg.Go(func() {
			for i := range ops {
				mu.Lock()
				made := len(ids)
				mu.Unlock()
				if n := w + 1 + i*writers; n < refs-1 && i < refs/writers {
					id := create(names[n], "new")
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				} else if made > 0 {
					mu.Lock()
					id := ids[(i*7+w*3)%len(ids)]
					mu.Unlock()
					call("write", arg{"ids", []any{id}}, arg{"vals", map[string]any{"name": fmt.Sprintf("%d by %d", i, w)}})
				}
			}
		})
	}
	if b.simulated != nil { // and the agent is started again
		stop()
		stop = start()
	}
	wg.Wait()
	settles := func(ok func() bool) {
		for deadline := time.Now().Add(40 * time.Second); !ok() && time.Now().Before(deadline); {
			time.Sleep(100 * time.Millisecond)
		}
	}
	if b.addon != "require" || b.simulated != nil { // there nothing is told while an older transaction is open
		witness := create(names[refs-1], "written and read while the other is open")
		settles(func() bool { return j.last(t)[witness] != nil })
	}
	late()
	var problem string
	settles(func() bool { problem = differs(t, j, admin, names); return problem == "" })
	stop()
	if problem != "" {
		t.Errorf("40 s later %s", problem)
	}
	said := map[any]string{}
	for _, m := range j.messages {
		v := bodyOf(t, m)
		if said[v["id"]] == fmt.Sprint(v["name"]) {
			t.Errorf("%s was said twice in a row", m.SenderID)
		}
		said[v["id"]] = fmt.Sprint(v["name"])
	}
	if j.repeats > 0 {
		t.Errorf("%d messages were offered again", j.repeats)
	}
	t.Logf("%d versions were sent of %d records", len(j.messages), len(ids)+2)
}

// differs says where the last messages are not what the database holds.
func differs(t *testing.T, j *journal, c *client, refs []any) string {
	v, err := c.execute(context.Background(), partner, "search_read", []arg{{"domain", []any{[]any{"ref", "in", refs}}}, {"fields", []any{"name"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := j.last(t)
	for _, it := range v.([]any) {
		rec := it.(map[string]any)
		id, _ := asInt(rec["id"])
		if last[id] == nil || last[id]["name"] != rec["name"] {
			return fmt.Sprintf("record %d is %v, and the last message says %v", id, rec["name"], last[id]["name"])
		}
	}
	return ""
}

// lateWrite begins a transaction that writes a contact, and returns what ends it.
func lateWrite(t *testing.T, b *bench, id int64, name string) (commit func()) {
	if b.simulated != nil {
		began := time.Now()
		return func() {
			b.simulated.SetClock(func() time.Time { return began })
			defer b.simulated.SetClock(time.Now)
			c := b.as(t, b.user, b.key).client
			if _, err := c.execute(context.Background(), partner, "write", []arg{{"ids", []any{id}}, {"vals", map[string]any{"name": name}}}, nil); err != nil {
				t.Error(err)
			}
		}
	}
	dsn := os.Getenv("VAGUS_ODOO_POSTGRES")
	if dsn == "" {
		return func() {}
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "UPDATE res_partner SET name = $1, complete_name = $1, write_date = now() AT TIME ZONE 'UTC' WHERE id = $2", name, id); err != nil {
		t.Fatal(err)
	}
	if b.addon == "require" { // as the addon does, which SQL goes past
		if _, err := tx.Exec(ctx, "INSERT INTO vagus_change (model, res_id, kind, xact, at) VALUES ('res.partner', $1, 'write', txid_current(), now() AT TIME ZONE 'UTC')", id); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := tx.Commit(ctx); err != nil {
			t.Error(err)
		}
		_ = conn.Close(ctx)
	}
}

func TestASourceSaysWhatIsWrongWithItsSettings(t *testing.T) {
	t.Parallel()
	good := func() SourceConfig {
		return SourceConfig{Config: Config{URL: "http://127.0.0.1:1", Database: "d", User: "u", Key: broker.NewSecret("k")}, Dir: t.TempDir(),
			Models: []SourceModel{{Model: partner, Fields: []string{"name"}}}}
	}
	hints := func(h Hints) func(*SourceConfig) { return func(c *SourceConfig) { c.Hints = &h } }
	secret := broker.NewSecret("0123456789abcdef")
	for name, c := range map[string]struct {
		change func(*SourceConfig)
		want   string
	}{
		"no url":                      {func(c *SourceConfig) { c.URL = "" }, "url is required"},
		"XML-RPC":                     {func(c *SourceConfig) { c.Protocol = "xmlrpc" }, "protocol: a source takes"},
		"too often":                   {func(c *SourceConfig) { c.Every = time.Millisecond }, "every: 1ms is shorter than 1s"},
		"no time to settle":           {func(c *SourceConfig) { c.Settle = time.Second }, "settle: 1s"},
		"comparing all the time":      {func(c *SourceConfig) { c.Reconcile = time.Second }, "reconcile: 1s"},
		"no models":                   {func(c *SourceConfig) { c.Models = nil }, "models: name 1 to 100"},
		"a model twice":               {func(c *SourceConfig) { c.Models = append(c.Models, c.Models[0]) }, "models[1].model: res.partner is there twice"},
		"a model that is none":        {func(c *SourceConfig) { c.Models[0].Model = "../x" }, "models[0].model"},
		"no fields":                   {func(c *SourceConfig) { c.Models[0].Fields = nil }, "models[0].fields"},
		"a field that is none":        {func(c *SourceConfig) { c.Models[0].Fields = []string{"name;"} }, `models[0].fields: "name;"`},
		"too long a way":              {func(c *SourceConfig) { c.Models[0].Fields = []string{"a.b.c.d.e"} }, "at most 4 steps"},
		"a domain of words":           {func(c *SourceConfig) { c.Models[0].Domain = []any{"or"} }, "domain: term 1"},
		"a condition of two parts":    {func(c *SourceConfig) { c.Models[0].Domain = []any{[]any{"a", "="}} }, "term 1 has 2 parts"},
		"a condition of a map":        {func(c *SourceConfig) { c.Models[0].Domain = []any{"!", []any{"a", "=", map[string]any{}}} }, "term 2"},
		"no directory":                {func(c *SourceConfig) { c.Dir = "" }, "directory"},
		"hints to nowhere":            {hints(Hints{Listen: "x", Secret: secret}), "hints.listen: write host:port"},
		"hints without a secret":      {hints(Hints{Listen: "127.0.0.1:0"}), "hints.secret: at least 16"},
		"a secret that is no path":    {hints(Hints{Listen: "127.0.0.1:0", Secret: broker.NewSecret("0123456789/bcdef")}), "hints.secret: ASCII"},
		"hints in the clear":          {hints(Hints{Listen: "0.0.0.0:0", Secret: secret}), "hints.listen: the secret would come in the clear"},
		"half of a TLS configuration": {hints(Hints{Listen: "0.0.0.0:0", Secret: secret, CertFile: "x"}), "hints.cert_file and key_file"},
	} {
		cfg := good()
		c.change(&cfg)
		if _, err := NewSource(broker.Origin{}, cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %s", name, err, c.want)
		}
	}
	if _, err := NewSource(broker.Origin{}, good()); err != nil {
		t.Error(err)
	}
}

func TestFieldsThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		"name nosuch":         "res.partner has no field nosuch",
		"country_id.nosuch":   "res.country has no field nosuch",
		"name.x":              "res.partner.name is no relation",
		"photo":               "res.partner.photo is of a type that is not sent",
		"country_id.code ref": "",
	} {
		st := newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) {
			s.Models = map[string]simulated.Model{partner: {Fields: map[string]simulated.Field{"photo": {Type: "binary"}}}}
			c.Models[0].Fields = strings.Fields(fields)
		})
		err := st.look()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: the error is %v", fields, err)
		}
	}
}

func TestWaysToFieldsBecomeASpecification(t *testing.T) {
	t.Parallel()
	facts := func(model string) (map[string]any, error) {
		return map[string]map[string]any{
			"m": {"a": map[string]any{"type": "char"}, "p": map[string]any{"type": "many2one", "relation": "n"}, "l": map[string]any{"type": "one2many", "relation": "n"}},
			"n": {"b": map[string]any{"type": "float"}, "m": map[string]any{"type": "many2one", "relation": "m"}},
		}[model], nil
	}
	spec := specification([]string{"p", "a", "l.b", "l.m.a", "l.m"})
	if err := checkFields("m", spec, facts); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(spec)
	want := "map[a:map[] l:map[fields:map[b:map[] m:map[fields:map[a:map[]]]]] p:map[fields:map[display_name:map[]]]]"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(spec)), []string{"a", "l", "p"}) {
		t.Error(spec)
	}
}
