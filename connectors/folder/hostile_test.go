package folder_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vagus-health/vagus/connectors/folder"
)

// A log that several goroutines write to.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestWhatCouldDoHarmGoesToTheQuarantine(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(path string) error { return os.Symlink(outside, path) }
	write := func(path string) error { return os.WriteFile(path, []byte("text\n"), 0o600) }
	for _, tt := range []struct {
		name, file string
		put        func(path string) error
		reason     string
	}{
		{"a symbolic link", "Doe.txt", link, "file.irregular: it is a symbolic link"},
		{"a link to a folder", "Doe.txt", func(path string) error { return os.Symlink("/etc", path) }, "it is a symbolic link"},
		{"a hard link", "Doe.txt", func(path string) error { return os.Link(outside, path) }, "further names"},
		{"a pipe", "Doe.txt", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "it is a pipe"},
		{"a line end in the name", "Doe\n.txt", write, "file.name: the name has a character in it that does not print"},
		{"a name that turns the direction of writing", "Doe\u202etxt.exe", write, "does not print"},
		{"a name that is no UTF-8", "Doe\xff.txt", write, "is not UTF-8"},
		{"a path of Windows", `C:\Doe.txt`, write, "a backslash"},
		{"a long name", strings.Repeat("Doe", 80), write, "240 bytes; at most 200"},
		{"a bomb", "Doe.gz", func(path string) error { return os.WriteFile(path, bomb(t), 0o600) }, "file.archive: it unpacks to over"},
		{"a path out of an archive", "Doe.zip", func(path string) error { return os.WriteFile(path, zipped(t, "../Doe.txt"), 0o600) }, "entry 1: its path leads out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log := &logged{}
			w := watch(t, folder.Config{Logger: slog.New(slog.NewTextHandler(log, nil))}, nil)
			if err := tt.put(filepath.Join(w.dir, tt.file)); err != nil {
				t.Fatal(err)
			}
			var reasons []string
			until(t, "a reason", func() bool {
				reasons, _ = filepath.Glob(filepath.Join(w.dir, "quarantine", "*.reason.txt"))
				return len(reasons) == 1 && strings.Contains(log.String(), "file refused")
			})
			w.stop()
			if b, err := os.ReadFile(reasons[0]); err != nil || !strings.Contains(string(b), tt.reason) || strings.Contains(string(b), "Doe") {
				t.Errorf("the reason is %q, %v", b, err)
			}
			if _, err := os.Lstat(strings.TrimSuffix(reasons[0], ".reason.txt")); err != nil {
				t.Errorf("it does not stand beside it: %v", err)
			}
			if got := w.format.names(); len(got) != 0 {
				t.Errorf("it was received: %q", got)
			}
			if b, err := os.ReadFile(outside); err != nil || string(b) != "secret" {
				t.Errorf("what it led to is %q, %v", b, err)
			}
			if _, err := os.Lstat(filepath.Join(w.dir, tt.file)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			if s := log.String(); strings.Contains(s, "Doe") {
				t.Errorf("the log is %s", s)
			}
		})
	}
}

func TestNoNameAndNoContentIsLogged(t *testing.T) {
	t.Parallel()
	log := &logged{}
	conf := folder.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	w := &watched{dir: t.TempDir(), format: &lines{}}
	inTheWay := filepath.Join(w.dir, "out", "Doe.txt.ack") // a folder where the answer is to stand
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	w.start(t, conf, nil)
	w.drop(t, "Doe.txt", "Jane\n")
	until(t, "a problem", func() bool { return strings.Contains(w.src.Problem(), "write the answer of file") })
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	w.until(t, "archive/Doe.txt", "Jane")
	w.drop(t, "Doe2.txt", "bad Jane\n")
	w.until(t, "quarantine/Doe2.txt.reason.txt", "line 1")
	w.stop()
	for _, name := range []string{"Doe", "Jane"} {
		if strings.Contains(log.String(), name) {
			t.Errorf("%s is in the log:\n%s", name, log.String())
		}
	}
}

