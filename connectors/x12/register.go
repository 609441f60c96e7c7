package x12

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

const (
	maxControl  = 999_999_999 // control numbers have nine digits, and begin again at 1
	maxRemember = 100_000     // interchanges of each direction; older ones are forgotten
	maxLine     = 4 << 10
	registerLog = "register"
)

// A Register holds the control numbers of a site's partners: which of ours went
// out with what, and which of theirs came in. A number is given once and for a document; the
// same document has it again, after a crash too. So numbers neither repeat nor
// leave a gap: the one that was given to a document that never left is still
// that document's. It is a file of lines, each with a checksum, on stable storage
// before the number is used; it holds ids and hashes, no content. Safe for concurrent
// use; one process has it open.
type Register struct {
	mu              sync.Mutex
	path            string
	f               *os.File
	broken          error // of a write: what the file holds is not known until it is opened again
	last            map[string]Numbers
	out             map[string]issued // by document
	sent            map[string]string // documents by partner and control number
	in              map[string]string // by feed and control number
	outward, inward []string          // keys in the order of their age
}

// Numbers are the control numbers of one interchange of ours: ISA-13, and the
// GS-06 of its first group, to be counted on in those that follow.
type Numbers struct {
	Interchange uint32
	Group       uint32
	At          time.Time // ISA-09, ISA-10
}

type issued struct {
	Numbers
	partner string
	groups  int
}

// A line is one entry of the file.
type line struct {
	Partner     string    `json:"p,omitempty"` // what it is counted under
	Feed        string    `json:"f,omitempty"` // that received it
	Document    string    `json:"d,omitempty"` // of ours
	Interchange uint32    `json:"i,omitempty"`
	Group       uint32    `json:"g,omitempty"`
	Groups      int       `json:"n,omitempty"`
	Control     string    `json:"c,omitempty"` // of theirs
	Hash        string    `json:"h,omitempty"`
	At          time.Time `json:"t"`
}

// OpenRegister opens the register in a directory, which it makes if need be.
// A last line that was cut off, by a power failure, is taken away: the number
// in it was never used. Any other damage is an error.
func OpenRegister(dir string) (*Register, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("x12: register: %w", err)
	}
	r := &Register{path: filepath.Join(dir, registerLog), last: map[string]Numbers{}, out: map[string]issued{}, sent: map[string]string{}, in: map[string]string{}}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("x12: register: %w", err)
	}
	r.f = f
	lines, err := r.load()
	if err == nil && lines > 2*(len(r.out)+len(r.in)) && lines > 1000 {
		err = r.rewrite()
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		_ = r.f.Close()
		return nil, fmt.Errorf("x12: register %s: %w", r.path, err)
	}
	return r, nil
}

// Close closes the file.
func (r *Register) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = errors.New("x12: register: closed")
	return r.f.Close()
}

// Issue returns the control numbers of a document to a partner, an interchange
// of one group: see [Partner.Seal]. The same document, by an id of the caller's,
// gets the same numbers whenever it asks. When it returns they are on stable storage.
func (r *Register) Issue(p Partner, document string) (Numbers, error) {
	if err := p.fill(); err != nil {
		return Numbers{}, fmt.Errorf("x12: partner %s: %w", p.Name, err)
	}
	return r.issue(p.counter(), document, 1, p.First, nil)
}

// issue gives numbers and notes an interchange of the partner's in one write.
func (r *Register) issue(partner, document string, groups int, first uint32, came *line) (Numbers, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return Numbers{}, r.broken
	}
	var add []line
	if came != nil && r.in[came.Feed+"\x00"+came.Control] != came.Hash {
		add = append(add, *came)
	}
	var n Numbers
	if document != "" {
		old, ok := r.out[document]
		n = old.Numbers
		if !ok || old.partner != partner || old.groups != groups {
			last, ok := r.last[partner]
			if !ok {
				last = Numbers{Interchange: first - 1, Group: first - 1}
			}
			n = Numbers{Interchange: following(last.Interchange, 1), Group: following(last.Group, 1), At: time.Now().UTC().Truncate(time.Second)}
			add = append(add, line{Partner: partner, Document: document, Interchange: n.Interchange, Group: n.Group, Groups: groups, At: n.At})
		}
	}
	if len(add) == 0 {
		return n, nil
	}
	var b bytes.Buffer
	for i := range add {
		if err := writeLine(&b, &add[i]); err != nil {
			return Numbers{}, err
		}
	}
	if _, err := r.f.Write(b.Bytes()); err != nil {
		r.broken = fmt.Errorf("x12: register: %w", err)
		return Numbers{}, r.broken
	}
	if err := r.f.Sync(); err != nil {
		r.broken = fmt.Errorf("x12: register: %w", err)
		return Numbers{}, r.broken
	}
	atNumbered.Hit()
	for i := range add {
		r.note(&add[i])
	}
	return n, nil
}

// following returns the control number n after last.
func following(last uint32, n int) uint32 {
	return uint32((uint64(last)+uint64(n)-1)%maxControl) + 1
}

// Sent returns the document that went out to a partner in the group with this
// control number; ok is false when none did, as far as is remembered.
func (r *Register) Sent(p Partner, group uint32) (document string, ok bool) {
	if p.fill() != nil {
		return "", false
	}
	return r.find(p.counter(), "GS", group)
}

