package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A safeBuffer is written by a command and read by its test.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func TestTheSimulatedOdooAsACommand(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(data, []byte(`[{"model":"res.partner","xid":"here.clinic","values":{"name":"Clinic","color":3,"partner_latitude":1.5}}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out safeBuffer
	ended := make(chan error, 1)
	go func() {
		ended <- odooSimCmd{Listen: "127.0.0.1:0", Version: "19.0", DB: "demo", User: "vagus", Key: "k", Latency: time.Millisecond, Fail: []string{"load:html502:1"}, Data: data}.
			Run(&console{ctx: ctx, out: &out, err: io.Discard})
	}()
	var url string
	for until := time.Now().Add(10 * time.Second); url == ""; time.Sleep(time.Millisecond) {
		url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(out.String())
		if time.Now().After(until) {
			t.Fatal("it does not say where it answers: ", out.String())
		}
	}
	for path, wants := range map[string][]string{"/?model=res.partner": {"Clinic", "here.clinic", "load:html502:1", "Simulated Odoo 19.0"}, "/json/version": {"19.0"}} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		for _, want := range wants {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s: no %q", path, want)
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheSimulatedOdooRefusesWhatItCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, cmd := range map[string]odooSimCmd{
		"--fail load:nonsense: ":           {Fail: []string{"load:nonsense"}},
		"--latency":                        {Latency: -1},
		"not a list of records":            {Data: file("a", "{")},
		"unknown field":                    {Data: file("b", `[{"modell":"res.partner"}]`)},
		"record 1, color":                  {Data: file("c", `[{"model":"res.partner","values":{"color":99999999999999999999}}]`)},
		"seed of no.model: no such model":  {Data: file("d", `[{"model":"no.model"}]`)},
		"seed of res.partner: The operati": {Data: file("e", `[{"model":"res.partner"}]`)},
	} {
		cmd.Listen, cmd.Version = "127.0.0.1:0", "18.0"
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := cmd.Run(&console{ctx: ctx, out: io.Discard, err: io.Discard}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
