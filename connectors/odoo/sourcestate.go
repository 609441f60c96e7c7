package odoo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How often the version of a record that was sent has been looked at.
const (
	once  = iota // its second may not have been over
	twice        // a transaction that began in its second may still be open
	done
)

// A version is what is remembered of a record.
type version struct {
	at    int64  // write_date, Unix seconds: the API has no smaller part of it
	hash  uint64 // of the content that was read
	chain uint32 // of the contents before it that had the same write_date; 0: none
	looks uint8
	was   string // what the watched fields were, see SourceModel.Watch
}

// A memory is what a source remembers of one model: each record's last version,
// and where it stands. It is a file that is written whole, after accept: an
// older one, or none, only makes it read and offer again what was offered
// before, under the same identities.
type memory struct {
	path  string
	about about
	known map[int64]version
	open  map[int64]time.Time // when those that are not done were read
	// The server's clock was not before newest when ours showed seen.
	newest int64
	seen   time.Time
	dirty  bool
	saved  time.Time
}

// about is the head of the file.
type about struct {
	Database   string  `json:"database"`
	Reads      string  `json:"reads"`            // the fields and the domain, or what stands for them
	Floor      int64   `json:"floor"`            // what was written before this second has been seen, see Settle
	Cursor     []int64 `json:"cursor,omitempty"` // in the addon's feed
	Reread     int64   `json:"reread,omitempty"` // the last record that was read again in this round
	RereadAt   int64   `json:"reread_at"`        // when, Unix seconds by our clock
	Reconciled int64   `json:"reconciled"`       // when all records were compared, Unix seconds by our clock; 0: they are to be
	Records    int     `json:"records"`
	Watched    bool    `json:"watched,omitempty"` // each record has what its watched fields were
}

const (
	memoryMagic = "vagus odoo source 2\n"
	maxKnown    = 2_000_000
	maxAhead    = time.Minute // a write_date further ahead of our clock is not taken for the server's time: that only holds it back
)

// remember reads the file. What cannot be used is said and left aside.
func remember(path, database, reads string, now time.Time) (m *memory, problem error) {
	m = &memory{path: path, known: map[int64]version{}, open: map[int64]time.Time{}}
	data, err := os.ReadFile(path)
	if err == nil {
		err = m.decode(data)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		problem = fmt.Errorf("%s: %w", path, err)
	case m.about.Database != database:
		problem = fmt.Errorf("%s: it is of another database", path)
	}
	if err != nil || m.about.Database != database {
		m.known, m.about = map[int64]version{}, about{}
	}
	if m.about.Reads != reads { // everything is read again; what is the same is not sent again
		m.about.Reconciled = 0
	}
	m.about.Database = database
	if len(m.known) == 0 {
		m.about.Reads = reads
	}
	for id, v := range m.known {
		if v.looks != done {
			m.open[id] = now
		}
	}
	return m, problem
}

// clock takes a write_date as a sign of the server's time.
func (m *memory) clock(at int64, now time.Time) {
	if at > m.newest {
		m.newest, m.seen = at, now
	}
}

// settled is the second before which no transaction that takes less than
// settle can still be open: the server's clock went on from the newest
// write_date at least as far as ours has since.
func (m *memory) settled(settle time.Duration, now time.Time) int64 {
	if m.seen.IsZero() {
		return 0
	}
	return m.newest + int64((now.Sub(m.seen)-settle)/time.Second) - 1
}

// keep remembers a version that was read at now.
func (m *memory) keep(id int64, v version, now time.Time) {
	m.known[id] = v
	if v.looks == done {
		delete(m.open, id)
	} else {
		m.open[id] = now
	}
	m.dirty = true
}

func (m *memory) forget(id int64) {
	delete(m.known, id)
	delete(m.open, id)
	m.dirty = true
}

// save writes the file, so that after a power failure it is the old or the new one.
func (m *memory) save(now time.Time) error {
	if !m.dirty {
		return nil
	}
	err := func() error {
		f, err := os.CreateTemp(filepath.Dir(m.path), filepath.Base(m.path)+".*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		if _, err := f.Write(m.bytes()); err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		atSaved.Hit()
		if err := os.Rename(f.Name(), m.path); err != nil {
			return err
		}
		dir, err := os.Open(filepath.Dir(m.path))
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	}()
	if err != nil {
		return fmt.Errorf("remember what was sent: %w", err)
	}
	m.dirty, m.saved = false, now
	return nil
}

// bytes is the file: the head as a line of JSON, the records by id, each as the
// differences of id and write_date to the one before, and a checksum.
func (m *memory) bytes() []byte {
	m.about.Records = len(m.known)
	for _, v := range m.known {
		if m.about.Watched = v.was != ""; m.about.Watched {
			break
		}
	}
	head, _ := json.Marshal(m.about) // texts and numbers
	b := make([]byte, 0, len(head)+20*len(m.known)+64)
	b = append(append(append(b, memoryMagic...), head...), '\n')
	var lastID, lastAt int64
	for _, id := range slices.Sorted(maps.Keys(m.known)) {
		v := m.known[id]
		b = binary.AppendUvarint(b, uint64(id-lastID))
		b = binary.AppendVarint(b, v.at-lastAt)
		b = binary.LittleEndian.AppendUint64(b, v.hash)
		b = binary.LittleEndian.AppendUint32(b, v.chain)
		b = append(b, v.looks)
		if m.about.Watched {
			b = append(binary.AppendUvarint(b, uint64(len(v.was))), v.was...)
		}
		lastID, lastAt = id, v.at
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

var errMemory = errors.New("it is damaged; everything is read again, and what was sent before has the same identity")

func (m *memory) decode(data []byte) error {
	rest, ok := bytes.CutPrefix(data, []byte(memoryMagic))
	if !ok || len(rest) < 4 {
		return errMemory
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(data[len(body):]) {
		return errMemory
	}
	head, rest, ok := bytes.Cut(rest[:len(rest)-4], []byte("\n"))
	if !ok || json.Unmarshal(head, &m.about) != nil || m.about.Records < 0 || m.about.Records > maxKnown || len(m.about.Cursor)%2 != 0 {
		return errMemory
	}
	var id, at int64
	for range m.about.Records {
		ahead, n := binary.Uvarint(rest)
		if n <= 0 || ahead == 0 || ahead > 1<<40 {
			return errMemory
		}
		rest = rest[n:]
		step, n := binary.Varint(rest)
		if n <= 0 || len(rest) < n+13 || rest[n+12] > done {
			return errMemory
		}
		id, at = id+int64(ahead), at+step
		m.known[id] = version{at: at, hash: binary.LittleEndian.Uint64(rest[n:]), chain: binary.LittleEndian.Uint32(rest[n+8:]), looks: rest[n+12]}
		if rest = rest[n+13:]; !m.about.Watched {
			continue
		}
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return errMemory
		}
		v := m.known[id]
		v.was, rest = string(rest[n:n+int(size)]), rest[n+int(size):]
		m.known[id] = v
	}
	if len(rest) > 0 {
		return errMemory
	}
	return nil
}
