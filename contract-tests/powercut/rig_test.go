package powercut

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// possible says whether the rig works here. Where it does not, CI fails, and
// elsewhere the run says so on stderr.
func possible(t *testing.T) bool {
	t.Helper()
	reason := bed.Disks()
	if reason == nil {
		return true
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("power cut: needs root and a loop device: %v", reason)
	}
	fmt.Fprintln(os.Stderr, "power cut: NOT RUN: needs root and a loop device:", reason)
	return false
}

func newDisk(t *testing.T, size string) *bed.Disk {
	t.Helper()
	d, err := bed.NewDisk(filepath.Join(t.TempDir(), "mnt"), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Down(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// cutUnderLoad starts this binary again as a child with env, lets it run for a
// while after its first line, cuts the power and returns the lines that it had
// printed. The disk is mounted again.
func cutUnderLoad(t *testing.T, d *bed.Disk, load time.Duration, env ...string) []string {
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
	for _, step := range []func() error{func() error { return bed.Halt(cmd.Process.Pid) }, d.Cut, cmd.Process.Kill} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	<-ended
	_ = cmd.Wait()
	for _, step := range []func() error{d.Down, d.Up} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}