func TestAFileThatChangesIsReceivedAsAWhole(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *watched, grow func()) func(folder.Files) folder.Files{
		"while it is read": func(_ *watched, grow func()) func(folder.Files) folder.Files {
			return func(f folder.Files) folder.Files { return &growing{f, grow} }
		},
		"after it was received": func(w *watched, grow func()) func(folder.Files) folder.Files {
			w.format.before = func(string, string) error { grow(); return nil }
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &watched{dir: t.TempDir(), format: &lines{}}
			w.drop(t, "1.txt", "a\n")
			grow := sync.OnceFunc(func() {
				f, err := os.OpenFile(filepath.Join(w.dir, "work/1.txt"), os.O_WRONLY|os.O_APPEND, 0)
				if err == nil {
					_, err = f.WriteString("b\n")
					err = errors.Join(err, f.Close())
				}
				if err != nil {
					t.Error(err)
				}
			})
			w.start(t, folder.Config{}, change(w, grow))
			w.until(t, "archive/1.txt", "a\nb\n")
			w.stop()
			got := w.got()
			if want := []string{"a\n", "b\n"}; !slices.Equal(got[len(got)-2:], want) {
				t.Errorf("accepted: %q", got)
			}
			if name == "while it is read" && len(got) != 2 {
				t.Errorf("it was half applied first: %q", got)
			}
		})
	}
}

// growing lets a file grow behind the back of who reads it.
type growing struct {
	folder.Files
	grow func()
}

func (g *growing) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	body, err := g.Files.Read(ctx, name, limit)
	g.grow()
	return body, err
}

func TestAFileIsNotTouchedUntilItHasSettled(t *testing.T) {
	t.Parallel()
	restless := &restless{}
	restless.looks.Add(1)
	w := watch(t, folder.Config{Settle: 2 * time.Millisecond}, func(f folder.Files) folder.Files { restless.Files = f; return restless })
	w.drop(t, "1.txt", "a\n")
	until(t, "it was looked at often", func() bool { return restless.seen() > 20 })
	if got := w.format.names(); len(got) != 0 {
		t.Errorf("received: %q", got)
	}
	restless.rest()
	w.until(t, "archive/1.txt", "a")
}

func TestAFileInHandIsNotReplacedByTheNextOfItsName(t *testing.T) {
	t.Parallel()
	busy := &busy{}
	busy.looks.Add(1)
	w := watch(t, folder.Config{}, func(f folder.Files) folder.Files { busy.Files = f; return busy })
	w.drop(t, "1.txt", "a\n")
	until(t, "it is in hand and does not settle", func() bool { return busy.looks.Add(0) > 4 })
	w.drop(t, "1.txt", "b\n")
	w.drop(t, "2.txt", "c\n")
	w.until(t, "archive/2.txt", "c")
	busy.still.Add(1)
	until(t, "both are received", func() bool { return len(w.got()) == 3 })
	w.stop()
	if got := w.got(); !slices.Equal(got, []string{"c\n", "a\n", "b\n"}) {
		t.Errorf("accepted: %q", got)
	}
}

// busy is a folder in which somebody still writes the file that is in hand.
type busy struct {
	folder.Files
	looks, still counter
}

func (b *busy) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	info, err := b.Files.Stat(ctx, name)
	if err == nil && name == "work/1.txt" && b.still.Add(0) == 0 {
		info = later{info, time.Duration(b.looks.Add(1))}
	}
	return info, err
}

func TestWhatTookAFilesPlaceIsNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), os.Symlink("file", filepath.Join(dir, "link")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"file": true, "link": false, "pipe": false, ".": false} {
		read := make(chan error, 1)
		go func() {
			_, err := folder.Local(dir).Read(context.Background(), name, 10)
			read <- err
		}()
		select {
		case err := <-read:
			if (err == nil) != ok {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s is waited for", name)
		}
	}
}

// restless is a folder whose files change with each look.
type restless struct {
	folder.Files
	looks counter
	still counter
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) Add(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	return c.n
}

