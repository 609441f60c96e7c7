package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// file is what happens to a ledger that is a SQLite file, on a disk of its own, which two workers share. It needs root.
func file(r *run) error {
	for _, f := range r.general() {
		switch f.name {
		case "worker killed", "hub killed", "Odoo applies and dies before it answers":
			if err := r.fault(f, f.lasts); err != nil {
				return err
			}
		}
	}
	for _, f := range []fault{powerOfFile(r), diskFull(r, "ledger", true), pageOfFile(r), powerOfFile(r)} {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}

// workersEnd and workersStart are for what happens while nobody has the ledger open.
func (y *system) workersEnd() {
	for _, w := range y.workers {
		w.Kill()
	}
}

func (y *system) workersStart() (err error) {
	for _, w := range y.workers {
		err = errors.Join(err, w.Start())
	}
	return err
}

// powerOfFile cuts the power of the workers and of the disk that the ledger is on.
func powerOfFile(r *run) fault {
	d := r.sys.disks["ledger"]
	return fault{"power of workers and ledger fails", time.Second, true,
		func(*run) (err error) {
			for _, w := range r.sys.workers {
				err = errors.Join(err, w.Pause())
			}
			err = errors.Join(err, d.Cut())
			r.sys.workersEnd()
			return errors.Join(err, d.Down())
		},
		func(*run) error { return errors.Join(d.Up(), r.sys.workersStart()) }}
}

// pageOfFile damages a page of the ledger's file: a worker refuses it, says what is wrong and what to do, and
// leaves it as it is. With the page of before all goes on.
func pageOfFile(r *run) fault {
	var undo func() error
	return fault{"page of ledger damaged", 0, true,
		func(*run) error {
			r.sys.workersEnd()
			if err := settled(r.sys.ledger); err != nil {
				return err
			}
			at, err := middlePage(r.sys.ledger)
			if err != nil {
				return err
			}
			if undo, err = damaged(r.sys.ledger, at); err != nil {
				return err
			}
			return r.refused(r.sys.workers[0], damagedFile, r.sys.ledger)
		},
		func(*run) error { return errors.Join(undo(), r.sys.workersStart()) }}
}

// pageOfPostgres damages a page of the ledger that every claim reads: the workers say so, apply nothing
// that they can not record, and go on when the page is what it was.
func pageOfPostgres(r *run) fault {
	var undo func() error
	said := make([]int, len(r.sys.workers))
	return fault{"page of postgres damaged", 3 * time.Second, true,
		func(*run) error {
			var path string
			if err := r.query(r.ctx, "SELECT pg_relation_filepath('units_pkey')", func(scan scanner) error { return scan(&path) }); err != nil {
				return err
			}
			r.sys.pg.Kill()
			path = filepath.Join(r.sys.diskOf("postgres"), "cluster", "data", path)
			var err error
			if undo, err = damaged(path, 100); err != nil { // behind the header of its first page
				return err
			}
			for i, w := range r.sys.workers {
				said[i] = len(w.Logged())
			}
			return r.sys.pg.Start()
		},
		func(*run) error {
			err := bed.Wait(r.ctx, "a worker that says that a page of the ledger is damaged", recovery, func() bool {
				for i, w := range r.sys.workers {
					if damagedPage.Match(w.Logged()[said[i]:]) {
						return true
					}
				}
				return false
			})
			r.sys.pg.Kill() // it has the damaged page in its memory
			return errors.Join(err, undo(), r.sys.pg.Start())
		}}
}

var (
	damagedFile = regexp.MustCompile(`ledger\.db: the file is damaged \([^\n]*nothing was changed\. Check the disk; then put a copy`)
	damagedPage = regexp.MustCompile(`invalid page in block 0`)
)

// refused starts a process that must end, say why, and leave a file as it is.
func (r *run) refused(p *bed.Process, why *regexp.Regexp, file string) error {
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	said := len(p.Logged())
	if err := p.Start(); err != nil {
		return err
	}
	if err := bed.Wait(r.ctx, p.Name+" refusing "+filepath.Base(file), 20*time.Second, p.Ended); err != nil {
		return err
	}
	if text := p.Logged()[said:]; !why.Match(text) {
		return fmt.Errorf("%s does not say what is wrong: %s", p.Name, text)
	}
	after, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(before, after) {
		err = fmt.Errorf("%s has changed what it refused", p.Name)
	}
	return err
}

// settled brings what SQLite's log has into the file.
func settled(path string) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	return errors.Join(err, db.Close())
}

// middlePage finds a page of a tree in the middle of a SQLite file. Its first byte says of which kind it is
// (sqlite.org/fileformat2.html, 1.6).
func middlePage(path string) (at int64, err error) {
	const page = 4096
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for n := len(data) / page / 2; n > 0 && n < len(data)/page; n++ {
		if strings.IndexByte("\x02\x05\x0a\x0d", data[n*page]) >= 0 {
			return int64(n * page), nil
		}
	}
	return 0, fmt.Errorf("%s has no page of a tree behind its middle", path)
}

// damaged flips a bit of a file, and returns what flips it back.
func damaged(path string, at int64) (undo func() error, err error) {
	turn := func() error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		b[0] ^= 0x40
		if err == nil {
			_, err = f.WriteAt(b, at)
		}
		return errors.Join(err, f.Close())
	}
	return turn, turn()
}