// find is Sent for a GS-06 or ISA-13 of what is counted together.
func (r *Register) find(counter, of string, n uint32) (document string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	document, ok = r.sent[sentKey(counter, of, n)]
	return document, ok
}

func sentKey(partner, of string, n uint32) string {
	return partner + "\x00" + of + strconv.FormatUint(uint64(n), 10)
}

// came returns the hash of the interchange that a feed received under this
// control number, "" when there was none.
func (r *Register) came(feed, control string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.in[feed+"\x00"+control]
}

// Bounds says how many interchanges are remembered.
func (r *Register) Bounds() []broker.Bound {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []broker.Bound{
		{Name: "interchanges received that are remembered", Used: int64(len(r.inward)), Limit: maxRemember},
		{Name: "interchanges sent that are remembered", Used: int64(len(r.outward)), Limit: maxRemember},
	}
}

// note takes a line into memory, and forgets the oldest.
func (r *Register) note(l *line) {
	switch {
	case l.Control != "":
		key := l.Feed + "\x00" + l.Control
		if _, again := r.in[key]; !again {
			r.inward = append(r.inward, key)
		}
		r.in[key] = l.Hash
		if len(r.inward) > maxRemember {
			delete(r.in, r.inward[0])
			r.inward = r.inward[1:]
		}
		return
	case l.Document == "":
		r.last[l.Partner] = Numbers{Interchange: l.Interchange, Group: l.Group}
		return
	}
	r.last[l.Partner] = Numbers{Interchange: l.Interchange, Group: following(l.Group, max(l.Groups-1, 0))}
	if l.Groups == 0 {
		r.last[l.Partner] = Numbers{Interchange: l.Interchange, Group: l.Group - 1}
	}
	if _, again := r.out[l.Document]; !again {
		r.outward = append(r.outward, l.Document)
	}
	r.out[l.Document] = issued{Numbers{l.Interchange, l.Group, l.At}, l.Partner, l.Groups}
	r.sent[sentKey(l.Partner, "ISA", l.Interchange)] = l.Document
	for i := range l.Groups {
		r.sent[sentKey(l.Partner, "GS", following(l.Group, i))] = l.Document
	}
	if len(r.outward) > maxRemember {
		old := r.out[r.outward[0]]
		delete(r.out, r.outward[0])
		delete(r.sent, sentKey(old.partner, "ISA", old.Interchange))
		for i := range old.groups {
			delete(r.sent, sentKey(old.partner, "GS", following(old.Group, i)))
		}
		r.outward = r.outward[1:]
	}
}

func writeLine(b *bytes.Buffer, l *line) error {
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("x12: register: %w", err)
	}
	if len(data) > maxLine-16 {
		return errors.New("x12: register: the name of a document is too long")
	}
	fmt.Fprintf(b, "%08x ", crc32.ChecksumIEEE(data))
	b.Write(data)
	b.WriteByte('\n')
	return nil
}

// load reads the file and returns how many lines it has.
func (r *Register) load() (lines int, err error) {
	in := bufio.NewReaderSize(r.f, 64<<10)
	end := int64(0) // of what is sound
	for {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) <= maxLine {
			break // nothing, or a line that was cut off
		}
		if err != nil {
			return 0, err
		}
		lines++
		l, ok := readLine(text)
		if !ok {
			if _, err := in.Peek(1); errors.Is(err, io.EOF) {
				break // the last one, torn
			}
			return 0, fmt.Errorf("line %d is damaged: put back a copy of the file, or take it away and set `first` of each partner beyond the last number that was used", lines)
		}
		r.note(&l)
		end += int64(len(text))
	}
	if err := r.f.Truncate(end); err != nil {
		return 0, err
	}
	_, err = r.f.Seek(end, io.SeekStart)
	return lines, err
}

func readLine(text []byte) (l line, ok bool) {
	sum, data, ok := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)) {
		return l, false
	}
	return l, json.Unmarshal(data, &l) == nil
}

// rewrite leaves out of the file what is forgotten.
func (r *Register) rewrite() error {
	var b bytes.Buffer
	write := func(l line) error { return writeLine(&b, &l) }
	var err error
	for _, key := range r.inward {
		feed, control, _ := strings.Cut(key, "\x00")
		err = errors.Join(err, write(line{Feed: feed, Control: control, Hash: r.in[key]}))
	}
	for _, document := range r.outward {
		o := r.out[document]
		err = errors.Join(err, write(line{Partner: o.partner, Document: document, Interchange: o.Interchange, Group: o.Group, Groups: o.groups, At: o.At}))
	}
	for partner, n := range r.last { // at the end: what is forgotten counted on, too
		err = errors.Join(err, write(line{Partner: partner, Interchange: n.Interchange, Group: n.Group}))
	}
	if err != nil {
		return err
	}
	next, err := os.OpenFile(r.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = next.Write(b.Bytes())
	err = errors.Join(err, next.Sync())
	if err == nil {
		err = os.Rename(r.path+".new", r.path)
	}
	if err != nil {
		return errors.Join(err, next.Close())
	}
	old := r.f
	r.f = next
	return old.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
