package folder_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vagus-health/vagus/connectors/folder"
)

// failing fails calls of a file system.
type failing struct {
	folder.Files
	err   error
	after bool // fails when the call has been done

	mu    sync.Mutex
	fails func(call, name string) bool
	calls int
}

func (f *failing) at(fails func(call, name string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func (f *failing) do(call, name string, do func() error) error {
	f.mu.Lock()
	f.calls++
	fails := f.fails != nil && f.fails(call, name)
	f.mu.Unlock()
	if fails && !f.after {
		return f.err
	}
	err := do()
	if fails && err == nil {
		return f.err
	}
	return err
}

func (f *failing) List(ctx context.Context, dir string) (infos []fs.FileInfo, err error) {
	err = f.do("list", dir, func() error { infos, err = f.Files.List(ctx, dir); return err })
	return infos, err
}

func (f *failing) Stat(ctx context.Context, name string) (info fs.FileInfo, err error) {
	err = f.do("stat", name, func() error { info, err = f.Files.Stat(ctx, name); return err })
	return info, err
}

func (f *failing) Read(ctx context.Context, name string, limit int64) (b []byte, err error) {
	err = f.do("read", name, func() error { b, err = f.Files.Read(ctx, name, limit); return err })
	return b, err
}

func (f *failing) Write(ctx context.Context, name string, body []byte) error {
	return f.do("write", name, func() error { return f.Files.Write(ctx, name, body) })
}

func (f *failing) Rename(ctx context.Context, from, to string) error {
	return f.do("rename", from, func() error { return f.Files.Rename(ctx, from, to) })
}

func (f *failing) Remove(ctx context.Context, name string) error {
	return f.do("remove", name, func() error { return f.Files.Remove(ctx, name) })
}

func (f *failing) MakeDir(ctx context.Context, dir string) error {
	return f.do("make", dir, func() error { return f.Files.MakeDir(ctx, dir) })
}

// The n-th call on the file system is the last one of a process, which is
// started again. Done or not done, the end is the same.
func TestAProcessThatEndsAtAnyStepLosesNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for name, conf := range map[string]folder.Config{"archive": {}, "marker": {Marker: ".done"}, "delete": {After: folder.Delete}} {
			t.Run(fmt.Sprintf("%s, done %v", name, after), func(t *testing.T) {
				t.Parallel()
				for n, alive := 1, false; !alive; n++ {
					ended := errors.New("the process ends")
					dead := &failing{err: ended, after: after}
					w := &watched{dir: t.TempDir(), format: &lines{}}
					w.drop(t, "1.txt", "a\nb\n")
					w.drop(t, "2.txt", "bad\n")
					if conf.Marker != "" {
						w.drop(t, "1.txt.done", "")
						w.drop(t, "2.txt.done", "")
					}
					died := make(chan struct{})
					var once sync.Once
					dead.at(func(string, string) bool {
						if dead.calls >= n {
							once.Do(func() { close(died) })
							return true // and nothing works after it
						}
						return false
					})
					w.start(t, conf, func(f folder.Files) folder.Files { dead.Files = f; return &mortal{dead, n} })
					done := func() bool {
						_, err := os.Stat(filepath.Join(w.dir, "quarantine/2.txt"))
						_, in := os.Stat(filepath.Join(w.dir, "1.txt"))
						_, work := os.Stat(filepath.Join(w.dir, "work/1.txt")) // after the one that it comes from
						return err == nil && work != nil && in != nil
					}
					until(t, "the end", func() bool {
						select {
						case <-died:
							return true
						default:
							alive = done()
							return alive
						}
					})
					w.stop()
					if alive && n < 20 {
						t.Fatalf("only %d steps", n)
					}
					w.start(t, conf, nil)
					until(t, fmt.Sprintf("all is put away after an end at step %d", n), done)
					w.stop()
					got := w.got()
					slices.Sort(got)
					if got = slices.Compact(got); !slices.Equal(got, []string{"a\n", "b\n"}) {
						t.Fatalf("step %d, after %v, %+v: accepted %q", n, after, conf, got)
					}
					tree := slices.DeleteFunc(w.tree(t), func(name string) bool { return strings.HasSuffix(name, ".done") || strings.HasSuffix(name, ".tmp") })
					want := []string{"archive/1.txt", "out/1.txt.ack", "out/2.txt.ack", "quarantine/2.txt", "quarantine/2.txt.reason.txt"}
					if conf.After == folder.Delete {
						want = want[1:]
					}
					if !slices.Equal(tree, want) {
						t.Fatalf("step %d, after %v, %+v: %q\nwant %q", n, after, conf, tree, want)
					}
				}
			})
		}
	}
}

// mortal does the n-th call last: what comes after it is not done at all.
type mortal struct {
	*failing
	n int
}

func (m *mortal) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls >= m.n
}

func (m *mortal) Rename(ctx context.Context, from, to string) error {
	if m.gone() {
		return m.err
	}
	return m.failing.Rename(ctx, from, to)
}

func (m *mortal) Write(ctx context.Context, name string, body []byte) error {
	if m.gone() {
		return m.err
	}
	return m.failing.Write(ctx, name, body)
}

func (m *mortal) Remove(ctx context.Context, name string) error {
	if m.gone() {
		return m.err
	}
	return m.failing.Remove(ctx, name)
}
