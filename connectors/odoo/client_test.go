package odoo

import (
	"context"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func server(t *testing.T, c simulated.Config) (*simulated.Server, Config) {
	t.Helper()
	srv, url := start(t, c)
	return srv, Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated")}
}

func connect(t *testing.T, c Config) *Target {
	t.Helper()
	target, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestAutoTakesTheBestThatTheServerHas(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"17.0": "jsonrpc", "18.0": "jsonrpc", "19.0": "json2"} {
		srv, cfg := server(t, simulated.Config{Version: version})
		target := connect(t, cfg)
		if err := srv.SetDown(true); err != nil {
			t.Fatal(err)
		}
		if err := target.Check(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "odoo.unreachable") {
			t.Errorf("%s: a server that is down: %v", version, err)
		}
		if err := srv.SetDown(false); err != nil {
			t.Fatal(err)
		}
		if out := applyTo(t, target, &broker.Unit{ID: "u", Ops: []broker.Operation{upsert("vagus_test.p", broker.Values{"name": "n"})}}); out[0].Result != broker.Applied {
			t.Errorf("%s: %s", version, out[0].Class)
		}
		got := "json2"
		if w, older := target.client.wire.(*rpc); older {
			got = w.name
		}
		if got != want {
			t.Errorf("%s is spoken to by %s, want %s", version, got, want)
		}
	}
}

func TestAKeyIsReplacedWithoutAFailedCall(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"18.0", "19.0"} {
		srv, cfg := server(t, simulated.Config{Version: version})
		cfg.NextKey = broker.NewSecret("next")
		target := connect(t, cfg)
		apply := func(xid string) string {
			out, err := target.Apply(context.Background(), []*broker.Unit{{ID: "u" + xid, Ops: []broker.Operation{upsert("vagus_test."+xid, broker.Values{"name": "n"})}}})
			if err != nil {
				return err.Error()
			}
			return out[0].Result.String()
		}
		for _, key := range []string{"simulated", "next", "simulated", "next"} {
			srv.SetKey("vagus", key)
			if got := apply(key); got != "applied" {
				t.Errorf("%s: after the key became %s: %s", version, key, got)
			}
		}
		srv.SetKey("vagus", "a third one")
		if got := apply("x"); !strings.HasPrefix(got, "odoo.access_denied") {
			t.Errorf("%s: with neither key: %s", version, got)
		}
		if err := target.Check(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "odoo.access_denied") {
			t.Errorf("%s: Check with neither key: %v", version, err)
		}
		srv.SetKey("vagus", "simulated")
		if got := apply("y"); got != "applied" {
			t.Errorf("%s: when the first key is back: %s", version, got)
		}
	}
}

func TestAKeyOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	_, cfg := server(t, simulated.Config{Version: "19.0", Users: []simulated.User{{Login: "other", Key: "other"}}})
	cfg.Key = broker.NewSecret("other")
	if err := connect(t, cfg).Check(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "odoo.access_denied") {
		t.Errorf("the key of another user: %v", err)
	}
}
