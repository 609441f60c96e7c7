package scale

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// processorTime is what a process has used, in seconds, its children that ended included.
func processorTime(pid int) float64 {
	f := stat(pid)
	if len(f) < 15 {
		return 0
	}
	sum := 0.0
	for _, s := range f[11:15] {
		v, _ := strconv.ParseFloat(s, 64)
		sum += v / 100 // USER_HZ is 100 on every Linux that Go runs on
	}
	return sum
}

// stat returns the fields of /proc/<pid>/stat after the command's name: state is the first.
func stat(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil // it has just ended
	}
	return strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
}

// serverTime is what a PostgreSQL has used, all its processes together.
func serverTime(p *bed.Postgres) float64 {
	sum, parent := processorTime(p.Pid()), strconv.Itoa(p.Pid())
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if s := stat(pid); len(s) > 1 && s[1] == parent {
			sum += processorTime(pid)
		}
	}
	return sum
}

// ownTime is what this process has used: the senders.
func ownTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// resident is the memory of a process in MB.
func resident(pid int) float64 {
	f := stat(pid)
	if len(f) < 22 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[21], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// onDisk is what the files below a directory take, in bytes.
func onDisk(dir string) (sum float64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return vanished(err)
		}
		info, err := d.Info()
		if err != nil {
			return vanished(err)
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += float64(s.Blocks) * 512
		}
		return nil
	})
	return sum, err
}

// vanished is nil if a file has gone while it was looked for.
func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// room is an error if less is free at a directory, or as memory: better none than a run that ends
// in the middle.
func room(dir string, disk, memory float64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	if free := float64(s.Bavail) * float64(s.Bsize); free < disk {
		return errors.New("it needs " + gigabytes(disk) + " of disk, and " + gigabytes(free) + " are free: give another -dir, or -short")
	}
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(after("/proc/meminfo", "MemAvailable:"), " kB"), 64)
	if free := kb * 1024; free < memory {
		return errors.New("it needs " + gigabytes(memory) + " of memory, and " + gigabytes(free) + " are free")
	}
	return nil
}

func gigabytes(v float64) string { return strconv.FormatFloat(v/1e9, 'f', 1, 64) + " GB" }
