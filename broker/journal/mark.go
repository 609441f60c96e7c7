package journal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
)

// mark is a small file that says, while steps of several messages are on
// their way, up to which sequence a stream's entries are acknowledged. All
// that is after it belongs to nobody yet: when the process dies, the next
// start removes it, and so a step is there whole or not at all. At rest it
// says nothing.
//
// It has two slots that are written in turn, each within one disk sector and
// with a checksum, so that a torn write leaves the one before.
type mark struct {
	f    *os.File
	turn uint64
}

const (
	markSlot = 4096 // distance of the two slots
	markSize = 20   // turn, sequence+1 (0: nothing is open), checksum
)

// openMark opens or makes a stream's mark and returns what it says.
func openMark(path string) (m *mark, seq uint64, open bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, false, err
	}
	m = &mark{f: f}
	var value uint64
	for slot := range int64(2) {
		var b [markSize]byte
		if _, err := f.ReadAt(b[:], slot*markSlot); err != nil && err != io.EOF {
			_ = f.Close()
			return nil, 0, false, err
		}
		turn := binary.LittleEndian.Uint64(b[0:])
		if crc32.ChecksumIEEE(b[:16]) == binary.LittleEndian.Uint32(b[16:]) && turn > m.turn {
			m.turn, value = turn, binary.LittleEndian.Uint64(b[8:])
		}
	}
	if m.turn == 0 { // new: from here on a write changes no size, so it costs one disk write
		for range 2 {
			if err := m.clear(); err != nil {
				_ = f.Close()
				return nil, 0, false, err
			}
		}
	}
	if value == 0 {
		return m, 0, false, nil
	}
	return m, value - 1, true, nil
}

// set says that entries up to seq are acknowledged and later ones are not.
func (m *mark) set(seq uint64) error { return m.write(seq + 1) }

// clear says that every entry is acknowledged or may be taken for it.
func (m *mark) clear() error { return m.write(0) }

func (m *mark) write(value uint64) error {
	m.turn++
	var b [markSize]byte
	binary.LittleEndian.PutUint64(b[0:], m.turn)
	binary.LittleEndian.PutUint64(b[8:], value)
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:16]))
	if _, err := m.f.WriteAt(b[:], int64(m.turn%2)*markSlot); err != nil {
		return err
	}
	return datasync(m.f)
}

func (m *mark) close() { _ = m.f.Close() }
