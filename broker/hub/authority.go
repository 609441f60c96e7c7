package hub

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// A Stage says how far the rotation of a hub's authority is.
type Stage string

const (
	Settled  Stage = "settled"  // one authority, no rotation
	Begun    Stage = "begun"    // a new one is trusted and signs sites and workers; the old one signs servers
	Switched Stage = "switched" // the new one signs all; the old one is trusted still
)

// An Authority is a hub's certificate authority as its directory has it, the
// newest certificate last.
type Authority struct {
	Stage        Stage         `json:"stage"`
	Certificates []Certificate `json:"certificates"`
	Servers      []Peer        `json:"servers,omitempty"` // whose certificates are in this directory
	Peers        []Peer        `json:"peers,omitempty"`   // sites and workers
}

// A Certificate is one that an authority signs with.
type Certificate struct {
	ID    string    `json:"id"` // what it is told by: the first eight digits of its SHA-256
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// newest is the authority that is to stay.
func (a *Authority) newest() string { return a.Certificates[len(a.Certificates)-1].ID }

// ReadAuthority reads how far the authority of a hub's directory is, and who has what of it.
func ReadAuthority(dir string) (*Authority, error) {
	ca, err := readAuthority(dir)
	if err != nil {
		return nil, fmt.Errorf("the hub's authority: %w", err)
	}
	a := &Authority{Stage: ca.stage()}
	for _, c := range ca.trusted {
		a.Certificates = append(a.Certificates, Certificate{ID: fingerprint(c), Since: c.NotBefore.Add(backdate), Until: c.NotAfter})
	}
	if a.Servers, err = serverPeers(dir, ca); err != nil {
		return nil, err
	}
	a.Peers, err = peers(dir)
	return a, err
}

func (a *authority) stage() Stage {
	switch {
	case len(a.trusted) == 1 || !a.signs(a.trusted[len(a.trusted)-1]): // the second case: the half of a beginning
		return Settled
	case len(a.signers) > 1:
		return Begun
	}
	return Switched
}

func (a *authority) signs(c *x509.Certificate) bool {
	for _, s := range a.signers {
		if s.cert.Equal(c) {
			return true
		}
	}
	return false
}

// BeginRotation makes a new authority beside the one that there is. From now on
// both are trusted; the hubs that run on dir tell so to sites and workers and give
// them certificates of the new one, within a minute. Nobody is cut off.
func BeginRotation(dir string) error {
	a, err := readAuthority(dir)
	if err != nil {
		return fmt.Errorf("begin the authority's rotation: %w", err)
	}
	if s := a.stage(); s != Settled {
		return fmt.Errorf("begin the authority's rotation: one is under way, %s: go on with `vagus hub authority %s`", s, s.next())
	}
	cert, key, err := newAuthority()
	if err != nil {
		return err
	}
	var certs []byte // without what a beginning that was cut off left
	for _, s := range a.signers {
		certs = append(certs, encodeCertificate(s.cert.Raw)...)
	}
	keys, err := a.keys()
	if err != nil {
		return err
	}
	// The key first: without its certificate it signs nothing.
	if err := replaceFile(filepath.Join(dir, "ca", "ca.key"), append(keys, key...)); err != nil {
		return err
	}
	atKeyed.Hit()
	return replaceFile(filepath.Join(dir, "ca", "ca.pem"), append(certs, cert...))
}

// SwitchAuthority lets the new authority sign the servers as well; the key of the
// old one is destroyed. It refuses while somebody does not trust the new one, and
// names him; with force he is cut off at his next connection.
func SwitchAuthority(dir string, force bool) error {
	return advance(dir, Begun, force, func(p Peer, newest string) string {
		if !p.trusts(newest) {
			return "does not trust " + newest
		}
		return ""
	}, func(a *authority) error {
		keys, err := (&authority{signers: a.signers[len(a.signers)-1:]}).keys()
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, "ca", "ca.key"), keys); err != nil {
			return err
		}
		atSwitched.Hit()
		return nil
	})
}

// FinishRotation ends the trust in the old authority. It refuses while somebody
// connects with a certificate of that, and names him; with force he is cut off at
// his next connection.
func FinishRotation(dir string, force bool) error {
	return advance(dir, Switched, force, func(p Peer, newest string) string {
		if p.Authority != newest {
			return "has a certificate of " + p.Authority
		}
		return ""
	}, func(a *authority) error {
		if err := replaceFile(filepath.Join(dir, "ca", "ca.pem"), encodeCertificate(a.trusted[len(a.trusted)-1].Raw)); err != nil {
			return err
		}
		atFinished.Hit()
		return nil
	})
}

// advance makes a step if the rotation is at this stage and nobody lags. A server that
// lags is cut off from the others and from all sites, so no force helps him.
func advance(dir string, at Stage, force bool, lag func(p Peer, newest string) string, step func(*authority) error) error {
	now, err := ReadAuthority(dir)
	if err != nil {
		return err
	}
	what := map[Stage]string{Begun: "switch the authority", Switched: "finish the authority's rotation"}[at]
	if now.Stage != at {
		return fmt.Errorf("%s: the rotation is %s: `vagus hub authority %s` is next", what, now.Stage, now.Stage.next())
	}
	var late []string
	for _, p := range now.Peers {
		if why := lag(p, now.newest()); p.Heard.IsZero() {
			late = append(late, fmt.Sprintf("%s %s has not said what it has: start its agent, of this version, or carry it what `vagus site renew` makes", p.Role, p.Name))
		} else if why != "" {
			late = append(late, fmt.Sprintf("%s %s %s, and was heard last at %s: let it connect, or carry it what `vagus site renew` makes", p.Role, p.Name, why, p.Heard.UTC().Format(time.RFC3339)))
		}
	}
	if len(late) > 0 && !force {
		return fmt.Errorf("%s: not yet, or these are cut off (--force does it all the same):\n  %s", what, strings.Join(late, "\n  "))
	}
	if at == Switched {
		for _, s := range now.Servers {
			if s.Authority != now.newest() {
				return fmt.Errorf("%s: server %s has a certificate of %s: start it, it renews that within seconds; or delete %s if it is gone for good", what, s.Name, s.Authority, filepath.Join(dir, "servers", s.Name))
			}
		}
	}
	a, err := readAuthority(dir)
	if err != nil {
		return err
	}
	return step(a)
}

// next is the command that goes on from a stage.
func (s Stage) next() string {
	return map[Stage]string{Settled: "begin", Begun: "switch", Switched: "finish"}[s]
}

// keys are those of all that sign, as ca.key has them.
func (a *authority) keys() ([]byte, error) {
	var b bytes.Buffer
	for _, s := range a.signers {
		pkcs8, err := x509.MarshalPKCS8PrivateKey(s.key)
		if err != nil {
			return nil, err
		}
		if err := pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// signedBy is who signed a certificate, "" if none of those that are trusted.
func (a *authority) signedBy(c *x509.Certificate) string {
	for _, t := range a.trusted {
		if c.CheckSignatureFrom(t) == nil {
			return fingerprint(t)
		}
	}
	return ""
}

var errForeign = errors.New("the certificate is of none of the hub's authorities")
