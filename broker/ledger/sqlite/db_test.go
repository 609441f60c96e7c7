package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
)

func TestATransactionThatFailsLeavesNothingBehindAndTheNextOneGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	d, err := open(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	add := relational.Statement{SQL: "INSERT INTO workers VALUES ('t', 'w', 1)"}
	broken := errors.New("broken")
	for name, f := range map[string]func(tx relational.Tx) ([]relational.Statement, error){
		"its function fails": func(tx relational.Tx) ([]relational.Statement, error) {
			return nil, errors.Join(tx.Run(t.Context(), add), broken)
		},
		"its last statement fails": func(relational.Tx) ([]relational.Statement, error) {
			return []relational.Statement{add, {SQL: "INSERT INTO nosuchtable VALUES (1)"}}, nil
		},
	} {
		if err := d.Write(t.Context(), f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	n := -1
	if err := d.readers.QueryRow("SELECT count(*) FROM workers").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := d.Write(t.Context(), func(relational.Tx) ([]relational.Statement, error) { return []relational.Statement{add}, nil }); err != nil {
		t.Error(err)
	}
	if _, err := d.readers.Exec("DELETE FROM workers"); err == nil {
		t.Error("a reader wrote")
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1"} {
		var is string
		if err := d.writer.QueryRow("PRAGMA " + pragma).Scan(&is); err != nil || is != want {
			t.Errorf("%s is %q, %v", pragma, is, err)
		}
	}
}

func TestAFileWithADamagedPageIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"another kind of page": func(b []byte) []byte { b[len(b)/2/4096*4096] ^= 0x40; return b },
		"the end is missing":   func(b []byte) []byte { return b[:len(b)-4096*2] },
		"the first page":       func(b []byte) []byte { b[100] ^= 0x40; return b },
		"no database at all":   func(b []byte) []byte { b[0] = 'x'; return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data = damage(data)
			broken := filepath.Join(t.TempDir(), "ledger.db")
			if err := os.WriteFile(broken, data, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(t.Context(), broken, Config{})
			if err == nil {
				_ = l.Close()
				t.Fatal("it is opened")
			}
			for _, want := range []string{broken, "the file is damaged (", "nothing was changed", "put a copy of the file", ".recover"} {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("the error does not say %q in one line: %v", want, err)
				}
			}
			if after, err := os.ReadFile(broken); err != nil || !bytes.Equal(after, data) {
				t.Errorf("the file has changed: %v", err)
			}
		})
	}
}
