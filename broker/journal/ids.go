package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/vagus-health/vagus/broker"
)

// ids says where a feed's messages stand, by a hash of their short ids, so that a message that
// comes again is recognised and one that is asked for is found. It takes some 30 bytes of memory for
// each; a subject of its own in the server would take 240, and time at every start.
//
// What it says is a hint: two ids may have one hash, and a stream that lost its end uses
// sequences again. Whoever finds something here compares the message that stands there. What it does not
// say is taken for new, which the cloud's ledger finds out.
//
// A file beside the store has the same, a record for each message that was committed. It is written and not
// synced: a start takes it up to its first record that is not whole, and reads what is missing
// from the stream.
type ids struct {
	log  *slog.Logger
	feed string

	mu    sync.Mutex
	at    map[uint64]uint64 // sequence by idHash
	first uint64            // what is before was trimmed,
	stale int               // and that many of it are still in at
	file  *os.File          // nil when it could not be written: the next start reads the stream
	lines int               // records in it
	buf   []byte            // and those that it does not have yet
}

// idRecord is the size of a record: hash, sequence, checksum of both.
const idRecord = 20

// idHash is FNV-1a of a short id, which is a part of a SHA-256 already.
func idHash(id string) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(broker.ShortID(id)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// where returns the sequence at which a message with this hash was last stored, 0 for none.
func (x *ids) where(hash uint64) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seq := x.at[hash]; seq >= x.first {
		return seq
	}
	return 0
}

// A place is where a message with a hash stands.
type place struct{ hash, seq uint64 }

// put adds what was committed; save writes it.
func (x *ids) put(places []place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range places {
		x.at[p.hash] = p.seq
		x.buf = appendRecord(x.buf, p)
	}
}

func (x *ids) save() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.file != nil && len(x.buf) > 0 {
		if _, err := x.file.Write(x.buf); err != nil {
			x.giveUp(err)
		}
		x.lines += len(x.buf) / idRecord
	}
	x.buf = x.buf[:0]
}

// giveUp leaves the file as it is: what is whole at its beginning is true. x.mu is held.
func (x *ids) giveUp(err error) {
	x.log.Warn("journal: the file of what is in the journal can not be written; the next start reads the journal instead", "feed", x.feed, "error", err)
	x.close()
}

func (x *ids) close() {
	if x.file != nil {
		_ = x.file.Close()
		x.file = nil
	}
}

func appendRecord(b []byte, p place) []byte {
	b = binary.LittleEndian.AppendUint64(b, p.hash)
	b = binary.LittleEndian.AppendUint64(b, p.seq)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[len(b)-16:]))
}

// trim forgets the n messages before a sequence. Memory and file follow when half of what they have is
// gone; commits wait for that, 0.2 s for a million.
func (x *ids) trim(first uint64, n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.first = max(x.first, first)
	x.stale += n
	if 2*x.stale < len(x.at) {
		return
	}
	x.stale = 0
	at := map[uint64]uint64{}
	for hash, seq := range x.at {
		if seq >= x.first {
			at[hash] = seq
		}
	}
	x.at = at
	if x.file != nil {
		if err := x.rewrite(); err != nil {
			x.giveUp(err)
		}
	}
}

// rewrite replaces the file by one of what is in memory. x.mu is held.
func (x *ids) rewrite() error {
	path := x.file.Name()
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	var b [idRecord]byte
	for hash, seq := range x.at {
		if _, err = w.Write(appendRecord(b[:0], place{hash, seq})); err != nil {
			break
		}
	}
	// Renamed before it is on the disk, it could after a power failure be the newer file with holes.
	if err = errors.Join(err, w.Flush()); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	x.close()
	// The name under which it was opened is gone.
	if err := f.Close(); err != nil {
		return err
	}
	x.lines = len(x.at)
	x.file, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	return err
}

// openIDs takes what a feed's file says of a stream that holds first to last, and
// reads the rest from the stream.
func (l *lane) openIDs(ctx context.Context, s *session, first, last uint64) (*ids, error) {
	dir := filepath.Join(l.j.cfg.Dir, "ids")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	x := &ids{log: l.j.log, feed: l.feed, at: map[uint64]uint64{}, first: first}
	f, err := os.OpenFile(filepath.Join(dir, l.feed), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	x.file = f
	upTo, sound, err := x.load(last)
	if err != nil {
		x.close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	from := max(upTo+1, first, 1)
	if last >= from && last-from >= 10_000 {
		l.j.log.Info("journal: reading which messages it holds", "feed", l.feed, "messages", last-from+1)
	}
	for from <= last {
		entries, err := l.get(ctx, s, request{Seq: from, Batch: batchMessages, MaxBytes: batchBytes})
		if errors.Is(err, ErrNotFound) || err == nil && len(entries) == 0 {
			break
		}
		if err != nil {
			// Nothing is lost by that: a message that comes again is journaled again, and the ledger knows it.
			l.j.log.Warn("journal: what it holds can not be read to its end: messages that come again may be journaled again", "feed", l.feed, "from", from, "error", err)
			sound = false
			break
		}
		places := make([]place, len(entries))
		for i, e := range entries {
			places[i] = place{idHash(e.ID), e.Position.Seq}
			from = e.Position.Seq + 1
		}
		x.put(places)
		x.save()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.file != nil && (!sound || x.lines > 2*len(x.at)+1024) {
		if err := x.rewrite(); err != nil {
			x.giveUp(err)
		}
	}
	return x, nil
}

// load reads the file up to its first record that is not whole and leaves out what the
// stream does not have. It returns up to which sequence it knows the stream, and whether the file
// says nothing else than what was taken of it.
func (x *ids) load(last uint64) (upTo uint64, sound bool, err error) {
	r := bufio.NewReaderSize(x.file, 64<<10)
	var b [idRecord]byte
	sound = true
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return upTo, sound, nil
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			return 0, false, err
		}
		if crc32.ChecksumIEEE(b[:16]) != binary.LittleEndian.Uint32(b[16:]) {
			break
		}
		x.lines++
		hash, seq := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		if seq > last { // the stream lost its end
			sound = false
			continue
		}
		upTo = max(upTo, seq)
		if seq >= x.first {
			x.at[hash] = seq
		}
	}
	return upTo, sound, x.file.Truncate(int64(x.lines) * idRecord)
}
