package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// A Sender is a hospital system that sends by MLLP, one message after the
// other, and waits for each answer. Not safe for concurrent use.
type Sender struct {
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to an MLLP listener.
func Dial(ctx context.Context, addr string) (*Sender, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Sender{conn: conn, in: bufio.NewReader(conn)}, nil
}

// Send sends one message and returns MSA-1 of its answer ("AA", "AE", "AR",
// "CA", "CE", "CR") and MSA-2, the control id that it answers.
func (s *Sender) Send(ctx context.Context, body []byte) (code, controlID string, err error) {
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(deadline); err != nil {
		return "", "", err
	}
	frame := make([]byte, 0, len(body)+3)
	frame = append(append(append(frame, 0x0b), body...), 0x1c, '\r')
	if _, err := s.conn.Write(frame); err != nil {
		return "", "", err
	}
	answer, err := s.in.ReadBytes(0x1c)
	if err != nil {
		return "", "", fmt.Errorf("wait for the acknowledgement: %w", err)
	}
	if _, err := s.in.ReadByte(); err != nil { // the CR after the end block
		return "", "", err
	}
	for line := range bytes.SplitSeq(bytes.Trim(answer, "\x0b\x1c"), []byte{'\r'}) {
		if f := strings.Split(string(line), "|"); f[0] == "MSA" && len(f) > 1 {
			if len(f) > 2 {
				controlID = f[2]
			}
			return f[1], controlID, nil
		}
	}
	return "", "", errors.New("the answer has no MSA segment")
}

// SendPart writes a frame's beginning and ends the connection.
func (s *Sender) SendPart(body []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := s.conn.Write(append([]byte{0x0b}, body...))
	return errors.Join(err, s.conn.Close())
}

// Close ends the connection.
func (s *Sender) Close() error { return s.conn.Close() }
