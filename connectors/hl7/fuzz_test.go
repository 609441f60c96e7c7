package hl7

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

// sampleADT is an invented admission of the usual size.
var sampleADT = mustReadFile("testdata/adt_a01.hl7")

func mustReadFile(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.hl7")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds in testdata", err)
	}
	for _, name := range files {
		f.Add([]byte(mustReadFile(name)))
	}
	f.Add([]byte("MSH|^~\\&#|A\rPID|\\X41\\\\F|\"\"~^&\n\nx"))
	f.Add([]byte("\xff\xfeM\x00S\x00H\x00|\x00^\x00~\x00"))
	root := os.Getenv("VAGUS_CORPORA") // TestCorpus says when it is missing
	if root == "" {
		return
	}
	err = filepath.WalkDir(filepath.Join(root, "hl7v2"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".json") {
			return err
		}
		f.Add([]byte(mustReadFile(path)))
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Parse(body)
		if err != nil {
			return
		}
		if !bytes.Equal(rebuild(m), m.Body()) {
			t.Fatal("the views do not give the same bytes again")
		}
		for i := range m.Len() {
			s := m.Segment(i)
			for n := range s.Len() + 2 {
				_ = s.Field(n).Text()
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := in(t, "2.5.1").Decode(body, nil); err == nil {
			if _, err := Parse(body); err != nil {
				t.Fatal("decoded, but not parsed")
			}
		}
	})
}

// FuzzSplit checks that the messages of a batch lie in the frame, in order and
// without overlap.
func FuzzSplit(f *testing.F) {
	seed(f)
	f.Add([]byte("FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&|1\rPID|\rMSH|^~\\&|2\rBTS|2\rFTS|1"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		b, err := split(frame)
		if err != nil {
			return
		}
		rest, n := frame, 0
		for _, g := range b.groups {
			for _, m := range g.messages {
				i := bytes.Index(rest, m)
				if i < 0 {
					t.Fatal("a message that is not in the frame")
				}
				rest = rest[i+len(m):]
				n++
			}
		}
		if n != b.count || n == 0 {
			t.Fatalf("%d messages, counted %d", n, b.count)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("junk\x0bMSH|^~\\&|A\r\x1c\r\x0b\x1c\r\x0bx\x1cy\x1c\r"), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		r := newFrameReader(&chunked{stream, int(chunk)%7 + 1}, 1000)
		for range 1000 {
			frame, err := r.next(func() {})
			if err != nil {
				return
			}
			if len(frame) > 1000 || bytes.Contains(frame, []byte{endBlock, carriage}) {
				t.Fatal("a frame over the limit, or two in one")
			}
		}
	})
}

// chunked gives a stream in small pieces, as a network may.
type chunked struct {
	data []byte
	n    int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.data)
	c.data = c.data[n:]
	return n, nil
}

// FuzzPairs checks that the pairs of a merge are all of it, each with what is ahead of the first.
func FuzzPairs(f *testing.F) {
	seed(f)
	f.Add([]byte(merge("M1", "PID|1\rMRG|2\r", "PID|2\nMRG|4\r\n")))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := readEnvelope(body)
		if err != nil {
			return
		}
		parts := pairs(body, &e)
		if len(parts) == 0 {
			return
		}
		shared := bytes.Index(parts[0], []byte("PID"))
		for shared >= 0 && !bytes.Equal(joined(parts, shared), body) {
			next := bytes.Index(parts[0][shared+1:], []byte("PID"))
			if next < 0 {
				t.Fatalf("%q is not in its %d pairs", body, len(parts))
			}
			shared += next + 1
		}
		for _, p := range parts {
			if e, err := readEnvelope(p); err != nil || pairs(p, &e) != nil {
				t.Fatalf("%q is no pair: %v", p, err)
			}
		}
	})
}

// joined puts pairs that have this many bytes in common together again.
func joined(parts [][]byte, shared int) []byte {
	out := bytes.Clone(parts[0][:shared])
	for _, p := range parts {
		out = append(out, p[shared:]...)
	}
	return out
}

// FuzzReceive checks that whatever a transport brings is counted, and refused
// with an answer when nothing of it is taken.
func FuzzReceive(f *testing.F) {
	seed(f)
	f.Add([]byte("BHS!\"!\nBHS\nMSH"))
	f.Add([]byte("\vMSH|^~\\&|A|||||||1\x1c\r\vMSH|^~\\&|B\x1c\r"))
	r, err := NewReceiver(testFeed, Config{AckMode: AckOriginal})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		stored := 0
		got, err := r.Receive(t.Context(), broker.Delivery{Type: mediaType, Body: body}, func(_ context.Context, ms ...*broker.Message) error { stored += len(ms); return nil })
		if got.Accepted > stored || (got.Accepted == 0) != (stored == 0) || got.Accepted+got.Refused == 0 || (err == nil) != (stored > 0) || !bytes.Contains(got.Answer, []byte("MSA")) && !isUTF16(body) {
			t.Fatalf("%d stored, %d accepted, %d refused, answer of %d bytes, %v", stored, got.Accepted, got.Refused, len(got.Answer), err)
		}
	})
}
