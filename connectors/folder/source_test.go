package folder_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/folder"
)

// lines is a format: a message a line, "bad" at fault as a whole, an answer for each file.
type lines struct {
	mu       sync.Mutex
	received []string                      // names, in order
	before   func(name, body string) error // of Receive; nil: nothing
}

func (l *lines) Receive(ctx context.Context, d broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	l.mu.Lock()
	l.received = append(l.received, d.Name)
	before := l.before
	l.mu.Unlock()
	if before != nil {
		if err := before(d.Name, string(d.Body)); err != nil {
			return broker.Receipt{}, err
		}
	}
	if strings.HasPrefix(string(d.Body), "bad") {
		return broker.Receipt{Refused: 1, Answer: broker.PHI("no"), Ext: "ack"}, &broker.RejectError{Code: "lines.bad", Err: errors.New("line 1 is bad")}
	}
	var ms []*broker.Message
	for line := range strings.Lines(string(d.Body)) {
		ms = append(ms, &broker.Message{ID: broker.NewMessageID("main", "north", "files", "", []byte(line)), Feed: "files", Body: broker.PHI(line)})
	}
	if err := accept(ctx, ms...); err != nil {
		return broker.Receipt{}, err
	}
	return broker.Receipt{Accepted: len(ms), Answer: broker.PHI("yes"), Ext: "ack"}, nil
}

func (l *lines) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.received)
}

// A watched folder, and what was accepted from it.
type watched struct {
	dir    string
	format *lines
	src    *folder.Source
	stop   func() // and wait

	mu       sync.Mutex
	accepted []string
}

func watch(t *testing.T, conf folder.Config, files func(folder.Files) folder.Files) *watched {
	t.Helper()
	w := &watched{dir: t.TempDir(), format: &lines{}}
	conf.Dir = w.dir
	w.start(t, conf, files)
	return w
}

func (w *watched) start(t *testing.T, conf folder.Config, files func(folder.Files) folder.Files) {
	t.Helper()
	conf.Dir, conf.Every = w.dir, time.Millisecond
	if conf.Settle == 0 {
		conf.Settle = time.Millisecond
	}
	local := folder.Local(w.dir)
	if files != nil {
		local = files(local)
	}
	var err error
	if w.src, err = folder.New("files", conf, local, w.format); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.src.Run(ctx, w.accept) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(w.stop)
}

func (w *watched) accept(_ context.Context, ms ...*broker.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range ms {
		w.accepted = append(w.accepted, string(m.Body))
	}
	return nil
}

func (w *watched) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.accepted)
}

// drop puts a file there as a whole.
func (w *watched) drop(t *testing.T, name, body string) {
	t.Helper()
	temporary := filepath.Join(w.dir, ".dropping")
	if err := errors.Join(os.MkdirAll(w.dir, 0o700), os.WriteFile(temporary, []byte(body), 0o600), os.Rename(temporary, filepath.Join(w.dir, name))); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func (w *watched) until(t *testing.T, name, body string) {
	t.Helper()
	until(t, name+" with "+body, func() bool {
		b, err := os.ReadFile(filepath.Join(w.dir, name))
		return err == nil && strings.Contains(string(b), body)
	})
}

// tree returns all files below the folder, sorted.
func (w *watched) tree(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(w.dir, path)
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAFileIsReceivedAnsweredAndArchived(t *testing.T) {
	t.Parallel()
	w := watch(t, folder.Config{Names: []string{"*.txt"}}, nil)
	w.drop(t, "other.pdf", "no")
	w.drop(t, "one.txt", "a\nb\n")
	w.drop(t, "two.txt", "bad\n")
	w.until(t, "archive/one.txt", "a\nb\n")
	w.until(t, "quarantine/two.txt", "bad\n")
	w.stop()
	if got := w.got(); !slices.Equal(got, []string{"a\n", "b\n"}) {
		t.Errorf("accepted: %q", got)
	}
	want := []string{"archive/one.txt", "other.pdf", "out/one.txt.ack", "out/two.txt.ack", "quarantine/two.txt", "quarantine/two.txt.reason.txt"}
	if got := w.tree(t); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	w.until(t, "quarantine/two.txt.reason.txt", "lines.bad: line 1 is bad\n")
}
