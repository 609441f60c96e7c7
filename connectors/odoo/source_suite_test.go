package odoo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/source"
)

func TestTheSourceKeepsWhatASourceThatAsksPromises(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct{ version, addon string }{
		"by write_date":       {"18.0", "off"},
		"by the addon's feed": {"19.0", "require"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source.RunPolling(t, func(t *testing.T) source.Peer { return asked(t, k.version, k.addon) })
		})
	}
}

// asked is a simulated Odoo behind a front that can spoil its answers. Record n
// is the one with that number in ref, of a
// model that holds nothing else.
func asked(t *testing.T, version, addon string) source.Peer {
	t.Helper()
	const model = "x.record"
	server := simulated.New(simulated.Config{Version: version, Addon: true, Users: []simulated.User{{Login: "person", Key: "person"}},
		Models: map[string]simulated.Model{model: {Fields: map[string]simulated.Field{"name": {Type: "char"}, "ref": {Type: "char"}}}}})
	var puts atomic.Int64 // a second goes by before each: a version is looked at again when its second is over
	server.SetClock(func() time.Time { return time.Now().Add(time.Duration(puts.Load())*time.Second - time.Hour) })
	var spoilt atomic.Pointer[http.HandlerFunc]
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := spoilt.Load(); h != nil {
			(*h)(w, r)
			return
		}
		server.ServeHTTP(w, r)
	}))
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended); front.Close() })
	person := (&site{t: t, cfg: SourceConfig{Config: Config{URL: front.URL}}}).as("person", "person")
	ids := map[int]int64{}
	refs := struct { // of deleted ones nothing else is told
		sync.Mutex
		of map[int64]int
	}{of: map[int64]int{}}
	do := func(t *testing.T, method string, args ...arg) any {
		t.Helper()
		v, err := person.execute(t.Context(), model, method, args, nil)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		return v
	}
	fault := func(h http.HandlerFunc) func(*testing.T) func() {
		return func(*testing.T) func() {
			spoilt.Store(&h)
			return func() { spoilt.Store(nil) }
		}
	}
	says := func(status int, body string) func(*testing.T) func() {
		return fault(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	p := source.Peer{
		Page:  8,
		Late:  10 * time.Minute, // settle
		Clock: server.SetClock,
		Source: func(t *testing.T, dir string) source.Polling {
			src, err := NewSource(broker.Origin{Tenant: "main", Site: "cloud", Feed: "erp"}, SourceConfig{
				Config: Config{URL: front.URL, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), Addon: addon, Batch: 8}, Dir: dir,
				Models: []SourceModel{{Model: model, Fields: []string{"ref", "name"}, Domain: []any{[]any{"ref", "!=", false}}}}})
			if err != nil {
				t.Fatal(err)
			}
			src.cfg.Every = 50 * time.Millisecond // shorter than anybody may set
			return src
		},
		Put: func(t *testing.T, n int, text string) {
			puts.Add(1)
			if id, ok := ids[n]; ok {
				do(t, "write", arg{"ids", []any{id}}, arg{"vals", map[string]any{"name": text}})
				return
			}
			refs.Lock() // it may be told before we know its id
			defer refs.Unlock()
			id, _ := asInt(do(t, "create", arg{"vals_list", []any{map[string]any{"ref": fmt.Sprint(n), "name": text}}}).([]any)[0])
			ids[n] = id
			refs.of[id] = n
		},
		Read: func(t *testing.T, m *broker.Message) (int, string) {
			var v struct {
				ID        int64
				Change    string `json:"_change"`
				Ref, Name string
			}
			if err := json.Unmarshal(m.Body, &v); err != nil {
				t.Errorf("%s: %v", m.SenderID, err)
			}
			refs.Lock()
			defer refs.Unlock()
			return refs.of[v.ID], v.Name
		},
		Faults: map[string]func(*testing.T) func(){
			"what is no answer of Odoo":         says(200, "<html>welcome</html>"),
			"an answer of another shape":        says(200, `{"jsonrpc":"2.0","id":1,"result":{"records":7}}`),
			"an answer as deep as it gets":      says(200, strings.Repeat("[", 4<<20)),
			"a server error":                    says(500, ""),
			"a proxy that has nobody behind it": says(502, "<html>bad gateway</html>"),
			"a key that is not valid any more":  says(401, `{"name":"werkzeug.exceptions.Unauthorized"}`),
			"an answer without end": fault(func(w http.ResponseWriter, r *http.Request) {
				for blank := []byte(strings.Repeat(" ", 1<<16)); r.Context().Err() == nil; {
					if _, err := w.Write(blank); err != nil {
						return
					}
				}
			}),
			"an answer that breaks off": fault(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":[`)
			}),
			"a connection that is closed": fault(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		},
		Silent: func(*testing.T) <-chan struct{} {
			asked, once := make(chan struct{}), sync.Once{}
			var h http.HandlerFunc = func(http.ResponseWriter, *http.Request) {
				once.Do(func() { close(asked) })
				<-ended
			}
			spoilt.Store(&h)
			return asked
		},
	}
	if addon != "off" {
		p.Delete = func(t *testing.T, n int) { do(t, "unlink", arg{"ids", []any{ids[n]}}) }
	}
	return p
}
