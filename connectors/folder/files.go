package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// maxEntries bounds what is looked at in one folder.
const maxEntries = 100_000

// Files are the files below one folder, of this machine or of a server. Paths are
// relative to it, as of [fs.ValidPath]. Nothing follows a symbolic link in a path's last
// part. Methods return an error that wraps [fs.ErrNotExist] for what is not there; they
// are called by one goroutine at a time.
type Files interface {
	// List returns what a folder holds, in any order, or an error where that is more
	// than a bound of its own.
	List(ctx context.Context, dir string) ([]fs.FileInfo, error)
	// Stat describes one file. One that has further names, which could change it, is described
	// with [fs.ModeIrregular].
	Stat(ctx context.Context, name string) (fs.FileInfo, error)
	// Read returns the content of a regular file, or its first limit+1 bytes.
	Read(ctx context.Context, name string, limit int64) ([]byte, error)
	// Write makes a file or replaces it: whole, or not at all.
	Write(ctx context.Context, name string, body []byte) error
	// Rename moves a file and replaces another, in one step.
	Rename(ctx context.Context, from, to string) error
	Remove(ctx context.Context, name string) error
	// MakeDir makes a folder that is not there yet, and those that it is in.
	MakeDir(ctx context.Context, dir string) error
}

// Local returns the files below a folder of this machine. It need not be there yet
// and may go and come back, as network file systems do: every call opens it.
func Local(dir string) Files { return local{dir} }

type local struct{ dir string }

// in calls do with the folder, which no path leads out of, by .. or by links.
func (l local) in(ctx context.Context, do func(*os.Root) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return fmt.Errorf("open dir: %w", err) // the folder's own name stands in the configuration
	}
	defer root.Close()
	return nameless(do(root))
}

// nameless returns an error of the file system without the path in it, which may hold a
// patient's name.
func nameless(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	case errors.As(err, &l):
		return fmt.Errorf("%s: %w", l.Op, l.Err)
	}
	return err
}

func (l local) List(ctx context.Context, dir string) (infos []fs.FileInfo, err error) {
	err = l.in(ctx, func(root *os.Root) error {
		d, err := root.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		if infos, err = d.Readdir(maxEntries + 1); errors.Is(err, io.EOF) {
			err = nil
		}
		if err == nil && len(infos) > maxEntries {
			err = fmt.Errorf("over %d files in one folder: move some away", maxEntries)
		}
		return err
	})
	return infos, err
}

func (l local) Stat(ctx context.Context, name string) (info fs.FileInfo, err error) {
	err = l.in(ctx, func(root *os.Root) error {
		if info, err = root.Lstat(name); err != nil {
			return err
		}
		if sys, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && sys.Nlink > 1 {
			info = irregular{info}
		}
		return nil
	})
	return info, err
}

// irregular is a file with several names.
type irregular struct{ fs.FileInfo }

func (i irregular) Mode() fs.FileMode { return i.FileInfo.Mode() | fs.ModeIrregular }

func (l local) Read(ctx context.Context, name string, limit int64) (body []byte, err error) {
	err = l.in(ctx, func(root *os.Root) error {
		// A pipe that took its place would wait for a writer for ever.
		f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		there, err := root.Lstat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || !os.SameFile(info, there) { // or a link
			return errors.New("read: it is no regular file any more")
		}
		body, err = readAll(io.LimitReader(f, limit+1), min(info.Size(), limit), limit+1)
		return err
	})
	return body, err
}

// readAll reads what has at most limit bytes, and likely size.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	body := make([]byte, 0, size+1)
	r = io.LimitReader(r, limit+1)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

func (l local) Write(ctx context.Context, name string, body []byte) error {
	return l.in(ctx, func(root *os.Root) error {
		temporary := path.Join(path.Dir(name), "."+rand.Text()+".tmp")
		f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o660)
		if err != nil {
			return err
		}
		_, err = f.Write(body)
		if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
			err = root.Rename(temporary, name)
		}
		if err != nil {
			_ = root.Remove(temporary)
			return err
		}
		return syncDir(root, path.Dir(name))
	})
}

func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l local) Rename(ctx context.Context, from, to string) error {
	return l.in(ctx, func(root *os.Root) error {
		err := root.Rename(from, to)
		if errors.Is(err, syscall.EXDEV) {
			return errors.New("rename: the folders are on different file systems: in, work, archive, quarantine and out must be on the one of dir")
		}
		return err
	})
}

func (l local) Remove(ctx context.Context, name string) error {
	return l.in(ctx, func(root *os.Root) error { return root.Remove(name) })
}

func (l local) MakeDir(ctx context.Context, dir string) error {
	return l.in(ctx, func(root *os.Root) error { return root.MkdirAll(dir, 0o770) })
}
