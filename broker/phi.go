package broker

import (
	"fmt"
	"log/slog"
	"strconv"
)

// PHI holds bytes that came from a sender and may identify a patient. Printing
// one by any verb, by slog or as JSON shows its length only; the bytes are had
// by converting it: []byte(p).
type PHI []byte

// String returns "[phi len=n]".
func (p PHI) String() string { return "[phi len=" + strconv.Itoa(len(p)) + "]" }

// Format prints the length for every verb, also %x and %q.
func (p PHI) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(p.String())) }

// LogValue implements [slog.LogValuer].
func (p PHI) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText makes encoders print the length: no JSON answer carries the
// bytes unless its author converted them on purpose.
func (p PHI) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Values are field values on their way to a target: strings, bools,
// [encoding/json.Number], nil, slices of these, and the symbolic forms that
// [Operation] describes. They print as their count only. Their JSON is their
// wire form.
type Values map[string]any

// String returns "[n values]".
func (v Values) String() string { return "[" + strconv.Itoa(len(v)) + " values]" }

// Format prints the count for every verb.
func (v Values) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(v.String())) }

// LogValue implements [slog.LogValuer].
func (v Values) LogValue() slog.Value { return slog.StringValue(v.String()) }

// A Document is what goes to another system: bytes that print as their length,
// and whose JSON, base64, is their wire form.
type Document []byte

// String returns "[document len=n]".
func (d Document) String() string { return "[document len=" + strconv.Itoa(len(d)) + "]" }

// Format prints the length for every verb, also %x and %q.
func (d Document) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(d.String())) }

// LogValue implements [slog.LogValuer].
func (d Document) LogValue() slog.Value { return slog.StringValue(d.String()) }
