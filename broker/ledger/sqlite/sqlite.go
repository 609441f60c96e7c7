// Package sqlite keeps a ledger in a SQLite file, for where one machine is
// enough.
//
// The file is in WAL mode and each commit is synced (synchronous=FULL), so that
// what was recorded survives a power failure. One connection writes; a few
// others read beside it. Several processes of the machine may share the file;
// it must not be on a network file system. The store's clock is the
// machine's. What is deleted is overwritten with zeros (secure_delete): bodies
// do not linger in free pages.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
)

// Config is a store's settings.
type Config struct {
	Busy    time.Duration // how long to wait for another process that writes; 0 means 10 s
	Readers int           // connections that read; 0 means 4
}

//go:embed migrations/*.sql
var files embed.FS

var dialect = relational.Dialect{
	Now:       "CAST(unixepoch('subsec') * 1000000 AS integer)",
	Anonymous: true,
	Rows:      rows,
	Within:    func(c string) string { return "CROSS JOIN units x ON x." + c + " >= d.low AND x." + c + " < d.high" },
	Bytes:     func(x string) string { return "unhex(" + x + ")" },
}

// maxValues is how many arguments a list of rows may take: SQLite allows 32766.
const maxValues = 16000

// rows lists the rows as VALUES: taking them out of JSON, which SQLite reads
// anew for each column, costs several times as much. Only what is too long goes
// that way, and what is empty, for which there is no VALUES.
func rows(t relational.Table, columns []relational.Column, bind func(any) string) string {
	var b strings.Builder
	b.WriteString("(SELECT ")
	values := t.Len() > 0 && t.Len()*len(columns) <= maxValues
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		if values {
			b.WriteString("column" + strconv.Itoa(i+1) + " AS " + c.Name)
		} else {
			b.WriteString("value ->> '" + c.Name + "' AS " + c.Name)
		}
	}
	if !values {
		b.WriteString(" FROM json_each(" + bind(t.JSON()) + "))")
		return b.String()
	}
	b.WriteString(" FROM (VALUES ")
	t.Each(columns, func(row, column int, v any) {
		switch {
		case column > 0:
			b.WriteByte(',')
		case row > 0:
			b.WriteString("),(")
		default:
			b.WriteByte('(')
		}
		b.WriteString(bind(v))
	})
	b.WriteString(")))")
	return b.String()
}

// Open opens the ledger in the file at path. Its schema must be this program's:
// Migrate sees to it. A file whose pages do not fit together is refused and left as it is. (SQLite keeps no
// checksums: what changes inside a value shows to a file system that does.)
func Open(ctx context.Context, path string, cfg Config) (ledger.Ledger, error) {
	ms, err := migrations()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open ledger %s: %w", path, relational.CheckVersion(0, ms))
	}
	d, err := open(path, cfg)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	err = whole(ctx, d.readers)
	if err == nil {
		var have int
		if have, err = version(ctx, d.writer); err == nil {
			err = relational.CheckVersion(have, ms)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, errors.Join(err, d.Close()))
	}
	return relational.New(d, dialect), nil
}

// Migrate creates the file at path, readable by its owner only, if there is
// none, brings its schema up to date, and returns the names of the migrations
// that it applied.
func Migrate(ctx context.Context, path string) (applied []string, err error) {
	ms, err := migrations()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("migrate ledger: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("migrate ledger: %w", err)
	}
	d, err := open(path, Config{})
	if err != nil {
		return nil, fmt.Errorf("migrate ledger %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	tx, err := d.writer.BeginTx(ctx, nil) // takes the write lock: one at a time
	if err != nil {
		return nil, fmt.Errorf("migrate ledger %s: %w", path, err)
	}
	defer func() { _ = tx.Rollback() }()
	have, err := version(ctx, tx)
	if err == nil && have > len(ms) {
		err = relational.CheckVersion(have, ms)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate ledger %s: %w", path, err)
	}
	for _, m := range ms[have:] {
		if _, err := tx.ExecContext(ctx, m.SQL+"; PRAGMA user_version = "+strconv.Itoa(m.Version)); err != nil {
			return nil, fmt.Errorf("migrate ledger %s: %s: %w", path, m.Name, err)
		}
		relational.AtMigrated.Hit()
		applied = append(applied, m.Name)
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("migrate ledger %s: %w", path, err)
	}
	return applied, nil
}

func migrations() ([]relational.Migration, error) {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	return relational.Migrations(dir)
}

// version reads the schema's version from where SQLite keeps a number for that.
func version(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (n int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&n)
	return n, err
}

// whole reads all pages: a ledger that forgets what was applied has it applied
// again. It takes a second for about a gigabyte that the system has in its cache.
func whole(ctx context.Context, q *sql.DB) error {
	said := ""
	err := q.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && said == "ok":
		return nil
	case err != nil:
		said = err.Error()
	}
	return fmt.Errorf("the file is damaged (%.200s): nothing was changed. Check the disk; then put a copy of the file, with that of its -wal, back, or write what is left into a new one: sqlite3 DAMAGED .recover | sqlite3 NEW", strings.Join(strings.Fields(strings.TrimPrefix(said, "*** in database main ***")), " "))
}

func open(path string, cfg Config) (*db, error) {
	busy, readers := cfg.Busy, cfg.Readers
	if busy <= 0 {
		busy = 10 * time.Second
	}
	if readers <= 0 {
		readers = 4
	}
	connect := func(settings ...string) (*sql.DB, error) {
		settings = append([]string{"busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")"}, settings...)
		v := url.Values{"_pragma": settings, "_txlock": {"immediate"}}
		return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+v.Encode())
	}
	w, err := connect("journal_mode(WAL)", "synchronous(FULL)", "secure_delete(1)")
	if err != nil {
		return nil, err
	}
	w.SetMaxOpenConns(1)
	r, err := connect("query_only(1)")
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers)
	return &db{writer: w, readers: r}, nil
}
