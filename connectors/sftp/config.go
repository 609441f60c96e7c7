package sftp

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/vagus-health/vagus/broker"
)

// Config says which server, and who we are there. The zero value of every field but Address,
// User and one of Password and Key means its default.
type Config struct {
	Address  string        `yaml:"address"` // "host" or "host:port"; default port 22
	User     string        `yaml:"user"`
	Password broker.Secret `yaml:"password"`
	// Key is a private key as OpenSSH or PEM writes it; Passphrase what it is encrypted with.
	Key        broker.Secret `yaml:"key"`
	Passphrase broker.Secret `yaml:"passphrase"`
	// HostKeys are the server's: fingerprints ("SHA256:…"), or lines of a known_hosts file. Any of
	// them is right. Without one nothing is sent, and the error says which the server shows.
	HostKeys []string      `yaml:"host_keys"`
	Timeout  time.Duration `yaml:"timeout"` // without an answer, then the connection is given up; default 30 s

	Logger *slog.Logger `yaml:"-"` // nil discards
}

func (c Config) withDefaults() (Config, error) {
	if _, _, err := net.SplitHostPort(c.Address); err != nil && c.Address != "" {
		c.Address = net.JoinHostPort(strings.Trim(c.Address, "[]"), "22")
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	switch {
	case c.Address == "":
		return c, errors.New("address: missing: write host or host:port")
	case c.User == "":
		return c, errors.New("user: missing")
	case c.Password.IsZero() && c.Key.IsZero():
		return c, errors.New("key: missing: give key or password")
	case c.Key.IsZero() && !c.Passphrase.IsZero():
		return c, errors.New("passphrase: it is a key's: give key as well")
	case c.Timeout < time.Millisecond:
		return c, errors.New("timeout: use 1ms or more")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// methods returns how we show who we are.
func (c Config) methods() ([]ssh.AuthMethod, error) {
	var out []ssh.AuthMethod
	if !c.Key.IsZero() {
		var signer ssh.Signer
		var err error
		if c.Passphrase.IsZero() {
			signer, err = ssh.ParsePrivateKey([]byte(c.Key.Reveal()))
		} else {
			signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(c.Key.Reveal()), []byte(c.Passphrase.Reveal()))
		}
		var encrypted *ssh.PassphraseMissingError
		switch {
		case errors.As(err, &encrypted):
			return nil, errors.New("key: it is encrypted: give passphrase")
		case err != nil:
			return nil, errors.New("key: it is no private key, or passphrase is not its own")
		}
		out = append(out, ssh.PublicKeys(signer))
	}
	if !c.Password.IsZero() {
		password := c.Password.Reveal()
		// Some servers know the one only, some the other.
		out = append(out, ssh.Password(password), ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			switch {
			case len(questions) == 0:
				return nil, nil
			case len(questions) > 1 || echos[0]:
				return nil, errors.New("the server asks for more than a password")
			}
			return []string{password}, nil
		}))
	}
	return out, nil
}

// pins are the host keys that are right.
type pins struct {
	fingerprints []string
	keys         []ssh.PublicKey
}

func parsePins(lines []string) (pins, error) {
	var p pins
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "SHA256:") && len(line) == len("SHA256:")+43 {
			p.fingerprints = append(p.fingerprints, line)
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)) // "ssh-ed25519 AAAA…"
		if err != nil {
			marker, _, known, _, _, knownErr := ssh.ParseKnownHosts([]byte(line))
			if knownErr != nil || marker != "" {
				return p, fmt.Errorf("host_keys[%d]: write a fingerprint such as SHA256:…, as ssh-keygen -l prints it, or a line of a known_hosts file", i)
			}
			key = known
		}
		p.keys = append(p.keys, key)
	}
	return p, nil
}

// algorithms are those of the keys, so that a server with several shows the right one; nil
// where a fingerprint does not say.
func (p pins) algorithms() (names []string) {
	if len(p.fingerprints) > 0 {
		return nil
	}
	for _, k := range p.keys {
		if k.Type() == ssh.KeyAlgoRSA {
			names = append(names, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			names = append(names, k.Type())
		}
	}
	return names
}

// A hostKeyError says that the server is not the one that was pinned.
type hostKeyError struct{ text string }

func (e *hostKeyError) Error() string { return e.text }

// check implements [ssh.HostKeyCallback].
func (p pins) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	shown := ssh.FingerprintSHA256(key)
	for _, f := range p.fingerprints {
		if subtle.ConstantTimeCompare([]byte(f), []byte(shown)) == 1 {
			return nil
		}
	}
	for _, k := range p.keys {
		if string(k.Marshal()) == string(key.Marshal()) {
			return nil
		}
	}
	if len(p.fingerprints)+len(p.keys) == 0 {
		return &hostKeyError{fmt.Sprintf("host_keys: none is given, so nothing is sent: the server shows %s (%s); ask its operator whether that is its own, then write it there", shown, key.Type())}
	}
	return &hostKeyError{fmt.Sprintf("host_keys: the server shows %s (%s), which is none of them: somebody else may answer for it; if its operator has changed the key, write the new one there", shown, key.Type())}
}
