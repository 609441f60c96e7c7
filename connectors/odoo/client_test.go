package odoo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

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

// Also a real server, when the environment names one: what stands where 19 has
// its version is not the same everywhere.
func TestAutoWorksOnEveryServer(t *testing.T) {
	for _, e := range endpoints(t, false) {
		b := &bench{endpoint: e, protocol: "auto", prefix: strconv.FormatInt(time.Now().UnixNano(), 36) + "_"}
		b.target = b.as(t, e.user, e.key)
		if err := b.target.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		b.applied(t, b.unit(upsert(b.xid("auto"), broker.Values{"name": "n"})))
	}
}

func TestAServerThatIsOverloadedDecidesNothing(t *testing.T) {
	t.Parallel()
	srv, cfg := server(t, simulated.Config{Version: "19.0"})
	status := http.StatusServiceUnavailable
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		srv.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	cfg.URL = proxy.URL
	target := connect(t, cfg)
	for _, c := range []struct {
		status int
		class  string
	}{{http.StatusServiceUnavailable, "odoo.unavailable"}, {http.StatusTooManyRequests, "odoo.refused_request"}, {http.StatusFound, "odoo.redirected"}, {http.StatusNotFound, "odoo.wrong_url"}} {
		status = c.status
		if err := target.Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), c.class) {
			t.Errorf("%d: %v", c.status, err)
		}
	}
	status = 0
	if err := target.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if _, ok := target.client.wire.(*json2); !ok {
		t.Errorf("a server of 19 is spoken to by %T after trouble", target.client.wire)
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
