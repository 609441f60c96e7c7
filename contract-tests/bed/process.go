package bed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/vagus-health/vagus/broker/failpoint"
)

// A Process is one child that can be killed, stopped and started again. Its log
// (standard output and error) goes to a file that outlives its restarts. Safe for concurrent use.
type Process struct {
	Name string // for people: "agent", "worker-2"
	Log  string // file

	// Arms are the failpoints that the next child is armed with, as failpoint.Arm reads them.
	Arms string

	path string
	args []string
	env  []string
	cred *syscall.Credential

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// patience is how long a process may take to end by itself.
const patience = 40 * time.Second

// Command returns a process that runs this program, and does not start it. env is added
// to that of this process.
func Command(name, log string, env []string, path string, args ...string) *Process {
	return &Process{Name: name, Log: log, path: path, args: args, env: env}
}

// Start starts the child, which must not run.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(append(os.Environ(), p.env...), failpoint.Env+"="+p.Arms)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: p.cred}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() { _ = cmd.Wait(); close(done) }()
	return nil
}

// Kill ends the child with SIGKILL, if it runs, and waits.
func (p *Process) Kill() { _ = p.end(syscall.SIGKILL) }

// Stop ends the child with SIGTERM. It is an error if it does not end by itself, or
// says that something went wrong.
func (p *Process) Stop() error {
	if err := p.end(syscall.SIGTERM); err != nil {
		return err
	}
	if p.cmd == nil {
		return nil
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with %d after SIGTERM\n%s", p.Name, code, p.LastWords())
	}
	return nil
}

func (p *Process) end(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %v of %v", p.Name, patience, s)
	}
}

// Pause stops the child's clock (SIGSTOP) and returns when none of its threads runs any more; Resume lets it go on.
func (p *Process) Pause() error {
	if err := Halt(p.Pid()); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// Halt stops a process and returns when none of its threads runs any more.
func Halt(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); running(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("it has a thread that does not stop")
		}
	}
	return nil
}

// Resume lets the child go on after Pause.
func (p *Process) Resume() error { return syscall.Kill(p.Pid(), syscall.SIGCONT) }

// Still says whether the child stands still, as it does at a failpoint that stops it.
func (p *Process) Still() bool { return !running(p.Pid()) && !p.Ended() }

// running says whether a thread of a process is not stopped.
func running(pid int) bool {
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has just ended
		}
		after := stat[bytes.LastIndexByte(stat, ')')+1:]
		if !bytes.HasPrefix(after, []byte(" T")) && !bytes.HasPrefix(after, []byte(" Z")) {
			return true
		}
	}
	return false
}

// Pid is that of the child started last.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Started says whether the child was started, and Ended whether it has ended since.
func (p *Process) Started() bool { return p.done != nil }

// Ended says whether the child, which was started, has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// DiedAt says whether the child, which has ended, ended itself at a failpoint. Its other threads may
// have written a line after the one that says so.
func (p *Process) DiedAt(point string) bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	life := p.Logged()
	life = life[max(bytes.LastIndex(life, []byte(`"msg":"starting"`)), 0):]
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL && bytes.Contains(life, []byte(`"msg":"failpoint hit","point":"`+point+`"`))
}

// Logged returns the child's log so far, and nothing if there is none.
func (p *Process) Logged() []byte {
	log, _ := os.ReadFile(p.Log)
	return log
}

// LastWords is the end of the log, for a failure's message.
func (p *Process) LastWords() string {
	lines := bytes.Split(bytes.TrimSpace(p.Logged()), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
}
