package bed

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain: the relays of a line are this program as well.
func TestMain(m *testing.M) {
	Role()
	os.Exit(m.Run())
}

// Where there can be no line, that is said.
func TestALineIsAsSlowAsItIsToldAndCanBePulled(t *testing.T) {
	if reason := Lines(); reason != nil {
		t.Log(reason)
		return
	}
	// Who answers sends back what it hears.
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	l, err := NewLine(t.TempDir(), echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 24 << 10
	trip := func(limit time.Duration) (time.Duration, error) {
		c, err := net.DialTimeout("tcp", l.Addr(), limit)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		began := time.Now()
		_ = c.SetDeadline(began.Add(limit))
		go func() { _, _ = io.Copy(c, strings.NewReader(strings.Repeat("x", size))) }()
		_, err = io.CopyN(io.Discard, c, size)
		return time.Since(began), err
	}
	if err := Wait(t.Context(), "a line that leads to its end", 30*time.Second, func() bool { _, err := trip(10 * time.Second); return err == nil }); err != nil {
		t.Fatal(err)
	}
	if err := l.Slow("128kbit", "400ms"); err != nil {
		t.Fatal(err)
	}
	if d, err := trip(60 * time.Second); err != nil || d < time.Second { // 24 KiB are 1.5 s
		t.Errorf("with 128 kbit/s it takes %v: %v", d, err)
	}
	if err := l.Pull(); err != nil {
		t.Fatal(err)
	}
	if d, err := trip(300 * time.Millisecond); err == nil {
		t.Errorf("a line that was pulled takes %v", d)
	}
	if err := l.Restore(); err != nil {
		t.Fatal(err)
	}
	if d, err := trip(30 * time.Second); err != nil {
		t.Errorf("restored it takes %v: %v", d, err)
	}
}
