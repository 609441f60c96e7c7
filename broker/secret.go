package broker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// A Secret is a password, key or token. Configuration names where it is, never
// what it is:
//
//	key: { file: /etc/vagus/odoo.key }
//	key: { env: VAGUS_ODOO_KEY }
//
// It prints as "<secret>" by any verb, in logs and as JSON. The zero Secret is
// "not set".
type Secret struct{ value string }

// NewSecret returns a secret that was had some other way than by configuration.
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

// UnmarshalYAML reads the reference and what it points to. A trailing line end
// of a file is not part of the secret. It fails for an inline value, for both or neither
// reference, and for a missing or empty file or variable.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var inline string
	if unmarshal(&inline) == nil {
		return errors.New("a secret must not stand in this file: write { file: PATH } or { env: NAME }")
	}
	var ref struct {
		File string `yaml:"file"`
		Env  string `yaml:"env"`
	}
	if err := unmarshal(&ref); err != nil {
		return err
	}
	switch {
	case (ref.File == "") == (ref.Env == ""):
		return errors.New("write one of { file: PATH } and { env: NAME }")
	case ref.Env != "":
		if s.value = os.Getenv(ref.Env); s.value == "" {
			return fmt.Errorf("environment variable %s is empty or not set", ref.Env)
		}
	default:
		b, err := os.ReadFile(ref.File)
		if err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		if s.value = strings.TrimRight(string(b), "\r\n"); s.value == "" {
			return fmt.Errorf("secret file %s is empty", ref.File)
		}
	}
	return nil
}
