package hub

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
)

// makeDir makes dir with these files at once: others see all of them or none,
// and of two processes that make it, one wins and both go on with its files.
// It reports whether this call made it.
func makeDir(dir string, files map[string][]byte) (bool, error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return false, err
	}
	tmp, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	for name, data := range files {
		if err := writeSynced(filepath.Join(tmp, name), data); err != nil {
			return false, err
		}
	}
	if err := syncDir(tmp); err != nil {
		return false, err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, serr := os.Stat(dir); serr == nil {
			return false, syncDir(parent)
		}
		return false, err
	}
	return true, syncDir(parent)
}

// replaceFile writes a file so that a reader, or a power failure, meets the
// old one or the new one, whole, whoever else writes it at the same time.
func replaceFile(path string, data []byte) error {
	return putFile(path, data, os.Rename)
}

// makeFile writes a file that is not there. Of several processes that do so, one
// wins; for the others, too, there is a file when it returns, whole and on stable storage.
func makeFile(path string, data []byte) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	err := putFile(path, data, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return syncDir(filepath.Dir(path))
	}
	return err
}

// putFile writes a file aside, under a name of its own, and has put bring it to its place.
func putFile(path string, data []byte, put func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := writeAll(f, data); err != nil {
		return err
	}
	if err := put(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// writeSynced writes a file that only its owner reads: nearly all are keys.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return writeAll(f, data)
}

// writeAll is all that is written to a file, which it closes.
func writeAll(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some systems can not sync a directory; there a rename is as safe as it gets.
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// newSeed returns a new nkey: its seed, to keep secret, and its public key.
func newSeed() (seed []byte, public string, err error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", err
	}
	defer kp.Wipe()
	if seed, err = kp.Seed(); err != nil {
		return nil, "", err
	}
	seed = bytes.Clone(seed) // Wipe wipes what Seed returns
	public, err = kp.PublicKey()
	return seed, public, err
}

// readPublic returns the public key of the seed in a file.
func readPublic(path string) (string, error) {
	seed, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	kp, err := nkeys.FromSeed(seed)
	clear(seed)
	if err != nil {
		return "", fmt.Errorf("%s holds no nkey seed", path)
	}
	defer kp.Wipe()
	return kp.PublicKey()
}

// newSecret returns 32 random bytes as text.
func newSecret() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return []byte(base64.RawURLEncoding.EncodeToString(b))
}
