package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A clearing house puts the interchanges of a billing into the folder that the site watches. One is acknowledged
// when its file stands in the archive and its 999 beside it.
type clearing struct {
	*billing
	dir   string
	files int
	open  string // file that has no answer yet
	body  *byte  // of the letter that it holds
}

func newClearing(r *run, n int) *clearing {
	b := newBilling(r, 50+n)
	b.sender, b.feed = fmt.Sprintf("files%d", n), "files"
	return &clearing{billing: b, dir: filepath.Join(r.dir, "files")}
}

// deliver puts a file there once, however often it is called for one that has no answer yet: a sender of files waits.
func (s *clearing) deliver(ctx context.Context, l letter) (string, bool, error) {
	if s.open == "" || s.body != &l.body[0] {
		s.files++
		s.open, s.body = fmt.Sprintf("claims-%09d.edi", s.files), &l.body[0]
		aside := filepath.Join(filepath.Dir(s.dir), s.sender+".part")
		if err := errors.Join(os.WriteFile(aside, l.body, 0o600), os.Rename(aside, filepath.Join(s.dir, s.open))); err != nil {
			return "", false, err
		}
	}
	for ctx.Err() == nil {
		answer, err := os.ReadFile(filepath.Join(s.dir, "out", s.open+".999"))
		if err == nil {
			_, err = os.Stat(filepath.Join(s.dir, "archive", s.open))
		}
		if err == nil {
			s.open = ""
			return "999", strings.Contains(string(answer), "~AK9*A*1*1*1~"), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", false, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return "", false, ctx.Err()
}
