package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func key(t testing.TB) (ed25519.PrivateKey, ed25519.PublicKey) {
	t.Helper()
	priv, pub, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	public, err := PublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PublicKey(priv); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Error("a private key passes for a public one", err)
	}
	return private, public
}

var (
	someFiles    = Files{"a.map.yaml": []byte("a"), "in/b.hl7": []byte("bb"), "in/deep/c": {}, "z": bytes.Repeat([]byte("z"), 5000)}
	someManifest = Manifest{Name: "north", Version: 7, Created: time.Date(2026, 3, 1, 2, 3, 4, 5, time.UTC)}
)

func TestWhatIsPackedComesOutAndTheSameBytesEveryTime(t *testing.T) {
	t.Parallel()
	private, public := key(t)
	data, err := Pack(someFiles, someManifest, private)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Pack(someFiles, someManifest, private); err != nil || !bytes.Equal(data, again) {
		t.Error("packed twice it is not the same", err)
	}
	for _, trust := range []ed25519.PublicKey{public, nil} {
		m, files, err := Unpack(data, trust)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != "north" || m.Version != 7 || m.Created != someManifest.Created.Truncate(time.Second) || m.Signed != (trust != nil) || len(m.Digest) != 64 {
			t.Errorf("%+v", m)
		}
		if len(files) != len(someFiles) {
			t.Errorf("%d files", len(files))
		}
		if err := fstest.TestFS(files, "a.map.yaml", "in/b.hl7", "in/deep/c", "z"); err != nil {
			t.Error(err)
		}
		if _, err := fs.ReadFile(files, "in"); err == nil {
			t.Error("a directory is read as a file")
		}
	}
	unsigned, err := Pack(someFiles, someManifest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err := Unpack(unsigned, nil); err != nil || m.Signed {
		t.Error(m, err)
	}
}

// An entry is one of a tar that a test writes.
type tarEntry struct {
	name string
	data []byte
	kind byte
}

func repack(t *testing.T, data []byte, change func([]tarEntry) []tarEntry) []byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var entries []tarEntry
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, tarEntry{h.Name, body, tar.TypeReg})
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	tw := tar.NewWriter(w)
	for _, e := range change(entries) {
		h := &tar.Header{Name: e.name, Size: int64(len(e.data)), Typeflag: e.kind, Mode: 0o644}
		if e.kind == tar.TypeSymlink {
			h.Linkname, h.Size, e.data = "/etc/passwd", 0, nil
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAnAlteredArchiveIsRefused(t *testing.T) {
	t.Parallel()
	private, public := key(t)
	other, _ := key(t)
	pack := func(k ed25519.PrivateKey) []byte {
		data, err := Pack(someFiles, someManifest, k)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	good := pack(private)
	edit := func(i int, from, to string) func([]tarEntry) []tarEntry {
		return func(es []tarEntry) []tarEntry {
			es[i].data = bytes.Replace(es[i].data, []byte(from), []byte(to), 1)
			return es
		}
	}
	for name, c := range map[string]struct {
		data  []byte
		trust ed25519.PublicKey
		want  string
	}{
		"unsigned":                      {pack(nil), public, "not signed, and this site takes signed ones only"},
		"signed by another key":         {pack(other), public, "not signed by the key that is trusted"},
		"a manifest that was edited":    {repack(t, good, edit(0, `"version": 7`, `"version": 8`)), public, "not signed by the key"},
		"a file that was edited":        {repack(t, good, edit(2, "a", "b")), public, "a.map.yaml is not what the bundle's manifest says"},
		"a longer file":                 {repack(t, good, edit(2, "a", "aa")), public, "files/a.map.yaml has 2 bytes"},
		"a shorter file":                {repack(t, good, edit(2, "a", "")), public, "a.map.yaml is not what"},
		"the same without a key":        {repack(t, good, edit(2, "a", "b")), nil, "a.map.yaml is not what the bundle's manifest says"},
		"a file less":                   {repack(t, good, func(es []tarEntry) []tarEntry { return es[:5] }), public, "no files/z where it belongs"},
		"a file more":                   {repack(t, good, func(es []tarEntry) []tarEntry { return append(es, tarEntry{"files/zz", nil, tar.TypeReg}) }), public, "does not name"},
		"a link more":                   {repack(t, good, func(es []tarEntry) []tarEntry { return append(es, tarEntry{"files/zz", nil, tar.TypeSymlink}) }), public, "does not name"},
		"another order":                 {repack(t, good, func(es []tarEntry) []tarEntry { es[3], es[4] = es[4], es[3]; return es }), public, "where it belongs"},
		"a link in the place of a file": {repack(t, good, func(es []tarEntry) []tarEntry { es[2].kind = tar.TypeSymlink; return es }), public, "link"},
		"a name that leads out":         {repack(t, pack(nil), edit(0, "a.map.yaml", "../map.yaml")), nil, "leads out of it"},
		"an absolute name":              {repack(t, pack(nil), edit(0, "a.map.yaml", "/etc/ma.yl")), nil, "leads out of it"},
		"the same name twice":           {repack(t, pack(nil), edit(0, "in/deep/c", "in/b.hl7")), nil, "stands twice"},
		"a file that is a directory":    {repack(t, pack(nil), edit(0, "in/deep/c", "in/b.hl7/c")), nil, "is a file and a directory"},
		"a size that lies":              {repack(t, pack(nil), edit(0, `"size": 5000`, `"size": 50000000000`)), nil, "at most"},
		"another format":                {repack(t, pack(nil), edit(0, `"format": 1`, `"format": 2`)), nil, "format 2"},
		"no manifest":                   {repack(t, good, func(es []tarEntry) []tarEntry { return es[1:] }), public, "no manifest.json where it belongs"},
		"no tar":                        {repack(t, good, func([]tarEntry) []tarEntry { return nil }), public, "no manifest.json"},
		"no gzip":                       {[]byte("PK"), public, "not a gzip file"},
		"nothing":                       {nil, public, "not a gzip file"},
		"the half of it":                {good[:len(good)/2], public, ""},
		"the last bytes cut":            {good[:len(good)-9], public, "is cut off"},
		"cut after its files":           {good[:len(good)-14], public, "cut off or altered at its end"},
		"a manifest and then no more":   {retar(t, good, func(b []byte) []byte { return b[:bytes.Index(b, []byte("manifest.sig"))+100] }), public, "damaged after manifest.json"},
		"no checksum at the end":        {good[:len(good)-8], public, "is cut off"},
		"another checksum":              {append(slices.Clone(good[:len(good)-8]), 0, 0, 0, 0, good[len(good)-4], good[len(good)-3], good[len(good)-2], good[len(good)-1]), public, "altered at its end"},
		"a byte more":                   {append(slices.Clone(good), 0), public, "something follows the end"},
		"itself once more":              {append(slices.Clone(good), good...), public, "something follows the end"},
		"a tar without its end":         {retar(t, good, func(b []byte) []byte { return b[:len(b)-1024] }), public, "is cut off"},
		"a tar with half of its end":    {retar(t, good, func(b []byte) []byte { return b[:len(b)-512] }), public, "is cut off"},
		"bytes after the tar's end":     {retar(t, good, func(b []byte) []byte { return append(b, "more"...) }), public, "something follows the end"},
		"zeros without end":             {bomb(t), public, ""},
	} {
		m, files, err := Unpack(c.data, c.trust)
		if err == nil || m != nil || files != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// retar changes the tar within an archive.
func retar(t *testing.T, data []byte, change func([]byte) []byte) []byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(change(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb is a manifest and a file of many zeros.
func bomb(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	tw := tar.NewWriter(w)
	if err := tw.WriteHeader(&tar.Header{Name: manifestName, Size: 1 << 40, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestABundleThatNoSiteCouldReadIsNotMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files Files
		m     Manifest
		want  string
	}{
		"no version":  {someFiles, Manifest{Name: "n"}, "version is a number from 1"},
		"no name":     {someFiles, Manifest{Version: 1}, "a bundle's name is"},
		"no files":    {nil, someManifest, "1 to 4096 files"},
		"a bad name":  {Files{"../x": nil}, someManifest, "leads out of it"},
		"a backslash": {Files{`a\b`: nil}, someManifest, "leads out of it"},
		"too large":   {Files{"x": make([]byte, maxFile+1)}, someManifest, "at most"},
	} {
		if _, err := Pack(c.files, c.m, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // the same in all workers of the fuzzer
	public := private.Public().(ed25519.PublicKey)
	for _, k := range []ed25519.PrivateKey{private, nil} {
		data, err := Pack(someFiles, someManifest, k)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, trust := range []ed25519.PublicKey{nil, public} {
			m, files, err := Unpack(data, trust)
			if err != nil {
				continue
			}
			again, err := Pack(files, *m, nil)
			if err != nil {
				t.Fatalf("what was read can not be packed: %v", err)
			}
			if _, back, err := Unpack(again, nil); err != nil || len(back) != len(files) {
				t.Fatal(err)
			}
		}
	})
}
