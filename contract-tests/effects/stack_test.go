package effects_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/stream"
)

// A stack is what workers stand on.
type stack struct {
	nats, dsn string
	js        jetstream.JetStream
	ledger    ledger.Ledger
	targets   atomic.Int32
}

func newStack(t *testing.T) *stack {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := &stack{nats: srv.ClientURL()}
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if err := stream.Provision(t.Context(), s.js, stream.Settings{MaxBytes: 256 << 20}); err != nil {
		t.Fatal(err)
	}
	s.newLedger(t)
	return s
}

// newLedger makes an empty ledger the stack's, as if the one before were lost.
func (s *stack) newLedger(t *testing.T) {
	t.Helper()
	s.dsn = pgtest.Database(t)
	if _, err := postgres.Migrate(t.Context(), s.dsn); err != nil {
		t.Fatal(err)
	}
	l, err := postgres.Open(t.Context(), s.dsn, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.ledger = l
}

// send publishes a unit as a site's link does.
func (s *stack) send(ctx context.Context, u *broker.Unit) error {
	data, err := u.Encode()
	if err != nil {
		return err
	}
	_, err = s.js.PublishMsg(ctx, &nats.Msg{Subject: stream.UnitSubject(u), Data: data,
		Header: nats.Header{stream.HeaderUnit: {u.ID}, stream.HeaderMessage: {u.MessageID}}})
	return err
}

// settled waits until a unit has one of the outcomes. What a person would have to
// look at is an error.
func (s *stack) settled(ctx context.Context, u *broker.Unit, outcomes ...ledger.Status) error {
	for {
		row, _, err := s.ledger.Unit(ctx, u.ID)
		switch {
		case err == nil && slices.Contains(outcomes, row.Status):
			return nil
		case err == nil && row.Status == ledger.Dead:
			return fmt.Errorf("unit %s is a dead letter: %s: %s", u.ID, row.Class, row.Reason)
		case err != nil && !errors.Is(err, ledger.ErrNotFound):
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("unit %s is %q (%s: %s): %w", u.ID, row.Status, row.Class, row.Reason, ctx.Err())
		}
	}
}

// A process is a worker that can be killed.
type process struct {
	settings settings
	log      string
	mu       sync.Mutex
	cmd      *exec.Cmd
	ended    bool
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(p.settings)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), childSettings+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p.cmd.Start()
}

// kill is SIGKILL; it returns when the process is gone.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// end kills the process for good and says what is wrong with its log.
func (p *process) end() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.kill()
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	for _, bad := range []string{"DATA RACE", "panic:"} {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			return fmt.Errorf("the worker's log: %.2000s", log[i:])
		}
	}
	return nil
}

func (p *process) lastWords() string {
	log, _ := os.ReadFile(p.log)
	return string(log[max(0, len(log)-3000):])
}

// A killer stands between a worker and Odoo. While it is armed it lets Odoo
// carry out each different change, and then kills the worker instead of
// answering; the same call goes through the next time. The worker also tells it of
// each settlement, before and after.
type killer struct {
	odoo  string
	armed atomic.Bool
	kill  func(after string)

	mu    sync.Mutex
	seen  map[[sha256.Size]byte]bool
	kills []string // the methods, and "before" and "after" settlements
}

// settling is the path of what the worker tells of its ledger.
const settling = "/settling"

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.Path == settling {
		if when, _, _ := strings.Cut(string(body), " "); k.first(when, body) {
			k.kill(when)
			panic(http.ErrAbortHandler)
		}
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, k.odoo+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for _, name := range []string{"Content-Type", "Authorization", "X-Odoo-Database"} {
		req.Header.Set(name, r.Header.Get(name))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if method, call := changes(r.URL.Path, body); method != "" && k.first(method, call) {
		k.kill(method)
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(answer)
}

// first says whether the call kills: the armed killer has not seen it before.
func (k *killer) first(method string, call []byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	sum := sha256.Sum256(call)
	if !k.armed.Load() || k.seen[sum] {
		return false
	}
	k.seen[sum] = true
	k.kills = append(k.kills, method)
	return true
}

// changes is the model and method of a call that changes something, or "", and
// the call with its keys in order.
func changes(path string, body []byte) (method string, canonical []byte) {
	var call struct {
		Params struct {
			Service string
			Args    []any
		}
	}
	var args any
	model, method, named := strings.Cut(strings.TrimPrefix(path, "/json/2/"), "/")
	switch {
	case path == "/xmlrpc/2/object":
		var call struct {
			Params []struct {
				String string `xml:"string"`
			} `xml:"params>param>value"`
		}
		if xml.Unmarshal(body, &call) != nil || len(call.Params) < 5 {
			return "", nil
		}
		model, method, args = call.Params[3].String, call.Params[4].String, texts(body)
	case named && strings.HasPrefix(path, "/json/2/"):
		if json.Unmarshal(body, &args) != nil {
			return "", nil
		}
	default:
		if json.Unmarshal(body, &call) != nil || call.Params.Service != "object" || len(call.Params.Args) < 5 {
			return "", nil
		}
		args = call.Params.Args
		model, _ = call.Params.Args[3].(string)
		method, _ = call.Params.Args[4].(string)
	}
	canonical, err := json.Marshal([]any{path, args})
	if err != nil {
		return "", nil
	}
	for _, reads := range []string{"search", "read", "fields_get", "default_get", "name_search", "check_", "has_access", "version", "context_get"} {
		if strings.HasPrefix(method, reads) {
			return "", nil
		}
	}
	return model + "." + method, canonical
}

// texts are the texts of an XML document, sorted: the members of a struct are in
// no order on the wire.
func texts(document []byte) (all []string) {
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		switch token, err := d.Token(); token := token.(type) {
		case xml.CharData:
			all = append(all, string(token))
		default:
			if err != nil {
				slices.Sort(all)
				return all
			}
		}
	}
}

// A run is one worker at one database.
type run struct {
	*stack
	killer  *killer
	process *process
	target  string
	// meanwhile, when set, is called while the worker is dead after something.
	meanwhile func(after string)
}

// begin starts a worker whose calls go through a killer.
func (s *stack) begin(dir string, o endpoint) (*run, func() error, error) {
	n := s.targets.Add(1)
	r := &run{stack: s, target: fmt.Sprintf("odoo-%d", n), killer: &killer{odoo: o.url, seen: map[[sha256.Size]byte]bool{}}}
	proxy := httptest.NewServer(r.killer)
	r.process = &process{log: filepath.Join(dir, fmt.Sprintf("worker-%d.log", n)), settings: settings{NATS: s.nats, DSN: s.dsn, Target: r.target,
		URL: proxy.URL, DB: o.db, User: o.user, Key: o.key, Mode: o.mode, Protocol: o.protocol}}
	r.killer.kill = func(after string) {
		r.process.kill()
		if r.meanwhile != nil {
			r.meanwhile(after)
		}
		_ = r.process.start()
	}
	end := func() error {
		err := r.process.end()
		proxy.CloseClientConnections()
		proxy.Close()
		return err
	}
	return r, end, r.process.start()
}

// apply sends units one after the other, each when the one before is in effect,
// or waits for a later one; in the end all are in effect.
func (r *run) apply(ctx context.Context, units []*broker.Unit) error {
	for _, u := range units {
		u.Target = r.target
		if err := r.send(ctx, u); err != nil {
			return err
		}
		if err := r.settled(ctx, u, ledger.Applied, ledger.Parked); err != nil {
			return err
		}
	}
	for _, u := range units {
		if err := r.settled(ctx, u, ledger.Applied); err != nil {
			return err
		}
	}
	return nil
}
