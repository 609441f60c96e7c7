package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits on what an archive may hold. They are checked before anything of it
// is believed.
const (
	maxArchive  = 16 << 20 // bytes of an archive
	maxManifest = 1 << 20
	maxFile     = 16 << 20
	maxFiles    = 4096
	maxTotal    = 64 << 20 // bytes of all files together
	maxRatio    = 200      // bytes that come out of one byte that went in
)

// An archive is a gzipped tar: the manifest, the signature over it unless it
// is unsigned, and the files in the manifest's order. The signature is over
// signed + the manifest's bytes, and is checked before the manifest is read.
const (
	manifestName  = "manifest.json"
	signatureName = "manifest.sig"
	filesPrefix   = "files/"
	signed        = "vagus mapping bundle 1\n"
)

// A Manifest says what an archive is and holds.
type Manifest struct {
	Format  int       `json:"format"`  // 1
	Name    string    `json:"name"`    // versions are counted by name
	Version int       `json:"version"` // from 1; a site never goes back to a lower one
	Created time.Time `json:"created"`
	Files   []File    `json:"files"` // by name

	// Digest is the SHA-256, in hex, of the manifest's bytes: two archives with
	// the same one hold the same.
	Digest string `json:"-"`
	Signed bool   `json:"-"` // by the key that it was read with
}

