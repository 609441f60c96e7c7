//go:build !linux

package journal

import (
	"errors"
	"os"
)

// The journal promises that a power failure loses nothing. That was tried on
// Linux only, so nothing else is offered.
var errPlatform = errors.New("the journal runs on Linux only")

func lockFile(string) (*os.File, error) { return nil, errPlatform }

func unlockFile(f *os.File) error { return f.Close() }

func freeBytes(string) (int64, error) { return 0, errPlatform }

func datasync(f *os.File) error { return f.Sync() }

func inode(os.FileInfo) uint64 { return 0 }

func groupable(string) (bool, string) { return false, errPlatform.Error() }
