package hl7

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/vagus-health/vagus/broker"
)

// MLLP (HL7 2.5.1 implementation guide, appendix C): <VT> content <FS> <CR>.
const (
	startBlock = 0x0b
	endBlock   = 0x1c
	carriage   = 0x0d

	smallBuffer = 16 << 10
	maxBetween  = 64 << 10 // bytes outside frames that are thrown away before the connection is closed
)

var (
	errTooLarge = errors.New("frame over the limit")
	errOutside  = errors.New("too many bytes outside frames")
)

// A frameReader cuts a stream into frames. Its buffer grows to the largest
// frame in hand and shrinks again after it.
type frameReader struct {
	r         io.Reader
	max       int // bytes of content
	buf       []byte
	from, to  int // what was read and not consumed: buf[from:to]
	discarded int // bytes outside frames, in all
	room      *frameRoom
	held      int // of its bytes
}

// A frameRoom is what the large frames of all connections together may take while they are
// received: each may be large, but not all at once.
type frameRoom struct {
	used  atomic.Int64
	limit int64
}

// errNoRoom is answered as a full journal is: the sender keeps the message and sends it again.
var errNoRoom = fmt.Errorf("too many large frames at once: %w", broker.ErrFull)

// hold makes what the reader holds of the room n bytes; false says that there is no such room.
func (f *frameReader) hold(n int) bool {
	if f.room == nil || n == f.held {
		return true
	}
	grown := int64(n - f.held)
	if f.room.used.Add(grown) > f.room.limit && grown > 0 {
		f.room.used.Add(-grown)
		return false
	}
	f.held = n
	return true
}

func newFrameReader(r io.Reader, limit int) *frameReader {
	return &frameReader{r: r, max: limit, buf: make([]byte, smallBuffer)}
}

// next returns the content of the next frame; it is valid until the next
// call. begin is called when the frame's first byte was seen. With
// errTooLarge it returns the beginning of the frame that it gave up on.
func (f *frameReader) next(begin func()) ([]byte, error) {
	if len(f.buf) > 4*smallBuffer && f.to-f.from < smallBuffer {
		small := make([]byte, smallBuffer)
		f.to = copy(small, f.buf[f.from:f.to])
		f.buf, f.from = small, 0
		f.hold(0)
	}
	if err := f.seekStart(); err != nil {
		return nil, err
	}
	begin()
	scan := 0 // relative to from: content before it holds no end
	for {
		window := f.buf[f.from:f.to]
		i := bytes.IndexByte(window[scan:], endBlock)
		switch {
		case i < 0:
			scan = len(window)
		case scan+i+1 == len(window):
			scan += i
		case window[scan+i+1] == carriage && scan+i <= f.max:
			f.from += scan + i + 2
			return window[: scan+i : scan+i], nil
		default: // content, such as half of a UTF-16 character
			scan += i + 1
			continue
		}
		if scan > f.max {
			return window[:min(len(window), 4096)], errTooLarge
		}
		if err := f.fill(); err != nil {
			if errors.Is(err, errNoRoom) {
				return window[:min(len(window), 4096)], err
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// seekStart consumes the next start block and all before it.
func (f *frameReader) seekStart() error {
	for thrown := 0; ; {
		i := bytes.IndexByte(f.buf[f.from:f.to], startBlock)
		if i >= 0 {
			f.discarded += i
			f.from += i + 1
			return nil
		}
		thrown += f.to - f.from
		f.discarded += f.to - f.from
		f.from, f.to = 0, 0
		if thrown > maxBetween {
			return errOutside
		}
		if err := f.fill(); err != nil {
			return err
		}
	}
}

// fill reads once, after making room.
func (f *frameReader) fill() error {
	if f.from > 0 && f.to == len(f.buf) {
		f.to = copy(f.buf, f.buf[f.from:f.to])
		f.from = 0
	}
	if f.to == len(f.buf) {
		size := min(2*len(f.buf), f.max+smallBuffer)
		if size > 4*smallBuffer && !f.hold(size) {
			return errNoRoom
		}
		grown := make([]byte, size)
		f.to = copy(grown, f.buf[:f.to])
		f.buf = grown
	}
	n, err := f.r.Read(f.buf[f.to:])
	f.to += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// appendFrame appends content as one frame.
func appendFrame(dst []byte, content []byte) []byte {
	dst = append(dst, startBlock)
	dst = append(dst, content...)
	return append(dst, endBlock, carriage)
}
