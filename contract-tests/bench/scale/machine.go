package scale

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// describe tells what is measured on: nothing that would name the machine.
func describe(ctx context.Context, dir string) (m page.Machine, commit string, err error) {
	m = page.Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown processor", System: runtime.GOOS + "/" + runtime.GOARCH}
	if v := after("/proc/cpuinfo", "model name"); v != "" {
		m.CPU = strings.TrimSpace(strings.TrimLeft(v, " \t:"))
	}
	if v := strings.Fields(after("/proc/meminfo", "MemTotal:")); len(v) > 0 {
		kb, _ := strconv.ParseFloat(v[0], 64)
		m.MemoryGB = math.Round(kb / (1 << 20))
	}
	if v := after("/etc/os-release", "PRETTY_NAME="); v != "" {
		m.System = strings.Trim(v, `"`) + ", " + m.System
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(release))
	m.Disk = fileSystem(dir)
	if m.Fsyncs, err = fsyncs(dir); err != nil {
		return m, "", err
	}
	if bin, err := pgtest.Binaries(); err == nil {
		out, _ := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
		if f := strings.Fields(string(out)); len(f) > 2 {
			m.PostgreSQL = f[2]
		}
	}
	busy, total := processor()
	time.Sleep(time.Second)
	busy2, total2 := processor()
	if total2 > total {
		m.Load = math.Round(float64(m.Cores)*100*(busy2-busy)/(total2-total)) / 100
	}
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return m, "", errors.New("git does not tell which commit this is: run this in the project's directory")
	}
	commit = strings.TrimSpace(string(out))
	if out, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "-uno").Output(); err != nil || len(out) > 0 {
		commit += " with changes"
	}
	return m, commit, nil
}

// after is what follows a word at the beginning of a line of a file.
func after(file, word string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// processor is how long all cores were busy, and how long they were there, in ticks.
func processor() (busy, total float64) {
	for i, f := range strings.Fields(after("/proc/stat", "cpu ")) {
		v, _ := strconv.ParseFloat(f, 64)
		if i < 8 { // guests are in the first ones
			total += v
		}
		if i != 3 && i != 4 && i < 8 { // idle, waiting for the disk
			busy += v
		}
	}
	return busy, total
}

func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	if name := map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs (no disk)", 0x794c7630: "overlay", 0x2fc12fc1: "zfs"}[int64(s.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

// fsyncs is how often a second one writer can append 4 KB and have them on the disk.
func fsyncs(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	block, began, n := make([]byte, 4096), time.Now(), 0
	for time.Since(began) < time.Second {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return math.Round(float64(n) / time.Since(began).Seconds()), nil
}
