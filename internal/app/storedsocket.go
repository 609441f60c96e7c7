package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vagus-health/vagus/broker/journal"
)

// A running agent's journal is its own: no other process can open it. What tools
// read of it the agent gives them, over a socket in its data directory that only
// its own user can open. Nothing of it reaches a network.

// socketOf is the socket's path. Its directory is for the owner only, so that
// nobody else connects between the socket's making and its mode.
func socketOf(dataDir string) string { return filepath.Join(dataDir, "run", "stored.sock") }

// maxSocketPath is what the kernel takes (unix(7)).
const maxSocketPath = 107

// storedPace is how long a reader may take for each message.
const storedPace = 30 * time.Second

// listenStored makes the socket. The journal's lock is held: a socket that is
// there already is one that a crash has left.
func listenStored(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s has more than the %d bytes that a socket's path may have", path, maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(dir, 0o700), removed(path)); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serveStored answers those who read the journal, one at a time, until ctx is
// done.
func serveStored(ctx context.Context, l net.Listener, j *journal.Journal, log *slog.Logger) error {
	one := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /feeds/{feed}/last/{n}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case one <- struct{}{}:
			defer func() { <-one }()
			giveStored(w, r, j, log)
		default:
			http.Error(w, "somebody else reads the journal now: try again", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: storedPace, MaxHeaderBytes: 4 << 10, BaseContext: func(net.Listener) context.Context { return ctx }}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// giveStored writes a line of JSON for each message, and one that ends them.
func giveStored(w http.ResponseWriter, r *http.Request, j *journal.Journal, log *slog.Logger) {
	feed := r.PathValue("feed")
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 1 || n > MaxStored {
		http.Error(w, fmt.Sprintf("the last 1 to %d messages can be read", MaxStored), http.StatusBadRequest)
		return
	}
	out, pace, count := json.NewEncoder(w), http.NewResponseController(w), 0
	err = j.Tail(r.Context(), feed, n, func(e journal.Entry) error {
		count++
		return errors.Join(pace.SetWriteDeadline(time.Now().Add(storedPace)), out.Encode(storedLine{ID: e.ID, Body: e.Body}))
	})
	log.Info("stored messages were read", "feed", feed, "messages", count, "err", err)
	end := storedLine{End: true}
	if err != nil {
		end.Problem = err.Error()
	}
	_ = out.Encode(end) // a reader that has gone misses it
}

// A storedLine is a message on the socket, with its body as bytes, which a PHI
// does not print as; or the end.
type storedLine struct {
	ID      string `json:"id,omitempty"`
	Body    []byte `json:"body,omitempty"`
	End     bool   `json:"end,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// askAgent reads the last messages from the agent that runs over this data
// directory.
func askAgent(ctx context.Context, path, feed string, last int, add func(StoredMessage) error) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, ResponseHeaderTimeout: storedPace}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://agent/feeds/%s/last/%d", url.PathEscape(feed), last), nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("%s is for the agent's user only: run this command as that user", path)
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return fmt.Errorf("the running agent: %s", why)
	}
	for in := json.NewDecoder(res.Body); ; {
		var m storedLine
		switch err := in.Decode(&m); {
		case err != nil:
			return fmt.Errorf("the running agent's answer was cut short: %w", err)
		case m.Problem != "":
			return fmt.Errorf("the running agent: %s", m.Problem)
		case m.End:
			return nil
		}
		if err := add(StoredMessage{m.ID, m.Body}); err != nil {
			return err
		}
	}
}
