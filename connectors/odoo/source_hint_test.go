package odoo

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestAWebhookMakesASourceLookAtOnce(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), func(c *SourceConfig, _ *simulated.Config) {
		c.Every = time.Hour
		c.Hints = &Hints{Listen: "127.0.0.1:0", Secret: broker.NewSecret("0123456789abcdef")}
	})
	st.server.SetClock(time.Now)
	src, err := NewSource(broker.Origin{Tenant: "main", Site: "cloud", Feed: "erp"}, st.cfg)
	if err != nil {
		t.Fatal(err)
	}
	st.create(st.person, "A", "x")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	taken := make(chan string, 10)
	go func() {
		ended <- src.Run(ctx, func(_ context.Context, ms ...*broker.Message) error {
			for _, m := range ms {
				taken <- m.SenderID
			}
			return nil
		})
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case <-taken:
		case err := <-ended:
			t.Fatalf("it ended before %s: %v", what, err)
		case <-time.After(2 * time.Minute): // far longer than any machine takes, and far shorter than Every
			t.Fatalf("nothing came of %s; the last look says %q", what, src.Problem())
		}
	}
	wait("the first look")
	url := "http://" + src.Addr().String()
	post := func(method, path, header, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("X-Vagus-Secret", header)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	hint := `{"_action":"x","_id":7,"_model":"res.partner","name":"not believed"}`
	for name, c := range map[string]struct {
		method, path, header, body string
		want                       int
	}{
		"no secret":                    {"POST", "/hint", "", hint, 401},
		"a wrong one in the path":      {"POST", "/hint/0123456789abcdeX", "", hint, 401},
		"a wrong one in the header":    {"POST", "/hint/0123456789abcdef", "x", hint, 401},
		"another path":                 {"POST", "/", "0123456789abcdef", hint, 404},
		"a page for people":            {"GET", "/hint/0123456789abcdef", "", "", 405},
		"a model that is not watched":  {"POST", "/hint/0123456789abcdef", "", `{"_model":"x"}`, 404},
		"what is no JSON":              {"POST", "/hint/0123456789abcdef", "", `{`, 400},
		"more than anybody would send": {"POST", "/hint/0123456789abcdef", "", strings.Repeat(" ", maxHint+1), 413},
	} {
		if got := post(c.method, c.path, c.header, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	st.create(st.person, "B", "x")
	if got := post("POST", "/hint/0123456789abcdef", "", hint); got != 204 {
		t.Errorf("a hint is answered %d", got)
	}
	wait("a look after a hint")
	st.create(st.person, "C", "x")
	if got := post("POST", "/hint", "0123456789abcdef", hint); got != 204 {
		t.Errorf("a hint is answered %d", got)
	}
	wait("a look after a hint with the secret in a header")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if src.Addr() != nil || src.Ready() {
		t.Error("it goes on listening")
	}
}
