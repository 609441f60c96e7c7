package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// serverExpired is a certificate that ran out while its hub was down: the hub makes a new one.
func serverExpired(r *run) fault {
	hub := r.sys.hubs[0]
	return fault{"certificate of hub ran out while it was down", 0, true,
		func(*run) error {
			hub.Kill()
			_, err := r.sys.expire("hub/servers/hub-1/cert.pem")
			return err
		},
		func(*run) error { return hub.Start() }}
}

// siteExpired is a site whose certificate has run out: it is not let in, which the hub's log says with the reason, goes on accepting, and takes up the
// renewed one without a restart.
func siteExpired(r *run) fault {
	const file = "hub/bundles/north/site.pem"
	var renewed []byte
	said := 0
	return fault{"certificate of site ran out", 10 * time.Second, true,
		func(*run) (err error) {
			said = len(r.sys.hubs[0].Logged())
			renewed, err = r.sys.expire(file)
			r.sys.links[0].Cut() // it has to connect anew
			r.sys.links[0].Restore()
			return err
		},
		func(*run) error {
			err := bed.Wait(r.ctx, "a word of the hub about the site's certificate", recovery, func() bool { return ranOut.Match(r.sys.hubs[0].Logged()[said:]) })
			return errors.Join(err, r.sys.write(file, string(renewed)))
		}}
}

var ranOut = regexp.MustCompile(`certificate has expired or is not yet valid: current time [^ ]+ is after [^ ]+ \(CN=north `)

// expire replaces a certificate of the hub's authority by one of the same key that has run out, and
// returns what was there.
func (y *system) expire(file string) (before []byte, err error) {
	ca, err := certificate(filepath.Join(y.dir, "hub/ca/ca.pem"))
	if err != nil {
		return nil, err
	}
	key, err := signer(filepath.Join(y.dir, "hub/ca/ca.key"))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(y.dir, file)
	c, err := certificate(path)
	if err != nil {
		return nil, err
	}
	if before, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	c.SerialNumber = new(big.Int).Add(c.SerialNumber, big.NewInt(1))
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
	old, err := x509.CreateCertificate(rand.Reader, c, ca, c.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return before, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old}), 0o600)
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
