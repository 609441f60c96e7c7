package folder_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vagus-health/vagus/connectors/folder"
)

func zipped(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err == nil && name[len(name)-1] != '/' {
			_, err = io.WriteString(f, "line of "+name+"\n")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb packs 2 MiB into 2 KiB.
func bomb(t testing.TB) []byte { return gzipped(t, make([]byte, 2<<20)) }

func TestArchivesAreOpened(t *testing.T) {
	t.Parallel()
	w := &watched{dir: t.TempDir(), format: &lines{}}
	for name, body := range map[string][]byte{
		"1.zip":     zipped(t, "north/", "north/a.txt", "b.txt", "__MACOSX/._b.txt", ".DS_Store"),
		"2.txt.gz":  gzipped(t, []byte("packed\n")),
		"3.ZIP":     zipped(t, "c.pdf"),
		"4.csv.zip": zipped(t, "bad.txt"),
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.start(t, folder.Config{Names: []string{"*.txt", "*.zip", "*.ZIP", "*.gz"}}, nil)
	w.until(t, "archive/4.csv.zip", "PK")
	w.stop()
	if got := w.got(); !slices.Equal(got, []string{"line of north/a.txt\n", "line of b.txt\n", "packed\n", "line of bad.txt\n"}) {
		t.Errorf("%q", got)
	}
	if got := w.format.names(); !slices.Equal(got, []string{"a.txt", "b.txt", "2.txt", "bad.txt"}) {
		t.Errorf("%q", got)
	}
	want := []string{"archive/1.zip", "archive/2.txt.gz", "archive/4.csv.zip", "out/1.zip.a.txt.ack", "out/1.zip.b.txt.ack", "out/2.txt.gz.ack", "out/4.csv.zip.bad.txt.ack", "quarantine/3.ZIP", "quarantine/3.ZIP.reason.txt"}
	if got := w.tree(t); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	w.until(t, "quarantine/3.ZIP.reason.txt", "entry 1: its name matches none of names")
}

func TestAnArchiveWithABadFileIsKeptForAPerson(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, body := range map[string]string{"a.txt": "bad\n"} {
		f, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(f, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := z.Create("b.txt")
	if err == nil {
		_, err = io.WriteString(f, "good\n")
	}
	if err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	w := watch(t, folder.Config{}, nil)
	w.drop(t, "1.zip", b.String())
	w.until(t, "quarantine/1.zip.reason.txt", "entry 1: line 1 is bad")
	w.until(t, "quarantine/1.zip", "PK")
	if got := w.got(); !slices.Equal(got, []string{"good\n"}) {
		t.Errorf("%q", got)
	}
}
