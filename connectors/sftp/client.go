// Package sftp reads and writes the files of a server by SFTP (SSH File Transfer Protocol, version
// 3, as OpenSSH speaks it). A [Client] is the file system that connectors/folder watches and
// moves files in, and what an outbound document is put with.
package sftp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	maxIdle     = 30 * time.Second // older connections may have been forgotten on the way
	maxTime     = 30 * time.Minute // of one call, however slowly it goes on
	listBudget  = 64 << 20         // bytes that a server may send for a list
	smallBudget = 4 << 20          // and for anything else
	posixRename = "posix-rename@openssh.com"
	fsync       = "fsync@openssh.com"
)

// A Client is the files below one folder of a server. It connects when it is first used, and again
// after a connection was lost; nothing is tried twice. Names are relative to the folder, as of
// [fs.ValidPath]. Errors name no file; they wrap [fs.ErrNotExist] and [fs.ErrPermission].
// Safe for concurrent use; calls wait for one another.
type Client struct {
	conf Config
	dir  string
	auth []ssh.AuthMethod
	pins pins

	mu   sync.Mutex
	conn *watched
	ssh  *ssh.Client
	ftp  *sftp.Client
	used time.Time
}

// New returns a client for a folder, absolute or of the user's own, or an error that names the
// setting at fault. It opens no connection.
func New(conf Config, dir string) (*Client, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("sftp: %w", err)
	}
	c := &Client{conf: conf, dir: dir}
	if c.auth, err = conf.methods(); err != nil {
		return nil, fmt.Errorf("sftp: %w", err)
	}
	if c.pins, err = parsePins(conf.HostKeys); err != nil {
		return nil, fmt.Errorf("sftp: %w", err)
	}
	return c, nil
}

// Close ends the connection, if there is one.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	return nil
}

// List returns what a folder holds, in any order, as the server's Lstat describes it.
func (c *Client) List(ctx context.Context, dir string) (infos []fs.FileInfo, err error) {
	err = c.do(ctx, "list", listBudget, func(f *sftp.Client) error {
		infos, err = f.ReadDirContext(ctx, c.path(dir))
		return err
	})
	return infos, err
}

// Stat describes one file, without following a link.
func (c *Client) Stat(ctx context.Context, name string) (info fs.FileInfo, err error) {
	err = c.do(ctx, "stat", smallBudget, func(f *sftp.Client) error {
		info, err = f.Lstat(c.path(name))
		return err
	})
	return info, err
}

// Read returns the content of a file, or its first limit+1 bytes.
func (c *Client) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	b := bounded{left: limit + 1}
	err := c.do(ctx, "read", smallBudget+2*limit, func(f *sftp.Client) error {
		file, err := f.Open(c.path(name))
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err = file.WriteTo(&b); errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var errEnough = errors.New("enough was read")

// bounded keeps the first bytes of what is written.
type bounded struct {
	bytes.Buffer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		_, _ = b.Buffer.Write(p[:b.left])
		b.left = 0
		return 0, errEnough
	}
	b.left -= int64(len(p))
	return b.Buffer.Write(p)
}

// Write makes a file or replaces it: whole, or not at all. It goes to a hidden name first, is
// brought to the server's disk where the server knows how, and is renamed.
func (c *Client) Write(ctx context.Context, name string, body []byte) error {
	return c.do(ctx, "write", smallBudget, func(f *sftp.Client) error {
		temporary := c.path(path.Join(path.Dir(name), "."+rand.Text()+".tmp"))
		file, err := f.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return err
		}
		_, err = file.ReadFrom(bytes.NewReader(body))
		if _, ok := f.HasExtension(fsync); ok && err == nil {
			err = file.Sync()
		}
		if err = errors.Join(err, file.Close()); err == nil {
			err = rename(f, temporary, c.path(name))
		}
		if err != nil {
			_ = f.Remove(temporary)
		}
		return err
	})
}

// Rename moves a file and replaces another: in one step where the server has OpenSSH's
// extension for it, else the other is removed first.
func (c *Client) Rename(ctx context.Context, from, to string) error {
	return c.do(ctx, "rename", smallBudget, func(f *sftp.Client) error { return rename(f, c.path(from), c.path(to)) })
}

