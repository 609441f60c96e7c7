package broker

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a password, key or token. Configuration names where it is, never
// what it is (see internal/config). It prints as "<secret>" by any verb, in logs and as JSON. The zero Secret is
// "not set".
type Secret struct{ value string }

// NewSecret returns the secret with this value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// IsZero says whether no secret was given.
func (s Secret) IsZero() bool { return s.value == "" }

// String returns "<secret>", or "" for the zero Secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "<secret>"
}

// Format prints the same for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText makes encoders print "<secret>".
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
