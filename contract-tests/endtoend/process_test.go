package endtoend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is one child. Its standard error, the log, goes to a file that
// outlives its restarts.
type process struct {
	t          testing.TB
	role, conf string
	log        string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

func newProcess(t testing.TB, role, conf string) *process {
	p := &process{t: t, role: role, conf: conf, log: conf + ".log"}
	t.Cleanup(func() { p.kill(); p.races() })
	return p
}

// start starts the child; it may be running no more than once.
func (p *process) start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), childRole+"="+p.role, childConfig+"="+p.conf, "GORACE=exitcode=0")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	p.done = done
	go func(c *exec.Cmd) { _ = c.Wait(); close(done) }(p.cmd)
}

// kill ends the child with SIGKILL, if it runs, and waits.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// stop ends the child with SIGTERM and checks that it ends by itself.
func (p *process) stop() {
	p.t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with %d after SIGTERM and %v\n%s", p.role, code, time.Since(began), tail(p.logged()))
	}
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not end within 40 s of %v", p.role, s)
	}
}

// pause stops the child's clock (SIGSTOP); resume lets it go on.
func (p *process) pause()  { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// accesses finds the two accesses of a report and who made each: the first frame
// that is none of the standard library (sync/atomic, reflect, the runtime for a
// map): the first element of its path has no dot.
var accesses = regexp.MustCompile(`(?m)^(?:Write|Read|Previous write|Previous read) at .*\n(?: +[a-z0-9/]+\.[^/\n]*\n.*\n)* +(\S+)`)

// counts says whether a report is of a race that is not made by the embedded
// nats-server's own code alone.
func counts(report []byte) bool {
	theirs := 0
	for _, access := range accesses.FindAllSubmatch(report, -1) {
		if bytes.HasPrefix(access[1], []byte("github.com/nats-io/nats-server/")) {
			theirs++
		}
	}
	return theirs < 2
}

// races looks for what the race detector reported into the child's log. One
// that does not count is logged.
func (p *process) races() {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return // it was never started
	}
	for _, report := range bytes.Split(log, []byte("WARNING: DATA RACE"))[1:] {
		report, _, _ = bytes.Cut(report, []byte("=================="))
		if counts(report) {
			p.t.Errorf("data race in %s:%s", p.role, report)
		} else {
			p.t.Logf("data race within nats-server, in %s:%s", p.role, report)
		}
	}
}

// logged returns the child's log so far.
func (p *process) logged() []byte {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// tail is the end of a log, for a failure's message.
func tail(log []byte) string {
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
