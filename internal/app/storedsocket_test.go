package app_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

func TestARunningAgentGivesItsStoredMessages(t *testing.T) {
	t.Parallel()
	cfg, log := one(t, builtin), &safeLog{}
	dir, err := os.MkdirTemp("", "vagus") // a test's own directory has too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg.DataDir = dir
	all, err := app.StartAll(t.Context(), cfg, app.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent", "run", "stored.sock")
	site := config.NewAgent()
	site.DataDir, site.Feeds, site.Journal = filepath.Dir(filepath.Dir(socket)), cfg.Feeds, cfg.Journal
	for path, want := range map[string]os.FileMode{socket: os.ModeSocket | 0o600, filepath.Dir(socket): os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", path, info, err, want)
		}
	}
	var sent atomic.Int64
	done, stop := make(chan struct{}), make(chan struct{})
	go func() { // it goes on receiving
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if code := send(t, all.Agent, message("A08", fmt.Sprintf("M%06d", i))); code != "AA" {
					t.Errorf("message %d was answered %s", i, code)
					return
				}
				sent.Add(1)
			}
		}
	}()
	eventually(t, "twenty messages", log, func() bool { return sent.Load() >= 20 })
	for range 20 {
		before := int(sent.Load())
		got, err := app.StoredMessages(t.Context(), site, "adt", 7)
		if err != nil || len(got) != 7 {
			t.Fatalf("%d messages, %v\n%s", len(got), err, log)
		}
		first := 0
		for i, m := range got {
			_, after, _ := bytes.Cut(m.Body, []byte("^ADT_A01|M"))
			n, err := strconv.Atoi(string(after[:6]))
			if i == 0 {
				first = n
			}
			if err != nil || n != first+i {
				t.Errorf("message %d of the last 7, from %d on, is %d", i, first, n)
			}
		}
		if first+7 < before {
			t.Errorf("the last 7 end with %d after %d were sent", first+6, before)
		}
	}
	close(stop)
	<-done
	if got, err := app.StoredMessages(t.Context(), site, "adt", app.MaxStored); err != nil || len(got) != int(sent.Load()) || len(got[0].ID) != 32 {
		t.Errorf("%d of %d messages, %v", len(got), sent.Load(), err)
	}
	if err := all.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Error("the socket is there after the agent ended:", err)
	}
	if got, err := app.StoredMessages(t.Context(), site, "adt", 7); err != nil || len(got) != 7 {
		t.Errorf("of the agent that ended: %d, %v", len(got), err)
	}
	if s := log.String(); !strings.Contains(s, "stored messages were read") || strings.Contains(s, "Doe") {
		t.Error(s)
	}
}

func TestAnAnswerOfTheAgentThatStopsShortIsNoAnswer(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "vagus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "run", "stored.sock"))
	if err != nil {
		t.Fatal(err)
	}
	agent := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":"m","body":"TVNI"}` + "\n"))
	}))
	agent.Listener = l
	agent.Start()
	t.Cleanup(agent.Close)
	site := config.NewAgent()
	site.DataDir, site.Feeds = dir, []config.Feed{{Name: "adt"}}
	if got, err := app.StoredMessages(t.Context(), site, "adt", 7); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("%d messages, %v", len(got), err)
	}
}