func (r *restless) seen() int { return r.looks.Add(0) }
func (r *restless) rest()     { r.still.Add(1) }

type later struct {
	fs.FileInfo
	by time.Duration
}

func (l later) ModTime() time.Time { return l.FileInfo.ModTime().Add(l.by) }

func (r *restless) List(ctx context.Context, dir string) ([]fs.FileInfo, error) {
	infos, err := r.Files.List(ctx, dir)
	if r.still.Add(0) == 0 && dir == "." {
		for i := range infos {
			infos[i] = later{infos[i], time.Duration(r.looks.Add(1))}
		}
	}
	return infos, err
}

func TestAMarkerSaysThatAFileIsComplete(t *testing.T) {
	t.Parallel()
	w := watch(t, folder.Config{Marker: ".done"}, nil)
	w.drop(t, "1.txt", "a\n")
	w.drop(t, "2.txt", "b\n")
	w.drop(t, "2.txt.done", "")
	w.until(t, "archive/2.txt", "b")
	if got := w.format.names(); !slices.Equal(got, []string{"2.txt"}) {
		t.Errorf("received: %q", got)
	}
	w.drop(t, "1.txt.done", "")
	w.until(t, "archive/1.txt", "a")
	w.stop()
	if got, want := w.tree(t), []string{"archive/1.txt", "archive/2.txt", "out/1.txt.ack", "out/2.txt.ack"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTheOrderIsThatOfNamesOrOfTime(t *testing.T) {
	t.Parallel()
	for order, want := range map[string][]string{"": {"1.txt", "2.txt", "3.txt"}, "name": {"1.txt", "2.txt", "3.txt"}, "time": {"3.txt", "1.txt", "2.txt"}} {
		w := &watched{dir: t.TempDir(), format: &lines{}}
		begin := time.Now().Add(-time.Hour)
		for i, name := range []string{"3.txt", "1.txt", "2.txt"} {
			w.drop(t, name, "a\n")
			if at := begin.Add(time.Duration(i) * time.Minute); os.Chtimes(filepath.Join(w.dir, name), at, at) != nil {
				t.Fatal("the time was not set")
			}
		}
		w.start(t, folder.Config{Order: order, Settle: time.Millisecond}, nil)
		until(t, "three files", func() bool { return len(w.format.names()) == 3 })
		w.stop()
		if got := w.format.names(); !slices.Equal(got, want) {
			t.Errorf("by %q: %q", order, got)
		}
	}
}

func TestSettingsOfAFolder(t *testing.T) {
	t.Parallel()
	for want, conf := range map[string]folder.Config{
		"dir: missing":               {},
		"archive: a folder inside":   {Dir: "x", Archive: "../y"},
		"each needs a folder of its": {Dir: "x", Archive: "work"},
		"names, ignore":              {Dir: "x", Names: []string{"[a"}},
		"marker: use":                {Dir: "x", Marker: "/done"},
		"settle, every":              {Dir: "x", Settle: -1},
		"order: use name or time":    {Dir: "x", Order: "size"},
		"after: use archive":         {Dir: "x", After: "keep"},
		"max_bytes":                  {Dir: "x", MaxBytes: 2 << 30},
	} {
		if _, err := folder.New("files", conf, folder.Local("x"), &lines{}); err == nil || !strings.HasPrefix(err.Error(), "folder: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := folder.New("files", folder.Config{Dir: "x", In: "in", Names: []string{"*.csv"}}, folder.Local("x"), &lines{}); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatIsNotThereIsAProblemUntilItIs(t *testing.T) {
	t.Parallel()
	w := &watched{dir: filepath.Join(t.TempDir(), "later"), format: &lines{}}
	w.start(t, folder.Config{}, nil)
	until(t, "a problem", func() bool { return strings.Contains(w.src.Problem(), "no such file") })
	w.drop(t, "1.txt", "a\n")
	w.until(t, "archive/1.txt", "a")
	until(t, "no problem", func() bool { return w.src.Problem() == "" })
}
