package powercut

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// possible says whether the rig works here. Where it does not, CI fails, and
// elsewhere the run says so on stderr.
func possible(t *testing.T) bool {
	t.Helper()
	reason := ""
	switch _, err := exec.LookPath("mkfs.ext4"); {
	case os.Geteuid() != 0:
		reason = "not root"
	case err != nil:
		reason = "no mkfs.ext4"
	default:
		if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
			reason = "losetup: " + string(bytes.TrimSpace(out))
		}
	}
	if reason == "" {
		return true
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("power cut: needs root and a loop device: %s", reason)
	}
	fmt.Fprintln(os.Stderr, "power cut: NOT RUN: needs root and a loop device:", reason)
	return false
}

// A disk is an ext4 file system in an image.
type disk struct {
	t            *testing.T
	image, mount string
	mounted      bool
}

func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	dir := t.TempDir()
	d := &disk{t: t, image: filepath.Join(dir, "image"), mount: filepath.Join(dir, "mnt")}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "truncate", "-s", size, d.image)
	run(t, "mkfs.ext4", "-q", "-F", d.image)
	d.up()
	t.Cleanup(func() {
		if d.mounted {
			d.down()
		}
	})
	return d
}

func (d *disk) up() {
	d.t.Helper()
	run(d.t, "mount", "-o", "loop", d.image, d.mount)
	d.mounted = true
}

func (d *disk) down() {
	d.t.Helper()
	run(d.t, "umount", d.mount)
	d.mounted = false
}

// cut fails the power: all that is not on the image now never will be.
func (d *disk) cut() {
	d.t.Helper()
	const shutdown, noLogFlush = 0x8004587d, uint32(2)
	f, err := os.Open(d.mount)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	flag := noLogFlush
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		d.t.Fatalf("EXT4_IOC_SHUTDOWN: %v", errno)
	}
	runtime.KeepAlive(&flag)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// halt stops a process and returns when none of its threads runs any more.
func halt(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for running := true; running; {
		if time.Now().After(deadline) {
			t.Fatal("the child does not stop")
		}
		running = false
		threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
		if err != nil || len(threads) == 0 {
			t.Fatalf("the child is gone: %v", err)
		}
		for _, path := range threads {
			stat, err := os.ReadFile(path)
			if err != nil {
				continue // a thread that has just ended
			}
			after := stat[bytes.LastIndexByte(stat, ')')+1:]
			running = running || !bytes.HasPrefix(after, []byte(" T"))
		}
	}
}

// cutUnderLoad starts this binary again as a child with env, lets it run for a
// while after its first line, cuts the power and returns the lines that it had
// printed. The disk is mounted again.
func cutUnderLoad(t *testing.T, d *disk, load time.Duration, env ...string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, ended := make(chan struct{}), make(chan struct{})
	var lines []string
	go func() {
		defer close(ended)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if lines = append(lines, sc.Text()); len(lines) == 1 {
				close(first)
			}
		}
	}()
	select {
	case <-first:
	case <-ended:
		_ = cmd.Wait()
		t.Fatal("the child ended by itself")
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("the child acknowledged nothing")
	}
	<-time.After(load)
	halt(t, cmd.Process.Pid)
	d.cut()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	_ = cmd.Wait()
	d.down()
	d.up()
	return lines
}
