package journal

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A register is the store's own note, journal.json, of what was provisioned. It is read before
// the server starts: a server with a wrong key, or without some files, starts
// as if the streams had never been, and creating them then destroys them.
type register struct {
	Version int               `json:"version"`
	Created time.Time         `json:"created"`
	Cipher  string            `json:"cipher"`          // "none" or "aes"
	Salt    []byte            `json:"salt,omitempty"`  // of Check
	Check   []byte            `json:"check,omitempty"` // tells the right key from a wrong one
	Feeds   map[string]string `json:"feeds"`           // name to "creating" or "ready"

	path string
}

const (
	creating = "creating" // nothing was acknowledged yet, so the stream may be created again
	ready    = "ready"
)

// openRegister reads the register in cfg.Dir, or makes it if the directory was
// never used, and checks the key and the list of feeds against it.
func openRegister(cfg Config) (*register, error) {
	r := &register{path: filepath.Join(cfg.Dir, "journal.json")}
	b, err := os.ReadFile(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(storeDir(cfg.Dir)); err == nil {
			return nil, fmt.Errorf("%s has a store and no journal.json: put that file back from where the directory was copied, or move the store away to begin an empty journal", cfg.Dir)
		}
		r.Version, r.Created, r.Cipher, r.Feeds = 1, time.Now().UTC(), "none", map[string]string{}
		if !cfg.Key.IsZero() {
			r.Cipher, r.Salt = "aes", make([]byte, 16)
			_, _ = rand.Read(r.Salt) // never fails: crypto/rand
			if r.Check, err = keyCheck(cfg, r.Salt); err != nil {
				return nil, err
			}
		}
		cfg.Provision = true
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, r); err != nil || r.Version != 1 || r.Feeds == nil {
			return nil, fmt.Errorf("%s is damaged or of a newer version: put it back from a backup or run the version that wrote it", r.path)
		}
	}
	if err := r.checkKey(cfg); err != nil {
		return nil, err
	}
	changed := false
	for _, f := range cfg.Feeds {
		if r.Feeds[f.Name] != "" {
			continue
		}
		if !cfg.Provision {
			return nil, fmt.Errorf("feed %s is new to the store in %s: start once with journal: { provision: true } to create its stream", f.Name, cfg.Dir)
		}
		r.Feeds[f.Name], changed = creating, true
	}
	if !changed {
		return r, nil
	}
	return r, r.save()
}

// created says whether a feed's stream may still have to be created.
func (r *register) mayCreate(feed string) bool { return r.Feeds[feed] == creating }

// provisioned notes that all streams are there.
func (r *register) provisioned() error {
	changed := false
	for feed, state := range r.Feeds {
		if state == creating {
			r.Feeds[feed], changed = ready, true
		}
	}
	if !changed {
		return nil
	}
	return r.save()
}

func (r *register) save() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(r.path, append(b, '\n'))
}

func (r *register) checkKey(cfg Config) error {
	switch {
	case r.Cipher == "none" && cfg.Key.IsZero():
		return nil
	case r.Cipher == "none":
		return fmt.Errorf("the store in %s is not encrypted and a key is configured: take the key out, or begin an encrypted journal in an empty directory", cfg.Dir)
	case cfg.Key.IsZero():
		return fmt.Errorf("the store in %s is encrypted: configure its key", cfg.Dir)
	}
	check, err := keyCheck(cfg, r.Salt)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(check, r.Check) != 1 {
		return fmt.Errorf("the configured key is not the one that the store in %s was made with: configure that one; nothing was changed", cfg.Dir)
	}
	return nil
}

// keyCheck derives what tells a key, slowly, so that the file is no help in
// guessing one.
func keyCheck(cfg Config, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, cfg.Key.Reveal(), salt, 100_000, 16)
}
