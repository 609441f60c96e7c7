package journal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockFile takes the lock that keeps a second process out of a store. It ends
// with unlockFile or the process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is held by another process: stop the other agent, or give this one a directory of its own", path)
		}
		return nil, err
	}
	return f, nil
}

// unlockFile gives the lock back even while a process that was just forked
// still has the descriptor.
func unlockFile(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// freeBytes is what may still be written to the file system of dir.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// datasync syncs a file's data, and of its metadata what reading it needs.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func inode(fi os.FileInfo) uint64 { return fi.Sys().(*syscall.Stat_t).Ino }

// groupable says whether the journal may do the server's fsyncs itself below
// dir. The server rewrites a block that lost most of its messages as a new
// file and renames it over the old one, without an fsync in between when it is
// not told to sync always. Only ext4 in its default mode promises that such a
// rename never shows before the data (auto_da_alloc, data=ordered). why is the
// reason for a no.
func groupable(dir string) (ok bool, why string) {
	const ext4 = 0xef53
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return false, "its file system can not be told"
	}
	if st.Type != ext4 {
		return false, fmt.Sprintf("its file system (type %#x) is not ext4", st.Type)
	}
	options, err := mountOptions(dir)
	if err != nil {
		return false, "its mount options can not be read"
	}
	for _, o := range strings.Split(options, ",") {
		if o == "noauto_da_alloc" || o == "data=writeback" || o == "nobarrier" || o == "barrier=0" {
			return false, "it is mounted with " + o
		}
	}
	return true, ""
}

// mountOptions reads the super block's options of the file system that dir is
// on (proc_pid_mountinfo(5): the field after " - type source").
func mountOptions(dir string) (string, error) {
	fi, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	dev := fi.Sys().(*syscall.Stat_t).Dev
	want := fmt.Sprintf("%d:%d", dev>>8&0xfff|dev>>32&^uint64(0xfff), dev&0xff|dev>>12&0xfff00)
	f, err := os.Open(filepath.Join("/proc", "self", "mountinfo"))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		before, after, _ := strings.Cut(sc.Text(), " - ")
		fields, last := strings.Fields(before), strings.Fields(after)
		if len(fields) > 2 && fields[2] == want && len(last) > 2 {
			return last[2], nil
		}
	}
	return "", fmt.Errorf("no mount of device %s", want)
}
