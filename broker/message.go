package broker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"hash/fnv"
	"log/slog"
	"time"
)

// Partitions is the number of partitions that ordering keys are spread over.
// It is fixed for the life of a cloud's UNITS stream.
const Partitions = 64

// Everywhere stands in place of a partition's number for what the workers of
// all partitions read: units that have several keys.
const Everywhere = Partitions

// MaxKeys is how many ordering keys a unit may have.
const MaxKeys = 16

// A Message is what a source received. It is never modified after Accept.
type Message struct {
	ID         string // NewMessageID of the fields below: the same for every resend of the same content
	Tenant     string
	Site       string
	Feed       string
	Format     string    // "hl7v2", "fhir", "x12", …: selects the decoder
	Kind       string    // "ADT^A08", "837P", "Patient": for people and for routing
	SenderID   string    // MSH-10; ISA13/GS06/ST02; resource id and version; row key
	ReceivedAt time.Time // UTC
	Trace      string    // W3C traceparent of the receiving span, or ""
	Group      Group     // zero unless the message came in a batch
	Body       PHI       // exactly the bytes received
}

// Group says where in a batch (HL7 FHS/BHS, X12 interchange, file) a message
// stood. The zero Group means that it came alone.
type Group struct {
	ID    string // the same for all messages of the batch
	Index int    // from 0
	Count int    // messages in the batch
}

// LogValue logs what identifies a message, never its content.
func (m *Message) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", m.ID), slog.String("feed", m.Feed), slog.String("kind", m.Kind), slog.Any("body", m.Body))
}

// NewMessageID returns the identity of a message: 32 lower-case base32
// characters of a SHA-256 over tenant, site, feed, the sender's id and the
// content. Each part is length-prefixed, so no two different messages share
// an input.
func NewMessageID(tenant, site, feed, senderID string, body []byte) string {
	return hashID([]byte(tenant), []byte(site), []byte(feed), []byte(senderID), body)
}

// NewUnitID returns the identity of the unit that the mapping with this id
// (without version: a corrected mapping makes a new form of the same unit)
// makes of a message.
func NewUnitID(messageID, mappingID string) string {
	return hashID([]byte(messageID), []byte(mappingID))
}

// An Origin names where messages come from: one feed of one site of a tenant.
// Message ids are hashed from it, so what comes by another feed is another
// message, and a feed that is renamed takes nothing for a repeat of what came before.
type Origin struct{ Tenant, Site, Feed string }

// MessageID returns [NewMessageID] of what came from here.
func (o Origin) MessageID(senderID string, body []byte) string {
	return NewMessageID(o.Tenant, o.Site, o.Feed, senderID, body)
}

// Message returns the message of bytes that came from here at this time, alone and untraced.
func (o Origin) Message(format, kind, senderID string, at time.Time, body []byte) *Message {
	return &Message{
		ID: o.MessageID(senderID, body), Tenant: o.Tenant, Site: o.Site, Feed: o.Feed,
		Format: format, Kind: kind, SenderID: senderID, ReceivedAt: at, Body: body,
	}
}

// ShortID returns the first 13 characters of an id. It is the last token of
// every subject: it finds one message among millions by subject.
func ShortID(id string) string {
	if len(id) <= 13 {
		return id
	}
	return id[:13]
}

// OrderingKey turns what a mapping's ordering template gave (often a record
// number) into the key that leaves the site: 26 base32 characters of an HMAC
// under the tenant's secret. All sites of a tenant share the secret, so one
// patient has one key. An empty value gives an empty key: no order.
func OrderingKey(secret []byte, value string) string {
	if value == "" {
		return ""
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(value))
	return idEncoding.EncodeToString(h.Sum(nil))[:26]
}

// Partition returns the partition, 0 to Partitions-1, of a unit with this
// ordering key: fnv32a(key) mod 64. A unit without a key is spread by its id.
func Partition(key, unitID string) int {
	if key == "" {
		key = unitID
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % Partitions)
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func hashID(parts ...[]byte) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		for i, l := 0, len(p); i < 8; i++ {
			n[i] = byte(l >> (8 * i))
		}
		h.Write(n[:])
		h.Write(p)
	}
	return idEncoding.EncodeToString(h.Sum(nil)[:20])
}
