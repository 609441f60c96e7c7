package fhir

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// Bounds of one step: so much of a file is in memory at once, is stored in one
// step, and is read again at most when the process is killed.
const (
	stepBytes = 4 << 20
	stepLines = 1000
	maxLine   = maxBody
)

// readFile reads the first of the files from where it stood to its end.
func (e *export) readFile(ctx context.Context, accept broker.Accept) error {
	f := &e.state.Files[0]
	resp, err := e.open(ctx, f)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f.ETag = resp.Header.Get("ETag")
	lines := bufio.NewReaderSize(resp.Body, 256<<10)
	var ms []*broker.Message
	size, read, count := 0, int64(0), int64(0) // of the step
	flush := func() error {
		if f.Kind == "error" {
			if count > 0 {
				e.s.log.Warn("the export tells of resources that it could not give", "count", count)
			}
		} else if err := e.s.store(ctx, accept, ms); err != nil {
			return err
		}
		atExported.Hit()
		f.Offset += read
		f.Line += count
		ms, size, read, count = ms[:0], 0, 0, 0
		return save(e.file, e.state)
	}
	for {
		line, n, err := readLine(lines)
		read += n
		switch {
		case errors.Is(err, io.EOF):
			return flush()
		case errors.Is(err, errLong):
			e.s.meters.Refused(ctx, 1, "too_large")
			e.s.log.Error("left out: a line of the export is too large, and stays at the server", "line", f.Line+count+1, "limit", maxLine)
		case err != nil:
			// What came before is sound; the rest is asked for again.
			return errors.Join(noAnswer(ctx, http.MethodGet, err), flush())
		case len(line) > 0 && f.Kind != "error":
			ms = append(ms, e.s.resource(line, "", time.Now().UTC()))
			size += len(line)
		}
		count++
		if size >= stepBytes || count >= stepLines {
			if err := flush(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// open asks for a file from its offset on. A server that can not do that, or
// whose file is another one by now, sends all of it.
func (e *export) open(ctx context.Context, f *exportFile) (*http.Response, error) {
	header := http.Header{"Accept": {ndjsonType}}
	if f.Offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", f.Offset))
		header.Set("Accept-Encoding", "identity")
		if strings.HasPrefix(f.ETag, `"`) { // a weak one can not be compared
			header.Set("If-Range", f.ETag)
		}
	}
	resp, err := e.s.client.do(ctx, http.MethodGet, f.URL, header, nil, e.state.Token)
	var server *serverError
	if errors.As(err, &server) && server.status == http.StatusRequestedRangeNotSatisfiable {
		// It ended where we stood, or it is shorter than it was.
		header.Del("Range")
		header.Del("If-Range")
		resp, err = e.s.client.do(ctx, http.MethodGet, f.URL, header, nil, e.state.Token)
	}
	if err != nil || f.Offset == 0 {
		return resp, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", f.Offset)):
		return resp, nil
	case resp.StatusCode == http.StatusPartialContent:
		_ = resp.Body.Close()
		return nil, &serverError{text: "the FHIR server sent another part of the file than was asked for"}
	case resp.Header.Get("ETag") != f.ETag: // another file: from its beginning
		f.Offset, f.Line = 0, 0
		return resp, nil
	}
	if _, err := io.CopyN(io.Discard, resp.Body, f.Offset); err != nil {
		_ = resp.Body.Close()
		if errors.Is(err, io.EOF) {
			f.Offset, f.Line = 0, 0
			return nil, &serverError{text: "a file of the export is shorter than it was: it is read again"}
		}
		return nil, noAnswer(ctx, http.MethodGet, err)
	}
	return resp, nil
}

var errLong = errors.New("a line is too long")

// readLine returns the next line without its end and the blanks around it, in
// memory of its own, and how many bytes were read for it. A last line needs no
// end. One over maxLine is read over: errLong.
func readLine(r *bufio.Reader) (line []byte, n int64, err error) {
	part, err := r.ReadSlice('\n')
	n = int64(len(part))
	if err == nil {
		return bytes.Clone(bytes.TrimSpace(part)), n, nil
	}
	long := false
	line = bytes.Clone(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.ReadSlice('\n')
		n += int64(len(part))
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF), errors.Is(err, io.EOF) && n == 0:
		return nil, n, err
	case long:
		return nil, n, errLong
	}
	return bytes.TrimSpace(line), n, nil
}
