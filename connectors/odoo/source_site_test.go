package odoo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// A site is an Odoo, and a source of it whose looks are made by hand.
type site struct {
	t      rapid.TB
	server *simulated.Server
	person *client // another user
	us     *client
	cfg    SourceConfig
	clock  time.Time // of both
	src    *Source
	journal
}

// A journal keeps messages as a site's does.
type journal struct {
	mu       sync.Mutex
	ids      map[string]bool
	messages []*broker.Message
	repeats  int
	refuse   error
}

func (j *journal) accept(_ context.Context, ms ...*broker.Message) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse != nil {
		return j.refuse
	}
	for _, m := range ms {
		if j.ids[m.ID] {
			j.repeats++
			continue
		}
		j.ids[m.ID] = true
		j.messages = append(j.messages, m)
	}
	return nil
}

// record is a message's body.
func bodyOf(t rapid.TB, m *broker.Message) map[string]any {
	var v map[string]any
	if err := json.Unmarshal(m.Body, &v); err != nil {
		t.Fatalf("%s: %v", m.SenderID, err)
	}
	return v
}

// last returns what the messages say of each record by now: nil for a deleted one.
func (j *journal) last(t rapid.TB) map[int64]map[string]any {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[int64]map[string]any{}
	for _, m := range j.messages {
		v := bodyOf(t, m)
		id := int64(v["id"].(float64))
		if out[id] = v; v["_change"] == "delete" {
			out[id] = nil
		}
	}
	return out
}

const partner = "res.partner"

func newSite(t rapid.TB, dir string, change func(*SourceConfig, *simulated.Config)) *site {
	st := &site{t: t, clock: time.Date(2026, 3, 14, 9, 0, 0, 400_000_000, time.UTC), journal: journal{ids: map[string]bool{}}}
	sim := simulated.Config{Users: []simulated.User{{Login: "person", Key: "person"}}}
	st.cfg = SourceConfig{Config: Config{Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), Addon: "off"},
		Models: []SourceModel{{Model: partner, Fields: []string{"name", "ref", "country_id.code", "active"}, Domain: []any{[]any{"ref", "!=", false}}}}, Dir: dir}
	if change != nil {
		change(&st.cfg, &sim)
	}
	st.server = simulated.New(sim)
	st.server.SetClock(func() time.Time { return st.clock })
	url, err := st.server.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.(interface{ Cleanup(func()) }).Cleanup(func() { _ = st.server.Close() })
	st.cfg.URL = url
	st.person, st.us = st.as("person", "person"), st.as("vagus", "simulated")
	st.start()
	return st
}

func (st *site) as(user, key string) *client {
	c, err := Config{URL: st.cfg.URL, Database: "demo", User: user, Key: broker.NewSecret(key), Protocol: "jsonrpc"}.withDefaults()
	if err != nil {
		st.t.Fatal(err)
	}
	cl, err := newClient(c)
	if err != nil {
		st.t.Fatal(err)
	}
	return cl
}

// start begins with what the files remember.
func (st *site) start() {
	src, err := NewSource(broker.Origin{Tenant: "main", Site: "cloud", Feed: "erp"}, st.cfg)
	if err != nil {
		st.t.Fatal(err)
	}
	src.now = func() time.Time { return st.clock }
	if err := src.remember(); err != nil {
		st.t.Fatal(err)
	}
	st.src = src
}

func (st *site) look() error {
	return st.src.watches[0].look(context.Background(), st.accept)
}

func (st *site) mustLook() {
	if err := st.look(); err != nil {
		st.t.Fatal(err)
	}
}

func (st *site) do(c *client, method string, args ...any) any {
	list := make([]arg, len(args))
	for i, a := range args {
		list[i] = arg{value: a}
	}
	v, err := c.execute(context.Background(), partner, method, list, nil)
	if err != nil {
		st.t.Fatalf("%s: %v", method, err)
	}
	return v
}

func (st *site) create(c *client, ref, name string) int64 {
	id, _ := asInt(st.do(c, "create", map[string]any{"ref": ref, "name": name}))
	return id
}

func (st *site) write(c *client, id int64, values map[string]any) {
	st.do(c, "write", []any{id}, values)
}

func (st *site) told() (out []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, m := range st.messages {
		v := bodyOf(st.t, m)
		out = append(out, fmt.Sprint(v["_change"], " ", v["ref"], " ", v["name"]))
	}
	return out
}

func (st *site) wants(want ...string) {
	if h, ok := st.t.(*testing.T); ok {
		h.Helper()
	}
	if got := st.told(); !slices.Equal(got, want) {
		st.t.Fatalf("the messages are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
