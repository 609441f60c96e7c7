package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of the headers of Standard Webhooks.
const (
	maxSignatures = 16
	minKey        = 24 // bytes of a secret
	maxKey        = 64
)

// errUnknown is all that a sender whom we do not know hears.
var errUnknown = errors.New("the request is not authorised")

// A guard knows who may send.
type guard struct {
	keys   [][]byte // of signatures
	window time.Duration
	tokens [][sha256.Size]byte // hashes: their comparison tells no length
	user   string
	basic  bool
}

func newGuard(c Config) (guard, error) {
	var g guard
	var ways []string
	if s := c.Signatures; s != nil {
		ways = append(ways, "signatures")
		g.window = s.Window
		orTime(&g.window, 5*time.Minute)
		if len(s.Secrets) == 0 || g.window < time.Second || g.window > 24*time.Hour {
			return g, errors.New("signatures: give secrets, and a window of 1s to 24h")
		}
		for i, secret := range s.Secrets {
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
			if err != nil || len(key) < minKey || len(key) > maxKey {
				return g, fmt.Errorf("signatures.secrets[%d]: it must be whsec_ and base64 of %d to %d bytes", i, minKey, maxKey)
			}
			g.keys = append(g.keys, key)
		}
	}
	if c.Bearer != nil {
		ways = append(ways, "bearer")
		for i, token := range c.Bearer {
			if len(token.Reveal()) < minSecret {
				return g, fmt.Errorf("bearer[%d]: use at least %d characters", i, minSecret)
			}
			g.tokens = append(g.tokens, sha256.Sum256([]byte(token.Reveal())))
		}
	}
	if b := c.Basic; b != nil {
		ways = append(ways, "basic")
		if b.User == "" || strings.Contains(b.User, ":") || len(b.Password.Reveal()) < minSecret {
			return g, fmt.Errorf("basic: give a user without a colon and a password of at least %d characters", minSecret)
		}
		g.basic, g.user = true, b.User
		g.tokens = append(g.tokens, sha256.Sum256([]byte(b.Password.Reveal())))
	}
	switch {
	case len(ways) > 1:
		return g, fmt.Errorf("%s: give one of them", strings.Join(ways, ", "))
	case len(ways) == 1 && c.Open:
		return g, fmt.Errorf("open: it allows everybody to send, and %s does not; leave one out", ways[0])
	case len(ways) == 0 && c.TLS.ClientCAFile == "" && !c.Open:
		return g, errors.New("signatures: missing: who may send? give signatures, bearer, basic or tls.client_ca_file; open: true if everybody who reaches it may")
	}
	return g, nil
}

// admits says whether the headers alone let a request in; of a signed one the body
// decides.
func (g *guard) admits(r *http.Request) bool {
	if len(g.tokens) == 0 {
		return true
	}
	var given string
	ok := false
	if g.basic {
		var user string
		user, given, ok = r.BasicAuth()
		ok = ok && subtle.ConstantTimeCompare([]byte(user), []byte(g.user)) == 1
	} else {
		var scheme string
		scheme, given, ok = strings.Cut(r.Header.Get("Authorization"), " ")
		ok = ok && strings.EqualFold(scheme, "Bearer")
		given = strings.TrimSpace(given)
	}
	hash, match := sha256.Sum256([]byte(given)), 0
	for _, t := range g.tokens {
		match |= subtle.ConstantTimeCompare(hash[:], t[:])
	}
	return ok && match == 1
}

// challenge is the WWW-Authenticate header of a 401.
func (g *guard) challenge() string {
	switch {
	case g.basic:
		return `Basic realm="vagus", charset="UTF-8"`
	case len(g.tokens) > 0:
		return `Bearer realm="vagus"`
	}
	return `Signature realm="vagus"`
}

// verify checks the signature of a body (Standard Webhooks, "Signature scheme"): base64 of
// HMAC-SHA256 over id.timestamp.body; the header holds one or several, with their version.
func (g *guard) verify(h http.Header, body []byte, now time.Time) error {
	if g.keys == nil {
		return nil
	}
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || checkID(id) != nil || strings.Contains(id, ".") { // the dot ends the id in what is signed
		return fmt.Errorf("%w: webhook-id and webhook-timestamp are needed", errUnknown)
	}
	given := signatures(h.Get("webhook-signature"))
	for _, key := range g.keys {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + stamp + "."))
		_, _ = mac.Write(body)
		want := mac.Sum(nil)
		for _, s := range given {
			if hmac.Equal(s, want) {
				// Only who knows the secret hears that it is late.
				if age := now.Sub(time.Unix(seconds, 0)); age > g.window || age < -g.window {
					return fmt.Errorf("%w: webhook-timestamp is more than %s from now", errUnknown, g.window)
				}
				return nil
			}
		}
	}
	return fmt.Errorf("%w: no signature of version v1 in webhook-signature is right", errUnknown)
}

// signatures returns those of version v1 of a header: "v1,base64 v1a,base64 …".
func signatures(header string) (all [][]byte) {
	for s := range strings.FieldsSeq(header) {
		text, ok := strings.CutPrefix(s, "v1,")
		if !ok {
			continue
		}
		if len(all) == maxSignatures {
			break
		}
		if sig, err := base64.StdEncoding.DecodeString(text); err == nil && len(sig) == sha256.Size {
			all = append(all, sig)
		}
	}
	return all
}

// checkID says what is wrong with the id of a delivery.
func checkID(id string) error {
	if id == "" || len(id) > maxSenderID || strings.ContainsFunc(id, func(c rune) bool { return c < '!' || c > '~' }) {
		return fmt.Errorf("an id has 1 to %d characters of ASCII without blanks", maxSenderID)
	}
	return nil
}
