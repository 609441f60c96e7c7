package link

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	sentMax  = 50_000              // units that a sink remembers
	sentKeep = 30 * 24 * time.Hour // as long as UNITS: after that nobody gives one again
	sentLine = 128                 // bytes, more than a line has
)

// sent is the memory of the units that a sink has delivered: a file with a line
// for each, "<unix seconds> <unit id> <crc32>", on stable storage before the
// outcome is told. It belongs to one goroutine.
type sent struct {
	path  string
	file  *os.File
	units map[string]int64
	order []string     // oldest first
	lines int          // in the file
	known atomic.Int64 // units
	max   int
}

// openSent reads the memory. A last line that was cut off, by a power failure, is
// taken away.
func openSent(path string, now time.Time) (*sent, error) {
	s := &sent{path: path, units: map[string]int64{}, max: sentMax}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(make([]byte, sentLine), sentLine)
	whole := true
	for in.Scan() {
		s.lines++
		at, unit, ok := readSent(in.Text())
		if whole = whole && ok; ok && now.Sub(time.Unix(at, 0)) < sentKeep {
			s.keep(unit, at)
		}
	}
	whole = whole && in.Err() == nil && (len(data) == 0 || data[len(data)-1] == '\n')
	if !whole || s.lines > len(s.units) {
		return s, s.rewrite()
	}
	return s, s.open()
}

func readSent(line string) (at int64, unit string, ok bool) {
	f := strings.Fields(line)
	if len(f) != 3 || f[2] != checksum(f[0]+" "+f[1]) {
		return 0, "", false
	}
	at, err := strconv.ParseInt(f[0], 10, 64)
	return at, f[1], err == nil
}

func checksum(text string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(text))), 16)
}

func line(unit string, at int64) string {
	text := strconv.FormatInt(at, 10) + " " + unit
	return text + " " + checksum(text) + "\n"
}

func (s *sent) open() (err error) {
	s.file, err = os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// has says whether the unit was delivered.
func (s *sent) has(unit string) bool {
	_, ok := s.units[unit]
	return ok
}

func (s *sent) keep(unit string, at int64) {
	if _, known := s.units[unit]; !known {
		s.order = append(s.order, unit)
	}
	s.units[unit] = at
	for len(s.order) > s.max {
		delete(s.units, s.order[0])
		s.order = s.order[1:]
	}
	s.known.Store(int64(len(s.order)))
}

// add remembers a unit. It returns when that is on stable storage.
func (s *sent) add(unit string, now time.Time) error {
	s.keep(unit, now.Unix())
	if s.file == nil || s.lines >= 2*s.max {
		return s.rewrite()
	}
	if _, err := s.file.WriteString(line(unit, now.Unix())); err != nil {
		_ = s.file.Close() // it may end in the middle of a line
		s.file = nil
		return fmt.Errorf("remember what was delivered: %w", err)
	}
	s.lines++
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("remember what was delivered: %w", err)
	}
	return nil
}

// rewrite replaces the file by one of what is still remembered.
func (s *sent) rewrite() error {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	var b bytes.Buffer
	for _, unit := range s.order {
		b.WriteString(line(unit, s.units[unit]))
	}
	err := func() error {
		f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		_, err = f.Write(b.Bytes())
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		return os.Rename(f.Name(), s.path)
	}()
	if err == nil {
		err = s.open()
	}
	if err != nil {
		return fmt.Errorf("remember what was delivered: %w", err)
	}
	s.lines = len(s.order)
	return nil
}

func (s *sent) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
