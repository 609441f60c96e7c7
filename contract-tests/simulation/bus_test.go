package simulation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A bus is the hub in memory: as much of the NATS protocol and of JetStream as link, worker and
// the clients they use ask for. Whatever else it is asked for fails the run.
type bus struct {
	world *world

	mu     sync.Mutex
	wires  map[*wire]*session
	serial map[string]int // connections of each process so far
	down   time.Time      // nobody answers before
	store  map[string]*stored
	staged map[string][]clientOp // batches that are not committed, by id
	sends  func(l *wire, m *message, ids bool)
	asked  func(l *wire, filter string, last *message)
}

// A session is what the hub knows of a connection.
type session struct {
	subs map[string]*sub // by sid
}

type sub struct {
	subject, sid string
	left         int // messages until it ends, -1: no end
}

func newBus(w *world) *bus {
	b := &bus{world: w, wires: map[*wire]*session{}, serial: map[string]int{}, staged: map[string][]clientOp{}}
	b.store = map[string]*stored{"UNITS": newStored(b, "UNITS", "unit."), "DOWN": newStored(b, "DOWN", "down.")}
	return b
}

// A dialer is how one process reaches the hub.
type dialer struct {
	b *bus
	p *process
}

// Dial implements nats.CustomDialer.
func (d dialer) Dial(string, string) (net.Conn, error) {
	if d.p.isDead() {
		return nil, errKilled
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	if time.Now().Before(d.b.down) || d.p.isPaused() {
		return nil, errors.New("connection refused")
	}
	d.b.serial[d.p.name]++
	l := &wire{p: d.p, hub: d.b, id: fmt.Sprintf("%s#%d", d.p.name, d.b.serial[d.p.name])}
	l.cond = sync.NewCond(&l.mu)
	l.up, l.down = pipe{w: l, of: l.id + ">"}, pipe{w: l, of: l.id + "<"}
	d.b.wires[l] = &session{subs: map[string]*sub{}}
	d.p.mu.Lock()
	d.p.lines = append(d.p.lines, l)
	d.p.mu.Unlock()
	l.arrive([]byte(`INFO {"server_id":"SIM","server_name":"sim","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}` + "\r\n"))
	return l, nil
}

// tell sends bytes to a client.
func (b *bus) tell(l *wire, data []byte) { l.down.send(func() { l.arrive(data) }) }

// hangUp forgets a connection. b.mu is held.
func (b *bus) hangUp(l *wire) {
	delete(b.wires, l)
	for _, s := range b.store {
		s.hangUp(l)
	}
}

// A clientOp is one operation of the client's protocol.
type clientOp struct {
	verb           string
	args           []string
	subject, reply string
	header, data   []byte
}

// readOp reads the first operation of what a client has written.
func readOp(b []byte) (op clientOp, rest []byte, ok bool) {
	i := bytes.Index(b, []byte("\r\n"))
	if i < 0 {
		return op, b, false
	}
	verb, line, _ := strings.Cut(string(b[:i]), " ")
	op.verb, rest = strings.ToUpper(verb), b[i+2:]
	if op.verb == "CONNECT" {
		return op, rest, true
	}
	op.args = strings.Fields(line)
	head := 0
	switch op.verb {
	case "HPUB":
		head, _ = strconv.Atoi(op.args[len(op.args)-2])
		fallthrough
	case "PUB":
		size, _ := strconv.Atoi(op.args[len(op.args)-1])
		if len(rest) < size+2 {
			return op, b, false
		}
		op.header, op.data = bytes.Clone(rest[:head]), bytes.Clone(rest[head:size])
		rest = rest[size+2:]
		op.subject = op.args[0]
		if n := map[string]int{"PUB": 3, "HPUB": 4}[op.verb]; len(op.args) == n {
			op.reply = op.args[1]
		}
	}
	return op, rest, true
}

// arrived does what an operation asks for. b.mu is held.
func (b *bus) arrived(l *wire, op clientOp) {
	s := b.wires[l]
	switch op.verb {
	case "CONNECT", "PONG":
	case "PING":
		b.tell(l, []byte("PONG\r\n"))
	case "SUB":
		if s != nil {
			s.subs[op.args[len(op.args)-1]] = &sub{subject: op.args[0], sid: op.args[len(op.args)-1], left: -1}
		}
	case "UNSUB":
		if s == nil {
			return
		}
		if x := s.subs[op.args[0]]; x != nil && len(op.args) > 1 {
			x.left, _ = strconv.Atoi(op.args[1])
		} else {
			delete(s.subs, op.args[0])
		}
	case "PUB", "HPUB":
		b.published(l, op)
	default:
		b.world.breach(nil, "the simulated hub does not know %s", op.verb)
	}
}

// published routes what a client publishes. b.mu is held.
func (b *bus) published(l *wire, op clientOp) {
	switch {
	case strings.HasPrefix(op.subject, "$JS.API."):
		b.api(l, op)
	case strings.HasPrefix(op.subject, "$JS.ACK."):
		b.acknowledged(l, op)
	case strings.HasPrefix(op.subject, "unit."):
		b.append(l, b.store["UNITS"], op)
	case strings.HasPrefix(op.subject, "down."):
		b.append(l, b.store["DOWN"], op)
	case !b.route(op) && op.reply != "":
		b.send(l, op.reply, "", []byte("NATS/1.0 503\r\n\r\n"), nil)
	}
}

// route gives a message to those who subscribed.
func (b *bus) route(op clientOp) (any bool) {
	for l, s := range b.wires {
		for _, x := range s.subs {
			if matches(x.subject, op.subject) {
				any = true
				b.deliver(l, s, x, op.subject, op.reply, op.header, op.data)
			}
		}
	}
	return any
}

// send gives a message to the one connection that it is for, if that still listens.
func (b *bus) send(l *wire, subject, reply string, header, data []byte) bool {
	return b.sendAs(l, subject, subject, reply, header, data)
}

// sendAs is send of a message that shows another subject than that of the inbox it goes to.
func (b *bus) sendAs(l *wire, inbox, subject, reply string, header, data []byte) bool {
	s := b.wires[l]
	if s == nil {
		return false
	}
	for _, x := range s.subs {
		if matches(x.subject, inbox) {
			b.deliver(l, s, x, subject, reply, header, data)
			return true
		}
	}
	return false
}

// listens says whether somebody is there to take what goes to an inbox.
func (b *bus) listens(l *wire, inbox string) bool {
	s := b.wires[l]
	if s == nil {
		return false
	}
	for _, x := range s.subs {
		if matches(x.subject, inbox) {
			return true
		}
	}
	return false
}

func (b *bus) deliver(l *wire, s *session, x *sub, subject, reply string, header, data []byte) {
	if x.left > 0 {
		if x.left--; x.left == 0 {
			delete(s.subs, x.sid)
		}
	}
	var out bytes.Buffer
	at := subject + " " + x.sid
	if reply != "" {
		at += " " + reply
	}
	if len(header) > 0 {
		fmt.Fprintf(&out, "HMSG %s %d %d\r\n", at, len(header), len(header)+len(data))
	} else {
		fmt.Fprintf(&out, "MSG %s %d\r\n", at, len(data))
	}
	out.Write(header)
	out.Write(data)
	out.WriteString("\r\n")
	b.tell(l, out.Bytes())
}

// answer answers a question of the API in JSON.
func (b *bus) answer(l *wire, op clientOp, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		b.world.breach(nil, "the simulated hub: %v", err)
		return
	}
	if op.reply != "" {
		b.send(l, op.reply, "", nil, data)
	}
}

func (b *bus) refuse(l *wire, op clientOp, status, code int, text string) {
	b.answer(l, op, map[string]any{"error": map[string]any{"code": status, "err_code": code, "description": text}})
}

// matches says whether a subject is of a filter.
func matches(filter, subject string) bool {
	for {
		f, fs, more := strings.Cut(filter, ".")
		s, ss, has := strings.Cut(subject, ".")
		switch {
		case f == ">":
			return true
		case f != "*" && f != s:
			return false
		case !more || !has:
			return more == has
		}
		filter, subject = fs, ss
	}
}
