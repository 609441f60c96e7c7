package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A memory is what a keeper knows beyond its end, below the site's data
// directory: the newest version of every bundle that was in force, and a copy
// of the files of the set that is. Files are replaced whole and synced.
type memory struct{ dir string }

const (
	versionsName = "versions.json"
	copyName     = "last-good.vmb"
)

// A known is the newest version of a bundle.
type known struct {
	Version int    `json:"version"`
	Digest  string `json:"digest"`
}

func (m memory) versions() (map[string]known, error) {
	out := map[string]known{}
	data, err := readBounded(filepath.Join(m.dir, versionsName), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		// To go on as if nothing were known would let an old bundle in.
		return nil, fmt.Errorf("read the versions of bundles that were in force: %w", err)
	}
	return out, nil
}

// newer says why bundles are not to be taken after those that were.
func newer(known map[string]known, ms []*Manifest) error {
	for _, b := range ms {
		was, ok := known[b.Name]
		switch {
		case ok && b.Version < was.Version:
			return fmt.Errorf("version %d of bundle %s is older than %d, which was in force: to go back, sign the older files as version %d", b.Version, b.Name, was.Version, was.Version+1)
		case ok && b.Version == was.Version && b.Digest != was.Digest:
			return fmt.Errorf("version %d of bundle %s was in force with other content: give it a higher version", b.Version, b.Name)
		}
	}
	return nil
}

// remember notes that bundles come into force, and keeps the set's files.
func (m memory) remember(versions map[string]known, ms []*Manifest, files Files) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	for _, b := range ms {
		versions[b.Name] = known{b.Version, b.Digest}
	}
	if len(versions) > 0 {
		data, err := json.Marshal(versions)
		if err != nil {
			return err
		}
		if err := replace(filepath.Join(m.dir, versionsName), data); err != nil {
			return err
		}
	}
	if len(files) == 0 { // all of them came with Vagus
		return m.forget()
	}
	data, err := Pack(files, Manifest{Name: "last-good", Version: 1, Created: time.Now()}, nil)
	if err != nil {
		return fmt.Errorf("keep a copy: %w", err)
	}
	return replace(filepath.Join(m.dir, copyName), data)
}

func (m memory) forget() error {
	err := os.Remove(filepath.Join(m.dir, copyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lastGood is the copy of the set that was last in force.
func (m memory) lastGood() (Files, error) {
	data, err := readBounded(filepath.Join(m.dir, copyName), maxTotal)
	if err != nil {
		return nil, err
	}
	_, files, err := Unpack(data, nil)
	return files, err
}

func readBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", file, limit)
	}
	return data, err
}

// replace writes a file so that after a crash it is the old one or the new one.
func replace(file string, data []byte) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
