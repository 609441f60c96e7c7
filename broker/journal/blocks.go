package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// blocks brings what the server wrote to one stream's block files to stable
// storage. The server appends to <n>.blk, and goes on to <n+1>.blk when that
// one is full; with encryption each has an <n>.key. It is used by one
// goroutine at a time.
//
// That layout is the embedded server's own affair, so the lane checks it at
// every sync: the files must have grown by at least the bytes that the server
// has acknowledged, or nothing is acknowledged any more.
type blocks struct {
	dir  string   // the stream's msgs directory
	cur  *os.File // the newest block that we know of, nil for none
	n    int
	ino  uint64
	size int64
	// ahead is by how many bytes the files are known to exceed what the server
	// has acknowledged. The lane keeps it.
	ahead int64
}

func (b *blocks) close() {
	if b.cur != nil {
		_ = b.cur.Close()
		b.cur = nil
	}
}

// rebase syncs every block and key file and the directory, and takes the
// newest block for the current one: at start, and after the server may have
// rewritten or removed some.
func (b *blocks) rebase() error {
	b.close()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	newest := b.n
	for _, e := range entries {
		name := e.Name()
		if err := syncPath(filepath.Join(b.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(name, ".blk")); err == nil && n > newest {
			newest = n
		}
	}
	if err := syncPath(b.dir); err != nil {
		return err
	}
	if _, err := os.Stat(b.path(newest, ".blk")); errors.Is(err, fs.ErrNotExist) {
		b.n = newest // no block yet, or the newest was removed whole
		return nil
	}
	return b.open(newest)
}

// sync makes all that the server has acknowledged so far durable, and returns
// by how many bytes the files have grown. known is false when that can not be
// told, since the server has rewritten or removed the current block.
func (b *blocks) sync() (grown int64, known bool, err error) {
	known = true
	fresh := false // a directory entry must become durable as well
	if b.cur != nil {
		fi, err := os.Stat(b.path(b.n, ".blk"))
		switch {
		case err == nil && inode(fi) == b.ino:
		case err == nil:
			known, fresh = false, true
			if err := b.open(b.n); err != nil {
				return 0, false, err
			}
		case errors.Is(err, fs.ErrNotExist):
			known, fresh = false, true
			b.close()
		default:
			return 0, false, err
		}
	}
	for {
		// Whether this is the newest block must be known before it is synced:
		// one that is found to be full only afterwards may have got more.
		next := b.n + 1
		_, err := os.Stat(b.path(next, ".blk"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, false, err
		}
		newest := err != nil
		if b.cur != nil {
			n, err := b.flush()
			if err != nil {
				return 0, false, err
			}
			grown += n
		}
		if newest {
			break
		}
		if err := b.open(next); err != nil {
			return 0, false, err
		}
		b.size, fresh = 0, true
		if err := syncPath(b.path(next, ".key")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, false, err
		}
	}
	if fresh {
		if err := syncPath(b.dir); err != nil {
			return 0, false, err
		}
	}
	return grown, known, nil
}

// flush syncs the current block and returns by how much it has grown.
func (b *blocks) flush() (int64, error) {
	if err := b.cur.Sync(); err != nil {
		return 0, err
	}
	fi, err := b.cur.Stat()
	if err != nil {
		return 0, err
	}
	grown := fi.Size() - b.size
	b.size = fi.Size()
	return grown, nil
}

func (b *blocks) open(n int) error {
	b.close()
	f, err := os.Open(b.path(n, ".blk"))
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	b.cur, b.n, b.ino, b.size = f, n, inode(fi), fi.Size()
	return nil
}

func (b *blocks) path(n int, ext string) string {
	return filepath.Join(b.dir, strconv.Itoa(n)+ext)
}

// syncPath syncs one file or directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncTree syncs a directory and all that is below it.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			err = syncPath(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // the server's temporary files come and go
			return nil
		}
		return err
	})
}

// writeFile replaces a file so that after a power failure it is the old one or
// the new one.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}
