package folder

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// Bounds of an archive. Tables and claims pack 5 to 50 times; what a bomb packs is a
// thousand times and more.
const (
	maxParts  = 1000
	maxRatio  = 250
	smallFile = 1 << 20 // below this the ratio does not matter
)

var errTooLarge = errors.New("it is too large")

// A part is a file, or one of an archive's.
type part struct {
	name  string // without folders
	place string // in its archive: "entry 3"
	body  []byte
}

// unpack returns what is in a .zip or a .gz, or the file itself. Errors are
// *broker.RejectError. limit bounds the bytes of all parts.
func unpack(name string, body []byte, limit int64, wanted func(string) bool) ([]part, error) {
	switch ext := path.Ext(name); strings.ToLower(ext) {
	case ".zip":
		return unzip(body, limit, wanted)
	case ".gz":
		return gunzip(strings.TrimSuffix(name, ext), body, limit, wanted)
	}
	return []part{{name: name, body: body}}, nil
}

func archiveFault(format string, args ...any) error {
	return &broker.RejectError{Code: "file.archive", Err: fmt.Errorf(format, args...)}
}

func packed(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst":
		return true
	}
	return false
}

// bound returns how many bytes may come of so many that are packed.
func bound(packed, limit int64) int64 { return min(limit, max(smallFile, packed*maxRatio)) }

// gunzip unpacks the one file of a .gz. Its name is the archive's without the extension: the one in its header
// is of a machine that nobody here knows.
func gunzip(name string, body []byte, limit int64, wanted func(string) bool) ([]part, error) {
	if packed(name) {
		return nil, archiveFault("an archive in an archive")
	}
	if err := checkName(name); err != nil {
		return nil, archiveFault("without .gz %w", err)
	}
	if !wanted(name) {
		return nil, archiveFault("its name without .gz matches none of names: the file in it needs a pattern, too")
	}
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, archiveFault("it is no gzip: %w", err)
	}
	out, err := readAll(r, 0, bound(int64(len(body)), limit))
	if errors.Is(err, errTooLarge) {
		return nil, archiveFault("it unpacks to over max_bytes, or to over %d times its size", maxRatio)
	} else if err != nil {
		return nil, archiveFault("it is no sound gzip: %w", err)
	}
	return []part{{name: name, body: out}}, nil
}

func unzip(body []byte, limit int64, wanted func(string) bool) ([]part, error) {
	// The directory is read whole before it is known how long it is.
	if bytes.Count(body, []byte("PK\x01\x02")) > 2*maxParts {
		return nil, archiveFault("over %d files", maxParts)
	}
	r, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, archiveFault("it is no zip: %w", err)
	}
	if len(r.File) > maxParts {
		return nil, archiveFault("over %d files", maxParts)
	}
	var parts []part
	seen := map[string]bool{}
	left := bound(int64(len(body)), limit)
	for i, f := range r.File {
		place := fmt.Sprintf("entry %d", i+1)
		name, err := entryName(f)
		if err != nil {
			return nil, archiveFault("%s: %w", place, err)
		}
		if name == "" {
			continue
		}
		switch {
		case seen[name]:
			return nil, archiveFault("%s: another entry has the same name", place)
		case packed(name):
			return nil, archiveFault("%s: an archive in an archive", place)
		case !wanted(name):
			return nil, archiveFault("%s: its name matches none of names", place)
		}
		seen[name] = true
		out, err := readEntry(f, left)
		if errors.Is(err, errTooLarge) {
			return nil, archiveFault("%s: the archive unpacks to over max_bytes, or to over %d times its size", place, maxRatio)
		} else if err != nil {
			return nil, archiveFault("%s: %w", place, err)
		}
		left -= int64(len(out))
		parts = append(parts, part{name: name, place: place, body: out})
	}
	if len(parts) == 0 {
		return nil, archiveFault("there is no file in it")
	}
	return parts, nil
}

// entryName returns the name of an entry without folders, or "" of a folder and of
// what a desktop adds.
func entryName(f *zip.File) (string, error) {
	full := strings.TrimSuffix(f.Name, "/")
	steps := strings.Split(full, "/")
	for _, step := range steps {
		if err := checkName(step); err != nil { // "" and ".." among others
			return "", fmt.Errorf("its path leads out of the archive, or is none: %w", err)
		}
	}
	name := steps[len(steps)-1]
	switch {
	case strings.HasSuffix(f.Name, "/"), strings.HasPrefix(name, "."), steps[0] == "__MACOSX":
		return "", nil
	case !f.Mode().IsRegular():
		return "", errors.New("it is no regular file")
	case f.Flags&1 != 0:
		return "", errors.New("it is encrypted")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return "", fmt.Errorf("it is packed by method %d; store and deflate are known", f.Method)
	}
	return name, nil
}

func readEntry(f *zip.File, limit int64) ([]byte, error) {
	if f.UncompressedSize64 > uint64(limit) {
		return nil, errTooLarge
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := readAll(io.Reader(r), int64(f.UncompressedSize64), limit)
	return body, err
}
