package journal

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker"
)

// Headers of a message in a journal stream: one for each field of
// broker.Message that is set. The body is the payload, byte for byte.
const (
	headerID       = "Vagus-Id"
	headerTenant   = "Vagus-Tenant"
	headerSite     = "Vagus-Site"
	headerFormat   = "Vagus-Format"
	headerKind     = "Vagus-Kind"
	headerSender   = "Vagus-Sender"
	headerReceived = "Vagus-Received" // Unix time in nanoseconds
	headerGroup    = "Vagus-Group"    // "<index>/<count>/<id>"
	headerTrace    = "Vagus-Trace"    // W3C traceparent, under a name for which the server makes no trace of its own
	headerTraceOld = "traceparent"    // where entries of earlier versions have it
)

// subject is that of all messages of a feed, or of those that an earlier version stored
// under their short ids ("*").
func subject(feed, last string) string { return "journal." + feed + "." + last }

// encode turns a message into what is published.
func encode(m *broker.Message) *nats.Msg {
	h := make(nats.Header, 9)
	values := make([]string, 0, 9) // of all headers, in one piece
	set := func(key, value string) {
		if value != "" {
			values = append(values, escape(value))
			h[key] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(headerID, m.ID)
	set(headerTenant, m.Tenant)
	set(headerSite, m.Site)
	set(headerFormat, m.Format)
	set(headerKind, m.Kind)
	set(headerSender, m.SenderID)
	set(headerTrace, m.Trace)
	if !m.ReceivedAt.IsZero() {
		set(headerReceived, strconv.FormatInt(m.ReceivedAt.UnixNano(), 10))
	}
	if g := m.Group; g != (broker.Group{}) {
		set(headerGroup, strconv.Itoa(g.Index)+"/"+strconv.Itoa(g.Count)+"/"+g.ID)
	}
	return &nats.Msg{Subject: subject(m.Feed, "message"), Header: h, Data: m.Body}
}

var errHeader = errors.New("its headers are not those of a journal entry")

// decode is the reverse of encode.
func decode(feed string, h nats.Header, body []byte) (*broker.Message, error) {
	var bad error
	get := func(key string) string {
		v, err := unescape(h.Get(key))
		if err != nil {
			bad = fmt.Errorf("header %s: %w", key, errHeader)
		}
		return v
	}
	m := &broker.Message{
		ID: get(headerID), Feed: feed, Tenant: get(headerTenant), Site: get(headerSite),
		Format: get(headerFormat), Kind: get(headerKind), SenderID: get(headerSender),
		Trace: get(headerTrace), Body: body,
	}
	if m.Trace == "" {
		m.Trace = get(headerTraceOld)
	}
	if m.ID == "" {
		return nil, fmt.Errorf("header %s is missing: %w", headerID, errHeader)
	}
	if v := get(headerReceived); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", headerReceived, errHeader)
		}
		m.ReceivedAt = time.Unix(0, n).UTC()
	}
	if v := get(headerGroup); v != "" {
		index, rest, _ := strings.Cut(v, "/")
		count, id, ok := strings.Cut(rest, "/")
		i, err1 := strconv.Atoi(index)
		n, err2 := strconv.Atoi(count)
		if !ok || err1 != nil || err2 != nil {
			return nil, fmt.Errorf("header %s: %w", headerGroup, errHeader)
		}
		m.Group = broker.Group{ID: id, Index: i, Count: n}
	}
	return m, bad
}

// escape makes any string fit for a header's value: senders put what they
// like into a control id.
func escape(s string) string {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return url.PathEscape(s)
		}
	}
	return s
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	return url.PathUnescape(s)
}
