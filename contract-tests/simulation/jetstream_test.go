package simulation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stored is one stream.
type stored struct {
	b         *bus
	name      string
	subjects  string
	messages  []*message // sequence 1 is the first
	ids       map[string]kept
	consumers map[string]*consumer
}

// A message of a stream.
type message struct {
	seq          uint64
	subject      string
	header, data []byte
	fields       textproto.MIMEHeader
	at           time.Time
}

func (m *message) get(key string) string {
	if v := m.fields[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// kept is how long a message's id is known.
type kept struct {
	seq   uint64
	until time.Time
}

// A consumer of a stream. Only those with a name of their own take acknowledgements.
type consumer struct {
	s         *stored
	name      string
	filters   []string
	acks      bool
	next      uint64 // the first that was not looked at
	delivered uint64
	waiting   map[uint64]time.Time // by sequence: not acknowledged, to be given again at
	pulls     []*pull
	idle      *time.Timer
}

// A pull is a question for messages that is open.
type pull struct {
	l       *wire
	inbox   string
	left    int
	expires time.Time
	timers  []*time.Timer
}

func newStored(b *bus, name, subjects string) *stored {
	return &stored{b: b, name: name, subjects: subjects, ids: map[string]kept{}, consumers: map[string]*consumer{}}
}

// fieldsOf reads headers; their names are as they were written.
func fieldsOf(header []byte) textproto.MIMEHeader {
	h := textproto.MIMEHeader{}
	in := bufio.NewScanner(bytes.NewReader(header))
	for in.Scan() {
		if k, v, ok := strings.Cut(in.Text(), ":"); ok {
			h[k] = append(h[k], strings.TrimSpace(v))
		}
	}
	return h
}

const idsKept = 10 * time.Minute

// append stores a message, or puts it to its batch. b.mu is held.
func (b *bus) append(l *wire, s *stored, op clientOp) {
	m := &message{subject: op.subject, header: op.header, data: op.data, fields: fieldsOf(op.header)}
	if id := m.get("Nats-Batch-Id"); id != "" {
		b.staged[id] = append(b.staged[id], op)
		if m.get("Nats-Batch-Commit") == "" {
			return
		}
		batch := b.staged[id]
		delete(b.staged, id)
		b.commit(l, s, id, batch, op)
		return
	}
	if k, known := s.ids[m.get("Nats-Msg-Id")]; known && time.Now().Before(k.until) && m.get("Nats-Msg-Id") != "" {
		b.answer(l, op, map[string]any{"stream": s.name, "seq": k.seq, "duplicate": true})
		return
	}
	s.add(l, m)
	b.answer(l, op, map[string]any{"stream": s.name, "seq": m.seq})
	s.offer()
}

// commit stores all messages of a batch or none.
func (b *bus) commit(l *wire, s *stored, id string, batch []clientOp, last clientOp) {
	var all []*message
	for i, op := range batch {
		m := &message{subject: op.subject, header: op.header, data: op.data, fields: fieldsOf(op.header)}
		if m.get("Nats-Batch-Sequence") != strconv.Itoa(i+1) {
			b.refuse(l, last, 400, 10176, "batch publish is incomplete and was abandoned")
			return
		}
		if k, known := s.ids[m.get("Nats-Msg-Id")]; known && time.Now().Before(k.until) {
			b.refuse(l, last, 400, 10201, "batch publish contains duplicate message id")
			return
		}
		all = append(all, m)
	}
	for _, m := range all {
		s.add(l, m)
	}
	b.answer(l, last, map[string]any{"stream": s.name, "seq": all[len(all)-1].seq, "batch": id, "count": len(all)})
	s.offer()
}

func (s *stored) add(l *wire, m *message) {
	m.seq, m.at = uint64(len(s.messages)+1), time.Now()
	s.messages = append(s.messages, m)
	id := m.get("Nats-Msg-Id")
	if id != "" {
		s.ids[id] = kept{m.seq, m.at.Add(idsKept)}
	}
	if s.b.sends != nil {
		s.b.sends(l, m, s.name == "UNITS")
	}
}

// api answers a question of JetStream's API. b.mu is held.
func (b *bus) api(l *wire, op clientOp) {
	t := strings.Split(strings.TrimPrefix(op.subject, "$JS.API."), ".")
	var s *stored
	for _, name := range t {
		if s = b.store[name]; s != nil {
			break
		}
	}
	what := strings.Join(t[:2], ".")
	if s == nil {
		b.world.breach(nil, "the simulated hub has no stream for %s", op.subject)
		return
	}
	switch {
	case what == "STREAM.INFO":
		b.answer(l, op, map[string]any{"type": "io.nats.jetstream.api.v1.stream_info_response", "config": map[string]any{"name": s.name, "subjects": []string{s.subjects + ">"}},
			"state": map[string]any{"messages": len(s.messages), "first_seq": 1, "last_seq": len(s.messages)}})
	case what == "STREAM.MSG" && t[2] == "GET":
		s.get(l, op)
	case what == "DIRECT.GET":
		s.last(l, op, strings.TrimPrefix(op.subject, "$JS.API.DIRECT.GET."+s.name+"."))
	case what == "CONSUMER.CREATE":
		s.create(l, op)
	case what == "CONSUMER.INFO":
		if c := s.consumers[t[3]]; c != nil {
			b.answer(l, op, c.info())
		} else {
			b.refuse(l, op, 404, 10014, "consumer not found")
		}
	case what == "CONSUMER.DELETE":
		if c := s.consumers[t[3]]; c != nil {
			c.end()
		}
		b.answer(l, op, map[string]any{"success": true})
	case what == "CONSUMER.MSG" && t[2] == "NEXT":
		if c := s.consumers[t[4]]; c != nil {
			c.pull(l, op)
		} else {
			b.send(l, op.reply, "", []byte("NATS/1.0 503\r\n\r\n"), nil)
		}
	default:
		b.world.breach(nil, "the simulated hub does not know %s", op.subject)
	}
}

// get answers STREAM.MSG.GET.
func (s *stored) get(l *wire, op clientOp) {
	var q struct {
		Seq     uint64    `json:"seq"`
		NextFor string    `json:"next_by_subj"`
		Start   time.Time `json:"start_time"`
	}
	if err := json.Unmarshal(op.data, &q); err != nil {
		s.b.world.breach(nil, "the simulated hub can not read %s", op.subject)
		return
	}
	for _, m := range s.messages {
		if q.NextFor == "" && m.seq == q.Seq || q.NextFor != "" && m.seq >= q.Seq && !m.at.Before(q.Start) && matches(q.NextFor, m.subject) {
			s.b.answer(l, op, map[string]any{"message": map[string]any{"subject": m.subject, "seq": m.seq, "hdrs": m.header, "data": m.data, "time": m.at}})
			return
		}
	}
	s.b.refuse(l, op, 404, 10037, "no message found")
}

// last answers DIRECT.GET of the last message of a filter.
func (s *stored) last(l *wire, op clientOp, filter string) {
	for _, m := range slices.Backward(s.messages) {
		if matches(filter, m.subject) {
			if s.b.asked != nil {
				s.b.asked(l, filter, m)
			}
			s.b.send(l, op.reply, "", m.header, m.data)
			return
		}
	}
	if s.b.asked != nil {
		s.b.asked(l, filter, nil)
	}
	s.b.send(l, op.reply, "", []byte("NATS/1.0 404 Message Not Found\r\n\r\n"), nil)
}

// create makes a consumer that forgets itself.
func (s *stored) create(l *wire, op clientOp) {
	var q struct {
		Config struct {
			Name    string   `json:"name"`
			Filter  string   `json:"filter_subject"`
			Filters []string `json:"filter_subjects"`
			Start   uint64   `json:"opt_start_seq"`
			Policy  string   `json:"ack_policy"`
		} `json:"config"`
	}
	if err := json.Unmarshal(op.data, &q); err != nil || q.Config.Policy != "none" {
		s.b.world.breach(nil, "the simulated hub can not make the consumer that %s asks for", op.subject)
		return
	}
	name := q.Config.Name
	if name == "" {
		name = strings.Split(op.subject, ".")[5]
	}
	c := s.consume(name, q.Config.Start, q.Config.Filters...)
	if q.Config.Filter != "" {
		c.filters = append(c.filters, q.Config.Filter)
	}
	c.forgets()
	s.b.answer(l, op, c.info())
}

func (s *stored) consume(name string, from uint64, filters ...string) *consumer {
	c := &consumer{s: s, name: name, filters: filters, next: max(from, 1), waiting: map[uint64]time.Time{}}
	s.consumers[name] = c
	return c
}

func (c *consumer) info() map[string]any {
	return map[string]any{"type": "io.nats.jetstream.api.v1.consumer_info_response", "stream_name": c.s.name, "name": c.name, "config": map[string]any{"name": c.name, "ack_policy": "none", "filter_subjects": c.filters},
		"delivered": map[string]any{"consumer_seq": c.delivered, "stream_seq": c.next - 1}, "num_pending": c.pending()}
}

func (c *consumer) wants(m *message) bool {
	return slices.ContainsFunc(c.filters, func(f string) bool { return matches(f, m.subject) })
}

func (c *consumer) pending() (n int) {
	for _, m := range c.s.messages[min(int(c.next)-1, len(c.s.messages)):] {
		if c.wants(m) {
			n++
		}
	}
	return n
}

// forgets ends the consumer when nobody asks for 30 s.
func (c *consumer) forgets() {
	if c.acks {
		return
	}
	if c.idle != nil {
		c.idle.Stop()
	}
	c.idle = time.AfterFunc(30*time.Second, func() {
		c.s.b.mu.Lock()
		defer c.s.b.mu.Unlock()
		if len(c.pulls) > 0 {
			c.forgets()
		} else {
			c.end()
		}
	})
}

func (c *consumer) end() {
	if c.s.consumers[c.name] == c {
		delete(c.s.consumers, c.name)
	}
	if c.idle != nil {
		c.idle.Stop()
	}
	for _, p := range c.pulls {
		p.end()
	}
	c.pulls = nil
}

func (p *pull) end() {
	for _, t := range p.timers {
		t.Stop()
	}
}

// pull opens a question.
func (c *consumer) pull(l *wire, op clientOp) {
	var q struct {
		Expires   time.Duration `json:"expires"`
		Batch     int           `json:"batch"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}
	if err := json.Unmarshal(op.data, &q); err != nil || q.Expires <= 0 || q.Batch <= 0 {
		c.s.b.world.breach(nil, "the simulated hub can not read what %s asks for", op.subject)
		return
	}
	if c.s.b.wires[l] == nil {
		return
	}
	c.forgets()
	p := &pull{l: l, inbox: op.reply, left: q.Batch, expires: time.Now().Add(q.Expires)}
	c.pulls = append(c.pulls, p)
	p.timers = append(p.timers, time.AfterFunc(q.Expires, func() {
		c.s.b.mu.Lock()
		defer c.s.b.mu.Unlock()
		if i := slices.Index(c.pulls, p); i >= 0 {
			c.pulls = slices.Delete(c.pulls, i, i+1)
			p.end()
			c.forgets()
			c.s.b.send(p.l, p.inbox, "", fmt.Appendf(nil, "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: 0\r\n\r\n", p.left), nil)
		}
	}))
	if q.Heartbeat > 0 {
		c.heartbeat(p, q.Heartbeat)
	}
	c.offer()
}

func (c *consumer) heartbeat(p *pull, every time.Duration) {
	p.timers = append(p.timers, time.AfterFunc(every, func() {
		c.s.b.mu.Lock()
		defer c.s.b.mu.Unlock()
		if slices.Contains(c.pulls, p) {
			c.s.b.send(p.l, p.inbox, "", fmt.Appendf(nil, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: %d\r\n\r\n", c.delivered, c.next-1), nil)
			c.heartbeat(p, every)
		}
	}))
}

func (s *stored) offer() {
	names := make([]string, 0, len(s.consumers))
	for name := range s.consumers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s.consumers[name].offer()
	}
}

// offer gives what there is to those who asked.
func (c *consumer) offer() {
	for len(c.pulls) > 0 {
		p := c.pulls[0]
		if !c.s.b.listens(p.l, p.inbox) {
			c.pulls = c.pulls[1:]
			p.end()
			continue
		}
		m := c.following()
		if m == nil {
			return
		}
		c.delivered++
		if c.acks {
			c.waiting[m.seq] = time.Now().Add(30 * time.Second)
			c.again(30 * time.Second)
		}
		if p.left--; p.left == 0 {
			c.pulls = c.pulls[1:]
			p.end()
			c.forgets()
		}
		reply := fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.%d", c.s.name, c.name, m.seq, c.delivered, m.at.UnixNano(), c.pending())
		if c.acks { // what is new has the connection's own count in its subject; the sequence is all that counts
			reply = fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.0", c.s.name, c.name, m.seq, c.delivered, m.at.UnixNano())
		}
		c.s.b.sendAs(p.l, p.inbox, m.subject, reply, m.header, m.data)
	}
}

// following returns the next message that the consumer is to give.
func (c *consumer) following() *message {
	now := time.Now()
	var again uint64
	for seq, at := range c.waiting {
		if !at.After(now) && (again == 0 || seq < again) {
			again = seq
		}
	}
	if again > 0 {
		return c.s.messages[again-1]
	}
	for int(c.next) <= len(c.s.messages) {
		m := c.s.messages[c.next-1]
		c.next++
		if c.wants(m) {
			return m
		}
	}
	return nil
}

func (c *consumer) again(in time.Duration) {
	time.AfterFunc(in+time.Nanosecond, func() {
		c.s.b.mu.Lock()
		defer c.s.b.mu.Unlock()
		c.offer()
	})
}

// acknowledged takes +ACK, -NAK and +TERM.
func (b *bus) acknowledged(l *wire, op clientOp) {
	t := strings.Split(op.subject, ".")
	s := b.store[t[2]]
	if s == nil || s.consumers[t[3]] == nil {
		return
	}
	c := s.consumers[t[3]]
	seq, _ := strconv.ParseUint(t[5], 10, 64)
	switch word, rest, _ := strings.Cut(string(op.data), " "); word {
	case "+ACK", "", "+TERM":
		delete(c.waiting, seq)
	case "-NAK":
		var q struct {
			Delay time.Duration `json:"delay"`
		}
		_ = json.Unmarshal([]byte(rest), &q)
		if _, ok := c.waiting[seq]; ok {
			c.waiting[seq] = time.Now().Add(q.Delay)
			c.again(q.Delay)
		}
	default:
		b.world.breach(nil, "the simulated hub does not know %s", word)
	}
	if op.reply != "" {
		b.send(l, op.reply, "", nil, nil)
	}
}

func (s *stored) hangUp(l *wire) {
	for _, c := range s.consumers {
		c.pulls = slices.DeleteFunc(c.pulls, func(p *pull) bool {
			if p.l == l {
				p.end()
			}
			return p.l == l
		})
		c.forgets()
	}
}
