package bed

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vagus-health/vagus/broker/ledger/pgtest"
)

// A Postgres is a server of one's own that can be killed: it syncs, keeps its data in one
// directory and is reached through a Unix socket only.
type Postgres struct {
	*Process
	DSN string
	bin string
	dir string
}

// NewPostgres makes a cluster in a directory that exists and is empty, and starts it.
func NewPostgres(dir string) (*Postgres, error) {
	bin, err := pgtest.Binaries()
	if err != nil {
		return nil, err
	}
	cred, err := pgtest.Owner(dir)
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "vagus-bed-pg-") // its path must be short
	if err != nil {
		return nil, err
	}
	if _, err := pgtest.Owner(sockets); err != nil {
		return nil, err
	}
	for d := filepath.Dir(dir); d != "/" && d != "/tmp"; d = filepath.Dir(d) { // its user must come by
		if err := os.Chmod(d, 0o711); err != nil {
			break
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "vagus", "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums")
	initdb.Dir, initdb.SysProcAttr = "/", &syscall.SysProcAttr{Credential: cred}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	p := &Postgres{
		Process: Command("postgres", sockets+"/log", nil, filepath.Join(bin, "postgres"), "-D", data, "-k", sockets, "-c", "listen_addresses=", "-c", "max_connections=60"),
		DSN:     "postgres://vagus@/postgres?host=" + url.QueryEscape(sockets),
		bin:     bin, dir: dir,
	}
	p.cred = cred
	return p, p.Start()
}

// Start starts the server and returns when it takes connections.
func (p *Postgres) Start() error {
	if err := p.Process.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if pid, _ := os.ReadFile(filepath.Join(p.dir, "data", "postmaster.pid")); bytes.HasPrefix(pid, []byte(strconv.Itoa(p.Pid())+"\n")) && bytes.Contains(pid, []byte("ready")) {
			return nil
		}
		if p.Ended() || time.Now().After(deadline) {
			return fmt.Errorf("postgres does not start: %s", p.LastWords())
		}
	}
}

// Kill ends the server and all that it started with SIGKILL.
func (p *Postgres) Kill() {
	if !p.Started() || p.Ended() {
		return
	}
	pids := p.family()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	p.Process.Kill()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		alive := false
		for _, pid := range pids {
			alive = alive || syscall.Kill(pid, 0) == nil
		}
		if !alive {
			return
		}
	}
}

// Pause stops the server and all that it started.
func (p *Postgres) Pause() error {
	for _, pid := range p.family() {
		if err := Halt(pid); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop postgres: %w", err)
		}
	}
	return nil
}

// Resume lets them go on.
func (p *Postgres) Resume() error {
	for _, pid := range p.family() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("let postgres go on: %w", err)
		}
	}
	return nil
}

// family are the server and its children.
func (p *Postgres) family() []int {
	pids, parent := []int{p.Pid()}, strconv.Itoa(p.Pid())
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		stat, err := os.ReadFile(f)
		if err != nil {
			continue // it has just ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == parent {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// Close ends the server and removes its sockets; its data stays.
func (p *Postgres) Close() {
	p.Kill()
	_ = os.RemoveAll(filepath.Dir(p.Log))
}
