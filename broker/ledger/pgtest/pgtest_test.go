package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestEachTestHasItsOwnDatabaseOnAServerThatSyncs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for range 2 {
		conn, err := pgx.Connect(ctx, Database(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, "CREATE TABLE mine (n int)"); err != nil {
			t.Error(err)
		}
		for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			var is string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&is); err != nil || is != "on" {
				t.Errorf("%s is %q (%v), want on", setting, is, err)
			}
		}
	}
}
