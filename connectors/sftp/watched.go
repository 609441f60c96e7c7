package sftp

import (
	"errors"
	"net"
	"sync"
	"time"
)

var (
	errQuiet = errors.New("the server does not answer")
	errMuch  = errors.New("the server sends more than what was asked for can have")
)

// A watched connection ends when nothing comes or goes for too long during a call,
// and when more comes than the call allows.
type watched struct {
	net.Conn
	timeout time.Duration

	mu    sync.Mutex
	timer *time.Timer // runs during a call
	left  int64       // bytes that may still come
	fault error       // why we ended it
}

// begin begins a call.
func (w *watched) begin(budget int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = budget
	w.timer = time.AfterFunc(w.timeout, func() { w.give(errQuiet) })
}

// end ends a call and returns why the connection was ended meanwhile, if we did it.
func (w *watched) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.timer = nil
	return w.fault
}

func (w *watched) give(fault error) {
	w.mu.Lock()
	if w.fault == nil {
		w.fault = fault
	}
	w.mu.Unlock()
	_ = w.Close()
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.passed(n, true) {
		w.give(errMuch)
		return 0, errMuch
	}
	return n, err
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.passed(n, false)
	return n, err
}

// passed notes that bytes came or went, and says whether too many came.
func (w *watched) passed(n int, in bool) (tooMany bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > 0 && w.timer != nil {
		w.timer.Reset(w.timeout)
	}
	if in {
		w.left -= int64(n)
	}
	return w.left < 0
}