func rename(f *sftp.Client, from, to string) error {
	if _, ok := f.HasExtension(posixRename); ok {
		return f.PosixRename(from, to)
	}
	err := f.Rename(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Version 3 does not replace. Only what is there is removed, and only for what is there.
	if _, missing := f.Lstat(from); missing != nil {
		return missing
	}
	if there, missing := f.Lstat(to); missing != nil || there.IsDir() { // an empty folder would be removed too
		return err
	}
	if err := f.Remove(to); err != nil {
		return err
	}
	return f.Rename(from, to)
}

// Remove deletes a file.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.do(ctx, "remove", smallBudget, func(f *sftp.Client) error { return f.Remove(c.path(name)) })
}

// MakeDir makes a folder that is not there yet, and those that it is in; the client's own must be
// there.
func (c *Client) MakeDir(ctx context.Context, dir string) error {
	return c.do(ctx, "make folder", smallBudget, func(f *sftp.Client) error {
		if dir == "." {
			_, err := f.Stat(c.path(dir))
			return err
		}
		return f.MkdirAll(c.path(dir))
	})
}

func (c *Client) path(name string) string { return path.Join(c.dir, name) }

// do makes one call, on the connection there is or on a new one. budget bounds what the server may
// send meanwhile.
func (c *Client) do(ctx context.Context, what string, budget int64, call func(*sftp.Client) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	if time.Since(c.used) > maxIdle {
		c.drop()
	}
	if c.ftp == nil {
		if err := c.connect(ctx); err != nil {
			return fmt.Errorf("sftp: connect: %w", c.plain(ctx, err))
		}
	}
	conn := c.conn
	conn.begin(budget)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err := call(c.ftp)
	stop()
	quiet := conn.end()
	c.used = time.Now()
	var status *sftp.StatusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.As(err, &status): // the server's answer
	default:
		c.drop()
	}
	if quiet != nil {
		err = quiet
	}
	return fmt.Errorf("sftp: %s: %w", what, c.plain(ctx, err))
}

func (c *Client) drop() {
	if c.ftp != nil {
		_ = c.conn.Close() // first: the others would wait for the server
		_ = c.ftp.Close()
		_ = c.ssh.Close()
	}
	c.conn, c.ssh, c.ftp = nil, nil, nil
}

// connect opens a connection.
func (c *Client) connect(ctx context.Context) error {
	dialer := net.Dialer{Timeout: c.conf.Timeout}
	raw, err := dialer.DialContext(ctx, "tcp", c.conf.Address)
	if err != nil {
		return err
	}
	conn := &watched{Conn: raw, timeout: c.conf.Timeout}
	conn.begin(smallBudget)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	fail := func(err error) error {
		_ = conn.Close()
		if quiet := conn.end(); quiet != nil {
			return quiet
		}
		return err
	}
	var wrong *hostKeyError
	sc, chans, reqs, err := ssh.NewClientConn(conn, c.conf.Address, &ssh.ClientConfig{
		User: c.conf.User, Auth: c.auth, HostKeyAlgorithms: c.pins.algorithms(), ClientVersion: "SSH-2.0-vagus",
		HostKeyCallback: func(host string, addr net.Addr, key ssh.PublicKey) error {
			err := c.pins.check(host, addr, key)
			_ = errors.As(err, &wrong)
			return err
		},
	})
	if wrong != nil {
		return fail(wrong)
	} else if err != nil {
		return fail(err)
	}
	client := ssh.NewClient(sc, chans, reqs)
	ftp, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true)) // what is written goes to a name that nobody reads
	if err != nil {
		_ = client.Close()
		return fail(fmt.Errorf("the server has no SFTP for us: %w", err))
	}
	_ = conn.end()
	c.conn, c.ssh, c.ftp = conn, client, ftp
	c.conf.Logger.LogAttrs(ctx, slog.LevelInfo, "connected by SFTP", slog.String("address", c.conf.Address))
	return nil
}

// plain returns an error without a server's words, which may name a file.
func (c *Client) plain(ctx context.Context, err error) error {
	var status *sftp.StatusError
	var wrong *hostKeyError
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &wrong), errors.As(err, &op), errors.Is(err, errQuiet), errors.Is(err, errMuch):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fs.ErrNotExist
	case errors.Is(err, fs.ErrPermission):
		return fs.ErrPermission
	case errors.As(err, &status):
		return fmt.Errorf("the server refuses (status %d)", status.Code)
	case errors.Is(err, io.EOF), errors.Is(err, sftp.ErrSSHFxConnectionLost), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was lost")
	}
	return err
}
