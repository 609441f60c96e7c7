package hl7

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/vagus-health/vagus/contract-tests/sink"
)

// A receiver is a hospital system that takes messages over MLLP.
type receiver struct {
	t    testing.TB
	addr string
	tls  *tls.Config
	// respond returns the frames' contents that answer the n-th message, and
	// whether the connection goes on; nil: as script says.
	respond func(n int, msg string) (answers []string, goOn bool)

	mu       sync.Mutex
	ln       net.Listener
	conns    map[net.Conn]bool
	opened   int
	script   func(int) sink.Answer
	ids, all []string
	taken    []string
	pipeline bool // a message came before the one before it was answered
	wait     sync.WaitGroup
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{t: t, conns: map[net.Conn]bool{}, script: func(int) sink.Answer { return sink.Take }}
	r.addr = "127.0.0.1:0"
	r.Start()
	t.Cleanup(func() { r.Stop(); r.wait.Wait() })
	return r
}

func (r *receiver) Start() {
	ln, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.tls != nil {
		ln = tls.NewListener(ln, r.tls)
	}
	r.mu.Lock()
	r.ln, r.addr = ln, ln.Addr().String()
	r.mu.Unlock()
	r.wait.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[c] = true
			r.opened++
			r.mu.Unlock()
			r.wait.Go(func() { r.serve(c) })
		}
	})
}

func (r *receiver) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.ln.Close()
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *receiver) Script(f func(int) sink.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = f
}

func (r *receiver) Came() (ids, contents []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...), append([]string(nil), r.all...)
}

func (r *receiver) Taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.taken...)
}

func (r *receiver) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

func (r *receiver) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	frames := newFrameReader(c, 1<<20)
	for {
		frame, err := frames.next(func() {})
		if err != nil {
			return
		}
		if frames.to > frames.from {
			r.mu.Lock()
			r.pipeline = true
			r.mu.Unlock()
		}
		answers, goOn := r.answer(bytes.Clone(frame))
		for _, a := range answers {
			if _, err := c.Write(appendFrame(nil, []byte(a))); err != nil {
				return
			}
		}
		if !goOn {
			return
		}
	}
}

// answer notes what came and decides; the answers quote it, as some receivers do.
func (r *receiver) answer(frame []byte) ([]string, bool) {
	e, err := readEnvelope(frame)
	if err != nil {
		return nil, true
	}
	if string(e.component(9, 1)) == "ACK" { // of an application acknowledgement
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, string(frame))
		return nil, true
	}
	id := string(e.controlID())
	r.mu.Lock()
	n, script, respond := len(r.ids), r.script, r.respond
	r.ids, r.all = append(r.ids, id), append(r.all, string(frame))
	r.mu.Unlock()
	if respond != nil {
		return respond(n, string(frame))
	}
	how := script(n)
	if how == sink.Take || how == sink.CutAfter {
		r.mu.Lock()
		if !strings.Contains(" "+strings.Join(r.taken, " ")+" ", " "+id+" ") {
			r.taken = append(r.taken, id)
		}
		r.mu.Unlock()
	}
	accept, app := string(e.fields[15]), string(e.fields[16])
	codes := []string{map[sink.Answer]string{sink.Take: "AA", sink.Refuse: "AE", sink.NotNow: "AE"}[how]}
	if accept == "AL" {
		codes = []string{"CA", codes[0]}
		if app != "AL" {
			codes = []string{map[sink.Answer]string{sink.Take: "CA", sink.Refuse: "CE", sink.NotNow: "CE"}[how]}
		}
	}
	errSegment := map[sink.Answer]string{sink.Refuse: "ERR||ITM^1^2|103^Table value not found^HL70357|E||||" + sink.Canary + "\r", sink.NotNow: "ERR|||207^" + sink.Canary + "|E\r"}[how]
	switch how {
	case sink.CutBefore, sink.CutAfter:
		return nil, false
	case sink.Silence:
		return nil, true
	}
	var out []string
	for _, code := range codes {
		out = append(out, ack(code, id)+errSegment)
	}
	return out, true
}

func ack(code, id string) string {
	return fmt.Sprintf("MSH|^~\\&|LAB|NORTH|||20260504162011||ACK^M16^ACK|R%s|P|2.6\rMSA|%s|%s\r", code, code, id)
}
