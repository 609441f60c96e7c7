package relational

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Migration is one step of a schema. They are applied in their order, each
// in one transaction together with its number.
type Migration struct {
	Version int // from 1
	Name    string
	SQL     string
}

// Migrations reads the .sql files of a directory: 0001_what.sql, 0002_….
func Migrations(dir fs.FS) ([]Migration, error) {
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var ms []Migration
	for i, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		var n int
		if _, err := fmt.Sscanf(name, "%04d_", &n); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s is not number %d", name, i+1)
		}
		ms = append(ms, Migration{n, strings.TrimSuffix(name, ".sql"), string(text)})
	}
	return ms, nil
}

// ErrSchema says that the database's schema is not the one that this program
// works with.
var ErrSchema = errors.New("the ledger's schema is not this program's")

// CheckVersion says whether a program that knows these migrations may work
// with a database at version have, and if not, what to do.
func CheckVersion(have int, ms []Migration) error {
	switch want := len(ms); {
	case have < want:
		return fmt.Errorf("%w: it is at version %d and has to be at %d: run `vagus ledger migrate -c worker.yaml`", ErrSchema, have, want)
	case have > want:
		return fmt.Errorf("%w: it is at version %d, newer than this program, which knows %d: install the version of vagus that migrated it, or a later one",
			ErrSchema, have, want)
	}
	return nil
}
