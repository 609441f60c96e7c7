package reception

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// opened serves a handler and returns what stops it and what Serve returned.
func opened(t *testing.T, d *Door, h http.HandlerFunc) (stop func(), ended <-chan error) {
	t.Helper()
	var err error
	if d.Meters, err = NewMeters(nil, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	d.Address, d.Log, d.Grace = "127.0.0.1:0", slog.New(slog.DiscardHandler), 20*time.Second
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := d.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, &http.Server{Handler: h}) }()
	return cancel, done
}

func TestADoorFinishesWhatIsInHandAndWaitsForNobodyElse(t *testing.T) {
	t.Parallel()
	inHand, goOn := make(chan struct{}), make(chan struct{})
	d := &Door{MaxConnections: 8}
	stop, ended := opened(t, d, func(w http.ResponseWriter, _ *http.Request) {
		close(inHand)
		<-goOn
		fmt.Fprint(w, "stored")
	})
	addr := d.Addr().String()
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answer <- string(text)
	}()
	<-inHand
	began := time.Now()
	stop()
	_ = silent.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that has sent nothing: %v", err)
	}
	if d.Addr() != nil {
		t.Error("it says that it listens")
	}
	close(goOn)
	if got := <-answer; got != "stored" {
		t.Errorf("the request in hand was answered %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if took := time.Since(began); took > 4*time.Second { // a server by itself waits 5 s for the silent one
		t.Errorf("the end took %v", took)
	}
}

func TestConnectionsOverTheMostAreClosedUntilAPlaceIsFree(t *testing.T) {
	t.Parallel()
	d := &Door{MaxConnections: 1}
	_, _ = opened(t, d, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "stored") })
	asked := func() (net.Conn, error) {
		c, err := net.Dial("tcp", d.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err == nil {
			_, err = http.ReadResponse(bufio.NewReader(c), nil)
		}
		return c, err
	}
	first, err := asked()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := asked(); err == nil {
		t.Error("a second connection is served")
	} else {
		_ = c.Close()
	}
	_ = first.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := asked()
		_ = c.Close()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no place is free again")
		}
	}
}

func TestNothingIsTakenInTheClearFromBeyondThisMachine(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	d := &Door{Address: "0.0.0.0:0", Log: log}
	if err := d.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "not loopback") || d.Addr() != nil {
		t.Errorf("listened on %v: %v", d.Addr(), err)
	}
	d = &Door{Address: "0.0.0.0:0", Plain: true, Log: log}
	if err := d.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = d.listener.Close()
}
