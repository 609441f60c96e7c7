package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// MaxFile is what a transport of files takes at most in [RunFiles].
const MaxFile = 64 << 10

// A FileTransport makes a source that watches a folder of this machine, by whatever way, and looks
// as often as it can: it takes files of up to MaxFile bytes, in the order of their names, and
// leaves those alone whose names end in .part.
type FileTransport func(t *testing.T, dir string, r broker.Receiver) broker.Source

// RunFiles runs the suite of what a transport of files promises to the system that puts
// files there.
func RunFiles(t *testing.T, transport FileTransport) {
	cases := []struct {
		name string
		test func(*testing.T, *dropped)
	}{
		{"a file is put away and answered after its messages were accepted, and not before", filePutAway},
		{"an error of accept keeps the file, and those after it", fileKept},
		{"a file that comes again is the same messages", fileAgain},
		{"what is at fault, and what is too large, goes to the quarantine, and the next file is taken", fileRefused},
		{"a file that is still being written is not read", filePartial},
		{"many files are each received once, in order", filesInOrder},
		{"stop lets the file in hand finish and takes no other", fileStop},
		{"a stop at any moment loses nothing", fileStops},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			d := &dropped{dir: t.TempDir(), transport: transport}
			k.test(t, d)
		})
	}
}

// dropped is a folder that is watched, and what was accepted from it.
type dropped struct {
	dir       string
	transport FileTransport

	mu       sync.Mutex
	accepted []*broker.Message
	answer   func(*broker.Message) error
}

// Receive takes the lines of a file as messages; a file that begins with "bad" is at fault.
func (d *dropped) Receive(ctx context.Context, f broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	if bytes.HasPrefix(f.Body, []byte("bad")) {
		return broker.Receipt{Refused: 1, Answer: broker.PHI("refused"), Ext: "ack"}, &broker.RejectError{Code: "lines.bad", Err: errors.New("line 1 is bad")}
	}
	var ms []*broker.Message
	for line := range bytes.Lines(f.Body) {
		ms = append(ms, &broker.Message{ID: broker.NewMessageID("main", "north", "files", "", line), Feed: "files", Body: line})
	}
	if err := accept(ctx, ms...); err != nil {
		return broker.Receipt{}, err
	}
	return broker.Receipt{Accepted: len(ms), Answer: broker.PHI("accepted"), Ext: "ack"}, nil
}

func (d *dropped) accept(_ context.Context, ms ...*broker.Message) error {
	d.mu.Lock()
	answer := d.answer
	d.mu.Unlock()
	for _, m := range ms {
		if answer != nil {
			if err := answer(m); err != nil {
				return err
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accepted = append(d.accepted, ms...)
	return nil
}

func (d *dropped) script(answer func(*broker.Message) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

func (d *dropped) got() (bodies []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.accepted {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

// start runs the source; the returned function stops it and waits.
func (d *dropped) start(t *testing.T) (stop func()) {
	t.Helper()
	src := d.transport(t, d.dir, d)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- src.Run(ctx, d.accept) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run did not return 30 s after its context ended")
		}
	})
	t.Cleanup(stop)
	return stop
}

// drop puts a file there as a whole.
func (d *dropped) drop(t *testing.T, name, body string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(filepath.Join(d.dir, ".dropping"), []byte(body), 0o600), os.Rename(filepath.Join(d.dir, ".dropping"), filepath.Join(d.dir, name))); err != nil {
		t.Fatal(err)
	}
}

func (d *dropped) read(name string) string {
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		return ""
	}
	return string(b)
}

// wait waits until a file has this in it.
func (d *dropped) wait(t *testing.T, name, text string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s has %.20q in it", name, text), func() bool { return strings.Contains(d.read(name), text) })
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 60 s: %s", what)
		}
	}
}

func filePutAway(t *testing.T, d *dropped) {
	d.script(func(*broker.Message) error {
		if d.read("archive/one.txt") != "" || d.read("out/one.txt.ack") != "" {
			t.Error("it is put away before its messages are accepted")
		}
		return nil
	})
	d.start(t)
	d.drop(t, "one.txt", "a\nb\n")
	d.wait(t, "archive/one.txt", "a\nb\n")
	if got := d.got(); !slices.Equal(got, []string{"a\n", "b\n"}) || d.read("out/one.txt.ack") != "accepted" || d.read("one.txt") != "" || d.read("work/one.txt") != "" {
		t.Errorf("%q, answered %q", got, d.read("out/one.txt.ack"))
	}
}

func fileKept(t *testing.T, d *dropped) {
	for i, err := range []error{broker.ErrFull, fmt.Errorf("append: %w", broker.ErrFull), errors.New("something nobody thought of"), context.DeadlineExceeded} {
		asked := make(chan struct{}, 1000)
		d.script(func(*broker.Message) error { asked <- struct{}{}; return err })
		stop := d.start(t)
		d.drop(t, "1.txt", fmt.Sprintf("first %d\n", i))
		d.drop(t, "2.txt", fmt.Sprintf("second %d\n", i))
		<-asked
		<-asked // it has been tried again
		if d.read("archive/1.txt") != "" || d.read("out/1.txt.ack") != "" {
			t.Errorf("%v: it is put away", err)
		}
		d.script(nil)
		d.wait(t, "archive/1.txt", "")
		waitFor(t, "both are accepted", func() bool { return len(d.got()) == 2*(i+1) })
		waitFor(t, "both are put away", func() bool { return d.read("work/2.txt")+d.read("2.txt") == "" })
		if got := d.got(); got[2*i] != fmt.Sprintf("first %d\n", i) {
			t.Errorf("%v: %q", err, got)
		}
		stop()
		for _, name := range []string{"archive", "out"} {
			_ = os.RemoveAll(filepath.Join(d.dir, name))
		}
	}
}

