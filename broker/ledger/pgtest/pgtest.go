// Package pgtest gives tests a real PostgreSQL.
//
// The server is the one that VAGUS_TEST_POSTGRES (a DSN of a user who may
// create databases) names, or else a private one, started from the machine's
// binaries on first use: data in a temporary directory, fsync on, reachable
// through a Unix socket only, shared by all tests of the test binary. It is
// stopped and removed when the test binary ends, however it ends.
package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database creates an empty database for this test and returns its DSN. The
// database is dropped when the test ends. Where there is no PostgreSQL the
// test fails.
func Database(t testing.TB) string {
	t.Helper()
	admin, err := server()
	if err != nil {
		t.Fatalf("these tests need PostgreSQL 13 or newer: %v\n"+
			"fix: apt-get install postgresql (or `make test`, which does), or set VAGUS_TEST_POSTGRES to a DSN whose user may create databases", err)
	}
	name := "vagus_test_" + strings.ToLower(rand.Text())
	execute(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	if u, err := url.Parse(admin); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		u.Path = "/" + name
		return u.String()
	}
	return admin + " dbname=" + name // the last one counts
}

func execute(t testing.TB, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("PostgreSQL for tests: %s: %v", sql, err)
	}
}

// server returns the DSN of the server that all tests of this binary share.
var server = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv("VAGUS_TEST_POSTGRES"); dsn != "" {
		return dsn, nil
	}
	bin, err := Binaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "vagus-pg-")
	if err != nil {
		return "", err
	}
	if err := start(bin, dir); err != nil {
		return "", err
	}
	return "postgres://vagus@/postgres?host=" + url.QueryEscape(dir), nil
})

// Binaries returns the directory of the newest initdb and postgres.
func Binaries() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int {
		version := func(dir string) int { n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))); return n }
		return version(b) - version(a)
	})
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, dir := range dirs {
		_, err1 := os.Stat(filepath.Join(dir, "initdb"))
		_, err2 := os.Stat(filepath.Join(dir, "postgres"))
		if err1 == nil && err2 == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no initdb and postgres in /usr/lib/postgresql/*/bin or where pg_config says")
}

// keeper holds the write end of the server's life line open until this
// process ends.
var keeper *os.File

// start makes a cluster in dir and waits until it answers. A shell that reads
// from a pipe of ours looks after it: the pipe ends when this process does,
// even by a kill, and then the shell stops the server and removes dir.
func start(bin, dir string) error {
	cred, err := Owner(dir)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	var said bytes.Buffer
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "vagus", "-A", "trust", "-E", "UTF8", "--locale=C")
	initdb.Dir, initdb.Stdout, initdb.Stderr, initdb.SysProcAttr = dir, &said, &said, &syscall.SysProcAttr{Credential: cred}
	if err := initdb.Run(); err != nil {
		_ = os.RemoveAll(dir)
		return fmt.Errorf("initdb: %w: %s", err, said.Bytes())
	}
	life, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = life.Close() }()
	keeper = hold
	runtime.KeepAlive(keeper)
	shell := exec.Command("/bin/sh", "-c", `trap '' INT TERM HUP
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c max_connections=200 </dev/null >"$2/log" 2>&1 &
read -r _; kill -INT $!; wait $!; rm -rf "$2"/*; rmdir "$2"`, "sh", bin, dir)
	// Its own session: Ctrl-C at the terminal must reach the server through us.
	shell.Dir, shell.Stdin, shell.SysProcAttr = "/", life, &syscall.SysProcAttr{Credential: cred, Setsid: true}
	if err := shell.Start(); err != nil {
		return err
	}
	// postmaster.pid says "ready" when the server takes connections.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if pid, _ := os.ReadFile(filepath.Join(data, "postmaster.pid")); bytes.Contains(pid, []byte("ready")) {
			return nil
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("%s/postgres does not start: %s", bin, log)
		}
	}
}

// Owner gives dir to the user the server is to run as. PostgreSQL refuses to
// run as root; then it is the user postgres.
func Owner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("user postgres has ids %q:%q", u.Uid, u.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}
