package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// save writes a state as JSON, so that after a power failure the file is the
// old or the new one.
func save(path string, state any) error {
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("remember where it stands: %w", err)
	}
	err = func() error {
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		if _, err := f.Write(data); err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	}()
	if err != nil {
		return fmt.Errorf("remember where it stands: %w", err)
	}
	return nil
}

// load reads a state. Without a file it is left as it is; a damaged one is an
// error, and what was read of it is to be thrown away.
func load(path string, state any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, state)
	}
	if err != nil {
		return fmt.Errorf("%s: it is damaged: everything is read again, and what was stored before is known again", path)
	}
	return nil
}