func fileAgain(t *testing.T, d *dropped) {
	d.start(t)
	d.drop(t, "1.txt", "a\n")
	waitFor(t, "it is accepted", func() bool { return len(d.got()) == 1 })
	d.wait(t, "archive/1.txt", "a\n")
	d.drop(t, "1.txt", "a\n")
	waitFor(t, "it is accepted again", func() bool { return len(d.got()) == 2 })
	d.drop(t, "1.txt", "b\n")
	waitFor(t, "another is accepted", func() bool { return len(d.got()) == 3 })
	waitFor(t, "all are put away", func() bool { return d.read("work/1.txt")+d.read("1.txt") == "" })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.accepted[0].ID != d.accepted[1].ID || d.accepted[0].ID == d.accepted[2].ID {
		t.Error("the ids are not those of the content")
	}
	entries, err := os.ReadDir(filepath.Join(d.dir, "archive"))
	if err != nil || len(entries) != 2 || d.read("archive/1.txt") != "a\n" {
		t.Errorf("the archive has %d files, %v: what came twice is there once, and nothing is replaced by other content", len(entries), err)
	}
}

func fileRefused(t *testing.T, d *dropped) {
	d.drop(t, "1.txt", "bad\n")
	d.drop(t, "2.txt", strings.Repeat("x", MaxFile+1))
	d.drop(t, "3.txt", "good\n")
	d.drop(t, "4.txt", strings.Repeat("x", MaxFile))
	d.start(t)
	d.wait(t, "archive/4.txt", "x")
	if d.read("quarantine/1.txt") != "bad\n" || !strings.Contains(d.read("quarantine/1.txt.reason.txt"), "lines.bad: line 1 is bad") || d.read("out/1.txt.ack") != "refused" {
		t.Errorf("what is at fault: %q", d.read("quarantine/1.txt.reason.txt"))
	}
	if len(d.read("quarantine/2.txt")) != MaxFile+1 || !strings.Contains(d.read("quarantine/2.txt.reason.txt"), "too_large") {
		t.Errorf("what is too large: %q", d.read("quarantine/2.txt.reason.txt"))
	}
	if got := d.got(); len(got) != 2 || got[0] != "good\n" {
		t.Errorf("%d messages are accepted", len(got))
	}
}

func filePartial(t *testing.T, d *dropped) {
	d.start(t)
	d.drop(t, "1.txt.part", "a\nb")
	d.drop(t, "2.txt", "other\n")
	d.wait(t, "archive/2.txt", "other")
	d.drop(t, "1.txt.part", "a\nb\nc\n")
	if err := os.Rename(filepath.Join(d.dir, "1.txt.part"), filepath.Join(d.dir, "1.txt")); err != nil {
		t.Fatal(err)
	}
	d.wait(t, "archive/1.txt", "a\nb\nc\n")
	if got := d.got(); !slices.Equal(got, []string{"other\n", "a\n", "b\n", "c\n"}) {
		t.Errorf("%q", got)
	}
}

func filesInOrder(t *testing.T, d *dropped) {
	const files = 100
	var want []string
	for i := range files {
		want = append(want, fmt.Sprintf("body %03d\n", i))
		d.drop(t, fmt.Sprintf("%03d.txt", i), want[i])
	}
	d.start(t)
	d.wait(t, fmt.Sprintf("archive/%03d.txt", files-1), "body")
	if got := d.got(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func fileStop(t *testing.T, d *dropped) {
	inHand, goOn := make(chan struct{}), make(chan struct{})
	d.script(func(*broker.Message) error { close(inHand); <-goOn; return nil })
	d.drop(t, "1.txt", "a\n")
	d.drop(t, "2.txt", "b\n")
	stop := d.start(t)
	<-inHand
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("Run returned with a file in hand")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	<-stopped
	if d.read("archive/1.txt") != "a\n" || d.read("out/1.txt.ack") != "accepted" || d.read("2.txt")+d.read("work/2.txt") != "b\n" || len(d.got()) != 1 {
		t.Errorf("%q are accepted", d.got())
	}
}

func fileStops(t *testing.T, d *dropped) {
	const files = 20
	for i := range files {
		d.drop(t, fmt.Sprintf("%02d.txt", i), fmt.Sprintf("body %d\n", i))
	}
	archived := func() int {
		entries, _ := os.ReadDir(filepath.Join(d.dir, "archive"))
		return len(entries)
	}
	for run := 0; archived() < files; run++ {
		if run > 1000 {
			t.Fatalf("after %d starts %d files are put away", run, archived())
		}
		stop := d.start(t)
		before, moment := archived(), time.Duration(run)*time.Millisecond
		if run%2 == 1 { // or when something has been done, however long that takes
			moment = 30 * time.Second
		}
		for deadline := time.Now().Add(moment); time.Now().Before(deadline) && archived() == before; {
			time.Sleep(100 * time.Microsecond)
		}
		stop()
	}
	got := d.got()
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != files {
		t.Errorf("%d of %d files are accepted", len(got), files)
	}
}
