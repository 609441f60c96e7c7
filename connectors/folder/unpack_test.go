package folder

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

// An entry of an archive that a test makes.
type entry struct {
	header zip.FileHeader
	body   []byte
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.CreateHeader(&e.header)
		if err == nil {
			_, err = f.Write(e.body)
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

func named(name string) entry { return entry{header: zip.FileHeader{Name: name}, body: []byte("x")} }

func TestArchivesThatAreRefused(t *testing.T) {
	t.Parallel()
	link := named("link")
	link.header.SetMode(fs.ModeSymlink | 0o777)
	many := make([]entry, maxParts+1)
	for i := range many {
		many[i] = named(strings.Repeat("a", i%150+1) + string(rune('a'+i/150)))
	}
	deflated := entry{header: zip.FileHeader{Name: "zeros", Method: zip.Deflate}, body: make([]byte, smallFile+100_000)}
	sound := archiveOf(t, named("a"))
	for _, tt := range []struct {
		name, file string
		body       []byte
		limit      int64
		want       string
	}{
		{"a path that goes up", "x.zip", archiveOf(t, named("../a")), 0, "entry 1: its path leads out"},
		{"a path that goes up inside", "x.zip", archiveOf(t, named("b/../../a")), 0, "entry 1: its path leads out"},
		{"a path from the root", "x.zip", archiveOf(t, named("/etc/passwd")), 0, "entry 1: its path leads out"},
		{"a path of Windows", "x.zip", archiveOf(t, named(`..\a`)), 0, "entry 1: its path leads out"},
		{"a line end", "x.zip", archiveOf(t, named("ok"), named("a\nb")), 0, "entry 2: its path leads out"},
		{"a symbolic link", "x.zip", archiveOf(t, link), 0, "no regular file"},
		{"an archive in it", "x.zip", archiveOf(t, named("a.ZIP")), 0, "an archive in an archive"},
		{"an archive in gzip", "x.tar.gz", nil, 0, "an archive in an archive"},
		{"two of one name", "x.zip", archiveOf(t, named("a/x"), named("b/x")), 0, "entry 2: another entry has the same name"},
		{"nothing", "x.zip", archiveOf(t), 0, "no file in it"},
		{"too many", "x.zip", archiveOf(t, many...), 0, "over 1000 files"},
		{"too much for its size", "x.zip", archiveOf(t, deflated), 0, "over 250 times its size"},
		{"too much at all", "x.zip", archiveOf(t, named("a"), named("b")), 1, "over max_bytes"},
		{"too much in gzip", "x.gz", gz(t, make([]byte, smallFile+100_000)), 0, "over 250 times"},
		{"no zip", "x.zip", []byte("no"), 0, "it is no zip"},
		{"no gzip", "x.gz", []byte("no"), 0, "it is no gzip"},
		{"half a gzip", "x.gz", gz(t, []byte("text"))[:15], 0, "no sound gzip"},
		{"a damaged zip", "x.zip", bytes.Replace(sound, []byte("ax"), []byte("ay"), 1), 0, "entry 1: zip: checksum"},
		{"a name that is wanted by nobody, in gzip", "unwanted.gz", gz(t, []byte("text")), 0, "without .gz matches none of names"},
		{"a name that is wanted by nobody", "x.zip", archiveOf(t, named("unwanted")), 0, "matches none of names"},
	} {
		limit := tt.limit
		if limit == 0 {
			limit = 64 << 20
		}
		parts, err := unpack(tt.file, tt.body, limit, func(name string) bool { return name != "unwanted" })
		var reject *broker.RejectError
		if !errors.As(err, &reject) || reject.Code != "file.archive" || !strings.Contains(err.Error(), tt.want) || parts != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// What is declared is not what counts.
	lying := archiveOf(t, deflated)
	for i := 0; i+4 < len(lying); i++ { // the size stands in the directory, little end first
		if bytes.Equal(lying[i:i+4], binary.LittleEndian.AppendUint32(nil, smallFile+100_000)) {
			lying[i+2] = 0x0f
		}
	}
	if _, err := unpack("x.zip", lying, 64<<20, func(string) bool { return true }); err == nil {
		t.Error("an archive that lies about its size is opened")
	}
}

func gz(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzUnpack(f *testing.F) {
	f.Add("x.zip", archiveOf(f, named("a/b"), named("../c")))
	f.Add("x.gz", gz(f, []byte("text")))
	f.Add("x.csv", []byte("a,b\n"))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		const limit = 1 << 20
		parts, err := unpack(name, body, limit, func(string) bool { return true })
		var reject *broker.RejectError
		if err != nil {
			if !errors.As(err, &reject) {
				t.Fatalf("%v is no rejection", err)
			}
			return
		}
		total := 0
		for _, p := range parts {
			total += len(p.body)
			if len(parts) > 1 && checkName(p.name) != nil {
				t.Fatalf("a part is called %q", p.name)
			}
		}
		if len(parts) == 0 || len(parts) > maxParts || total > max(limit, len(body)) {
			t.Fatalf("%d parts of %d bytes", len(parts), total)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"a.csv", "..", "a/b", "a\nb", "\u202e", "\xff", strings.Repeat("a", 201), ".hidden", "a.csv.done"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		if !fs.ValidPath("archive/"+name) || strings.ContainsAny(name, "\r\n\x00/\\") || !fs.ValidPath("archive/"+beside(name, "0123456789ab")) {
			t.Fatalf("%q is taken", name)
		}
	})
}
