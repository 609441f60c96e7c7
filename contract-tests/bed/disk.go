package bed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// A Disk is an ext4 file system in an image, whose power can be cut and which can be filled.
// It needs root, a loop device and mkfs.ext4; see [Disks].
type Disk struct {
	Mount   string // where it is
	image   string
	mounted bool
}

// Disks says why there can be no disk here, or nil.
func Disks() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		return errors.New("no mkfs.ext4")
	}
	if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		return fmt.Errorf("losetup: %s", bytes.TrimSpace(out))
	}
	return nil
}

// NewDisk makes an empty disk of this size ("64M") and mounts it at mount, which it makes. Close must be called.
func NewDisk(mount, size string) (*Disk, error) {
	d := &Disk{Mount: mount, image: mount + ".image"}
	if err := os.Mkdir(mount, 0o711); err != nil {
		return nil, err
	}
	if err := command("truncate", "-s", size, d.image); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", d.image); err != nil {
		return nil, err
	}
	return d, d.Up()
}

// Up mounts the disk.
func (d *Disk) Up() error {
	err := command("mount", "-o", "loop", d.image, d.Mount)
	d.mounted = err == nil
	return err
}

// Down unmounts it. Nobody may have a file of it open.
func (d *Disk) Down() error {
	err := command("umount", d.Mount)
	d.mounted = err != nil
	return err
}

// Close unmounts the disk, whoever uses it.
func (d *Disk) Close() {
	if d.mounted {
		_ = command("umount", "-l", d.Mount)
		d.mounted = false
	}
}

// Cut fails the power: all that is not on the image now never will be. Who writes must be
// stopped before (see [Halt]), or it may hear that something was written which was not; then killed,
// and the disk taken down and up.
func (d *Disk) Cut() error {
	const shutdown, noLogFlush = 0x8004587d, uint32(2) // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	f, err := os.Open(d.Mount)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	flag := noLogFlush
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("EXT4_IOC_SHUTDOWN: %w", errno)
	}
	runtime.KeepAlive(&flag)
	return nil
}

// Fill writes a file until nothing more fits; Free removes it.
func (d *Disk) Fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// Free removes what Fill wrote.
func (d *Disk) Free() error { return os.Remove(d.filler()) }

func (d *Disk) filler() string { return filepath.Join(d.Mount, "filler") }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
