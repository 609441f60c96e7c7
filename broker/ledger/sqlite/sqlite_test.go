package sqlite_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/ledgertest"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
)

func open(t *testing.T) ledger.Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestLedger(t *testing.T) { ledgertest.Run(t, open) }

func TestASchemaThatIsNotThisProgramsIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new dir", "ledger?#.db") // no character of it means anything
	refused := func(want string) {
		t.Helper()
		if l, err := sqlite.Open(t.Context(), path, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v, %v, want %q", l, err, want)
		}
	}
	refused("run `vagus ledger migrate -c worker.yaml`")
	for _, want := range []int{4, 0} {
		if names, err := sqlite.Migrate(t.Context(), path); err != nil || len(names) != want {
			t.Fatalf("migrate: %v, %v, want %d", names, err, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	for version, want := range map[int]string{0: "run `vagus ledger migrate -c worker.yaml`", 99: "newer than this program"} {
		raw, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Exec(fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
			t.Fatal(err)
		}
		if err := raw.Close(); err != nil {
			t.Fatal(err)
		}
		refused(want)
	}
}

func TestWhatIsRecordedIsThereWhenTheFileIsOpenedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	var tokens []int64
	for range 2 {
		l, err := sqlite.Open(t.Context(), path, sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		held, _, err := l.Lease(t.Context(), "odoo", "w", time.Hour)
		if err != nil || len(held) == 0 {
			t.Fatal(err)
		}
		tokens = append(tokens, held[0].Token)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if tokens[0] != tokens[1] {
		t.Errorf("tokens %v", tokens)
	}
}