// A File is one file of an archive.
type File struct {
	Name   string `json:"name"` // below the archive's root, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Pack makes an archive of files, the same bytes for the same input. Of m it
// takes Name, Version and Created. Without a key it is not signed.
func Pack(files Files, m Manifest, key ed25519.PrivateKey) ([]byte, error) {
	m.Format, m.Files, m.Created = 1, nil, m.Created.UTC().Truncate(time.Second)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		m.Files = append(m.Files, File{Name: name, Size: int64(len(files[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	manifest, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	if len(manifest) > maxManifest {
		return nil, fmt.Errorf("the manifest would have %d bytes; it may have %d", len(manifest), maxManifest)
	}
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zip)
	put := func(name string, data []byte) error {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data)), ModTime: m.Created}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	err = put(manifestName, manifest)
	if key != nil && err == nil {
		err = put(signatureName, ed25519.Sign(key, append([]byte(signed), manifest...)))
	}
	for _, f := range m.Files {
		if err == nil {
			err = put(filesPrefix+f.Name, files[f.Name])
		}
	}
	if err = cmp.Or(err, w.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return out.Bytes(), nil
}

// check says whether a manifest is one that this program may believe.
func (m *Manifest) check() error {
	switch {
	case m.Format != 1:
		return fmt.Errorf("format %d of a bundle is not known to this program", m.Format)
	case !namePattern.MatchString(m.Name):
		return errors.New("a bundle's name is lower-case letters, digits, '.', '_' and '-', at most 64")
	case m.Version < 1:
		return errors.New("a bundle's version is a number from 1")
	case len(m.Files) == 0 || len(m.Files) > maxFiles:
		return fmt.Errorf("a bundle has 1 to %d files, not %d", maxFiles, len(m.Files))
	}
	total, last := int64(0), ""
	for i, f := range m.Files {
		if !fs.ValidPath(f.Name) || f.Name == "." || strings.ContainsAny(f.Name, "\\:\x00") || len(f.Name) > 512 {
			return fmt.Errorf("file %d of the bundle has a name that leads out of it or is too long", i+1)
		}
		if f.Name <= last {
			return fmt.Errorf("%s stands twice in the bundle, or not in its order", f.Name)
		}
		last = f.Name
		if total += f.Size; f.Size < 0 || f.Size > maxFile || total > maxTotal {
			return fmt.Errorf("%s: a file of a bundle has at most %d bytes, and all together %d", f.Name, maxFile, maxTotal)
		}
	}
	for i, f := range m.Files[1:] {
		if strings.HasPrefix(f.Name, m.Files[i].Name+"/") {
			return fmt.Errorf("%s is a file and a directory", m.Files[i].Name)
		}
	}
	return nil
}

// Unpack reads an archive. With a key it takes only what that key has signed;
// without one it believes the archive's own checksums. Nothing of a refused
// archive is returned.
func Unpack(data []byte, trust ed25519.PublicKey) (*Manifest, Files, error) {
	if len(data) > maxTotal {
		return nil, nil, fmt.Errorf("the archive has %d bytes; one may have %d", len(data), maxTotal)
	}
	in := bytes.NewReader(data)
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, nil, errors.New("this is no bundle: not a gzip file")
	}
	zip.Multistream(false)
	out := &io.LimitedReader{R: zip, N: min(2*maxTotal, maxRatio*int64(len(data)))}
	r := &reader{tar: tar.NewReader(out)}
	manifest, err := r.next(manifestName, maxManifest)
	if err != nil {
		return nil, nil, err
	}
	r.ahead()
	switch {
	case r.cut:
		return nil, nil, fmt.Errorf("the bundle is cut off or damaged after %s: fetch it again", manifestName)
	case r.name != signatureName && trust != nil:
		return nil, nil, errors.New("the bundle is not signed, and this site takes signed ones only")
	case r.name == signatureName:
		signature, err := r.next(signatureName, ed25519.SignatureSize)
		if err != nil {
			return nil, nil, err
		}
		if trust != nil && !ed25519.Verify(trust, append([]byte(signed), manifest...), signature) {
			return nil, nil, errors.New("the bundle is not signed by the key that is trusted, or was altered")
		}
	}
	sum := sha256.Sum256(manifest)
	m := &Manifest{Digest: hex.EncodeToString(sum[:]), Signed: trust != nil}
	dec := json.NewDecoder(bytes.NewReader(manifest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, nil, errors.New("the bundle's manifest is not one")
	}
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	files := make(Files, len(m.Files))
	for _, f := range m.Files {
		content, err := r.next(filesPrefix+f.Name, f.Size)
		if err != nil {
			return nil, nil, err
		}
		if sum := sha256.Sum256(content); int64(len(content)) != f.Size || hex.EncodeToString(sum[:]) != f.SHA256 {
			return nil, nil, fmt.Errorf("%s is not what the bundle's manifest says: it was altered", f.Name)
		}
		files[f.Name] = content
	}
	before := out.N
	r.ahead()
	switch {
	case r.cut:
		return nil, nil, errors.New("the bundle is cut off or altered at its end: fetch it again")
	case r.name != "":
		return nil, nil, errors.New("the bundle holds a file that its manifest does not name")
	}
	// What package tar takes for the end is also a tar that stops short, and
	// gzip checks its sum at its own end only.
	if end := int64(2 * tarBlock); before-out.N < end || before-out.N >= end+tarBlock {
		return nil, nil, errors.New("the bundle is cut off: fetch it again")
	}
	switch n, err := io.ReadFull(zip, make([]byte, 1)); {
	case n > 0 || err == io.EOF && in.Len() > 0:
		return nil, nil, errors.New("something follows the end of the bundle: fetch it again")
	case err != io.EOF:
		return nil, nil, errors.New("the bundle is cut off or altered at its end: fetch it again")
	}
	return m, files, nil
}

const tarBlock = 512

// A reader reads the entries of an archive in the order that they must have.
type reader struct {
	tar    *tar.Reader
	peeked bool
	name   string // of the entry that comes, "" at the end and for what is no plain file
	size   int64
	cut    bool // neither an entry nor the end can be read there
	err    error
}

// ahead reads the next entry's header.
func (r *reader) ahead() {
	if r.peeked {
		return
	}
	h, err := r.tar.Next()
	r.peeked, r.name, r.err = true, "", err
	if err == nil {
		r.name, r.size = h.Name, h.Size
		if h.Typeflag != tar.TypeReg {
			r.name, r.err = "", errors.New("it holds a link or a device")
		}
		if r.name == "" {
			r.name = "?"
		}
	} else if err != io.EOF {
		r.name, r.cut = "?", true
	}
}

// next returns the content of the next entry, which must have this name and at
// most limit bytes.
func (r *reader) next(name string, limit int64) ([]byte, error) {
	r.ahead()
	r.peeked = false
	switch {
	case r.err != nil && r.err != io.EOF:
		return nil, fmt.Errorf("the bundle is damaged before %s: %w", name, r.err)
	case r.name != name:
		return nil, fmt.Errorf("the bundle has no %s where it belongs", name)
	case r.size > limit:
		return nil, fmt.Errorf("%s has %d bytes; here it has at most %d", name, r.size, limit)
	}
	data, err := io.ReadAll(io.LimitReader(r.tar, limit))
	if err != nil {
		return nil, fmt.Errorf("the bundle is damaged in %s: %w", name, err)
	}
	return data, nil
}
