package simulated

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
)

// A FaultKind is a way to fail.
type FaultKind int

const (
	FaultHangUp          FaultKind = iota + 1 // close without doing the work or answering
	FaultDieBeforeReply                       // do the work, commit, then close without answering
	FaultStatus                               // answer with an HTTP status and a page for people
	FaultGarbage                              // answer something that is not Odoo's
	FaultStall                                // answer only when the client has gone
	FaultRaise                                // raise an exception instead of running the method
	faultKindsBeforeWork = FaultStall
)

// A Fault makes calls fail: those of Method of Model, of all methods or models
// when one is empty; so many Times, or until Heal when that is 0.
type Fault struct {
	Kind           FaultKind
	Model, Method  string
	Times          int
	Status         int    // of FaultStatus
	Class, Message string // of FaultRaise, as JSON-RPC names them; in load, SerializationFailure is a message, as on a real server
}

// Fail adds a fault. SerializationFailure is the most common one of FaultRaise.
func (s *Server) Fail(f Fault) {
	if f.Kind == FaultRaise && f.Class == "" {
		e := serializationFailure()
		f.Class, f.Message = e.class, e.message
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal takes all faults and poisons away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.poisons = map[string]Poison{}
}

// A Poison is what happens to a row of load that holds a certain text.
type Poison int

const (
	PoisonReject Poison = iota + 1 // a rule refuses it
	PoisonRetry                    // it collides with another transaction, every time
	PoisonCrash                    // the worker dies on it
)

// Poison makes every row of load fail in which a cell is exactly value, such as
// an external id or a ref; with PoisonReject also the reading of a record that holds it.
func (s *Server) Poison(value string, p Poison) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poisons[value] = p
}

// Archive deactivates a user, or activates it again.
func (s *Server) Archive(login string, archived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		if s.users[i].Login == login {
			s.users[i].archived = archived
		}
	}
}

// take uses up one occurrence of the first fault that pick accepts. The caller holds mu.
func (s *Server) take(pick func(*Fault) bool) *Fault {
	for i, f := range s.faults {
		if !pick(f) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

func (s *Server) takeFault(c call, kind FaultKind) *Fault {
	return s.take(func(f *Fault) bool {
		return f.Kind == kind && (f.Method == "" || f.Method == c.method) && (f.Model == "" || f.Model == c.model)
	})
}

// mentions says whether a request is one that the fault is meant for, without parsing it.
func (f *Fault) mentions(path string, body []byte) bool {
	says := func(word, inPath string) bool {
		return word == "" || strings.Contains(path+"/", inPath) || bytes.Contains(body, []byte(`"`+word+`"`)) || bytes.Contains(body, []byte(`>`+word+`<`))
	}
	return says(f.Method, "/"+f.Method+"/") && says(f.Model, "/"+f.Model+"/")
}

// before is the fault that strikes before the work, if any.
func (s *Server) before(path string, body []byte) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 {
		return nil
	}
	f := s.take(func(f *Fault) bool {
		return f.Kind <= faultKindsBeforeWork && f.Kind != FaultDieBeforeReply && f.mentions(path, body)
	})
	if f != nil {
		s.note(calling{At: time.Now(), Method: path, Class: "fault: " + f.rule()})
	}
	return f
}

// after says whether the server dies now that the work is committed.
func (s *Server) after(path string, body []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 {
		return false
	}
	return s.take(func(f *Fault) bool { return f.Kind == FaultDieBeforeReply && f.mentions(path, body) }) != nil
}

func (s *Server) misbehave(w http.ResponseWriter, f *Fault) {
	switch f.Kind {
	case FaultStatus:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, page500)
	case FaultGarbage:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html><body>Please log in to the hotel's network.</body></html>")
	case FaultStall:
		// Reading notices when the client goes; an hour is for ever here.
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				_ = conn.SetDeadline(time.Now().Add(time.Hour))
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.Close()
			}
		}
	default:
		hangUp(w)
	}
}

// SetKey gives a user another key; the old one is refused from now on.
func (s *Server) SetKey(login, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		if s.users[i].Login == login {
			s.users[i].Key = key
		}
	}
}
