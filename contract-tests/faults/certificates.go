package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/contract-tests/bed"
)

// certificates is what happens to certificates while messages flow.
func certificates(r *run) error {
	for _, f := range []fault{serverExpired(r), serverRenewed(r), siteRenewed(r), siteExpired(r), authorityRotated(r)} {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}

// Files of the site's bundle and of the hub's server, below the directory of the run.
const (
	siteBundle = "hub/bundles/north"
	siteCert   = siteBundle + "/site.pem"
	serverCert = "hub/servers/hub-1/cert.pem"
)

// serverExpired is a certificate that ran out while its hub was down: the hub makes a new one.
func serverExpired(r *run) fault {
	server := r.sys.hubs[0]
	return fault{"certificate of hub ran out while it was down", 0, true,
		func(*run) error {
			server.Kill()
			return r.sys.endsIn(serverCert, -time.Hour)
		},
		func(*run) error { return server.Start() }}
}

// serverRenewed is a hub whose certificate nears its end: it has a new one, and the site's connection stays.
func serverRenewed(r *run) fault {
	said := 0
	return fault{"certificate of hub renewed", 0, true,
		func(*run) error {
			said = len(r.sys.agent.Logged())
			return r.sys.endsIn(serverCert, 10*24*time.Hour)
		},
		func(*run) error {
			return errors.Join(bed.Wait(r.ctx, "a new certificate of the hub", recovery, func() bool { return r.sys.endsAfter(serverCert, 300*24*time.Hour) }),
				r.linkStayed(said))
		}}
}

// siteRenewed is a site whose certificate nears its end: the hub renews it over the link.
func siteRenewed(r *run) fault {
	return fault{"certificate of site renewed over the link", 0, true,
		func(*run) error {
			err := r.sys.endsIn(siteCert, 10*24*time.Hour)
			r.sys.links[0].Cut() // it asks when it has connected, and every minute
			r.sys.links[0].Restore()
			return err
		},
		func(*run) error {
			return bed.Wait(r.ctx, "a new certificate of the site", recovery, func() bool { return r.sys.endsAfter(siteCert, 3*365*24*time.Hour) })
		}}
}

// siteExpired is a site whose certificate has run out: it is not let in, which its own log says with what to do, and the hub's with the
// reason; it goes on accepting, and takes up without a restart what people renew.
func siteExpired(r *run) fault {
	said, told := 0, 0
	return fault{"certificate of site ran out", 10 * time.Second, true,
		func(*run) error {
			said, told = len(r.sys.hubs[0].Logged()), len(r.sys.agent.Logged())
			err := r.sys.endsIn(siteCert, -time.Hour)
			r.sys.links[0].Cut() // it has to connect anew
			r.sys.links[0].Restore()
			return err
		},
		func(*run) error {
			err := errors.Join(r.sys.ready(),
				bed.Wait(r.ctx, "a word of the hub about the site's certificate", recovery, func() bool { return ranOut.Match(r.sys.hubs[0].Logged()[said:]) }),
				bed.Wait(r.ctx, "a word of the site about its own", recovery, func() bool { return ownRanOut.Match(r.sys.agent.Logged()[told:]) }))
			from, renewed := hub.RenewSite(filepath.Join(r.dir, "hub"), "north")
			if err := errors.Join(err, renewed); err != nil {
				return err
			}
			for _, name := range []string{"ca.pem", "site.key", "site.pem"} {
				text, err := os.ReadFile(filepath.Join(from, name))
				if err := errors.Join(err, r.sys.write(siteBundle+"/"+name, string(text))); err != nil {
					return err
				}
			}
			return nil
		}}
}

var (
	ranOut    = regexp.MustCompile(`certificate has expired or is not yet valid: current time [^ ]+ is after [^ ]+ \(CN=north `)
	ownRanOut = regexp.MustCompile(`"level":"ERROR","msg":"the certificate of this site has run out: [^"]*vagus site renew north`)
)

// authorityRotated is another authority in three steps: nobody's connection is lost by them, and in the end what the old
// one signed opens nothing.
func authorityRotated(r *run) fault {
	dir, said := filepath.Join(r.dir, "hub"), 0
	before := filepath.Join(r.dir, "bundle-of-before")
	// until waits for what is so of the authority.
	until := func(what string, ok func(a *hub.Authority, newest string) bool) error {
		return bed.Wait(r.ctx, what, recovery, func() bool {
			a, err := hub.ReadAuthority(dir)
			return err == nil && ok(a, a.Certificates[len(a.Certificates)-1].ID)
		})
	}
	return fault{"authority rotated", 0, true,
		func(*run) error {
			if err := errors.Join(os.CopyFS(before, os.DirFS(filepath.Join(r.dir, siteBundle))), hub.BeginRotation(dir)); err != nil {
				return err
			}
			r.sys.links[0].Cut() // who has just connected asks, the others every minute
			r.sys.links[0].Restore()
			for _, w := range r.sys.workers {
				w.Kill()
				if err := w.Start(); err != nil {
					return err
				}
			}
			err := until("certificates of the new authority", func(a *hub.Authority, newest string) bool {
				return !slices.ContainsFunc(a.Peers, func(p hub.Peer) bool { return p.Authority != newest || len(p.Trusts) != 2 })
			})
			said = len(r.sys.agent.Logged())
			return errors.Join(err, hub.SwitchAuthority(dir, false))
		},
		func(*run) error {
			if err := until("a hub of the new authority", func(a *hub.Authority, newest string) bool { return a.Servers[0].Authority == newest }); err != nil {
				return err
			}
			if err := errors.Join(hub.FinishRotation(dir, false), r.linkStayed(said)); err != nil {
				return err
			}
			return bed.Wait(r.ctx, "a hub that refuses a certificate of the old authority", recovery, func() bool { return unknown(r.sys.hubAddr, before) })
		}}
}

// unknown says whether the hub refuses a bundle's certificate as one of an authority that it does not know.
func unknown(addr, bundle string) bool {
	pair, err := tls.LoadX509KeyPair(filepath.Join(bundle, "site.pem"), filepath.Join(bundle, "site.key"))
	if err != nil {
		return false
	}
	// Whether the server is the right one is not the question here.
	conn, err := tls.Dial("tcp", addr, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err = conn.Read(make([]byte, 1)) // the refusal comes after the handshake (TLS 1.3)
		_ = conn.Close()
	}
	return err != nil && strings.Contains(err.Error(), "unknown certificate authority")
}

// linkStayed says that the site's connection was not lost since its log was so long.
func (r *run) linkStayed(since int) error {
	if text := r.sys.agent.Logged()[since:]; bytes.Contains(text, []byte(`"msg":"link is down"`)) {
		return errors.New("the site's connection was lost")
	}
	return nil
}

// endsIn replaces a certificate by one of the same key, of the authority that signed it, that ends so long from now.
func (y *system) endsIn(file string, left time.Duration) error {
	ca, err := certificate(filepath.Join(y.dir, "hub/ca/ca.pem"))
	if err != nil {
		return err
	}
	key, err := signer(filepath.Join(y.dir, "hub/ca/ca.key"))
	if err != nil {
		return err
	}
	c, err := certificate(filepath.Join(y.dir, file))
	if err != nil {
		return err
	}
	c.SerialNumber = new(big.Int).Add(c.SerialNumber, big.NewInt(1))
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(left)
	der, err := x509.CreateCertificate(rand.Reader, c, ca, c.PublicKey, key)
	if err != nil {
		return err
	}
	return y.write(file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// endsAfter says whether a certificate is good for so long.
func (y *system) endsAfter(file string, left time.Duration) bool {
	c, err := certificate(filepath.Join(y.dir, file))
	return err == nil && time.Until(c.NotAfter) > left
}

func certificate(path string) (*x509.Certificate, error) {
	der, err := block(path)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func signer(path string) (crypto.Signer, error) {
	der, err := block(path)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the authority's key can not sign")
	}
	return s, nil
}

func block(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, fmt.Errorf("%s is no PEM", path)
	}
	return b.Bytes, nil
}
