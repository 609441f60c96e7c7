package hub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	caValid     = 20 * 365 * 24 * time.Hour
	serverValid = 398 * 24 * time.Hour
	renewBefore = serverValid / 3
	siteValid   = 5 * 365 * 24 * time.Hour // a site is shut out by removing its key, not by its certificate. Renewed by itself from the last third on
	backdate    = time.Hour                // for peers whose clocks run behind
)

// An authority is what a hub's certificates are signed by, and checked with. While
// it is rotated it is two, of which the files ca.pem and ca.key tell how far that is:
// each step is one of them, replaced whole.
//
//	ca.pem  ca.key
//	old     old       no rotation
//	both    both      begun: both are trusted; the old signs servers, the new one sites and workers
//	both    new       switched: the new one signs all; the old is trusted still
//	new     new       finished
type authority struct {
	pem     []byte              // of all that are trusted
	trusted []*x509.Certificate // oldest first
	signers []signer            // of these, those with a key
}

// A signer is a certificate of an authority and its key.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// forServers signs what sites must trust before they have heard of another; forPeers
// what the hub checks.
func (a *authority) forServers() signer { return a.signers[0] }
func (a *authority) forPeers() signer   { return a.signers[len(a.signers)-1] }

// newAuthority returns the certificate of a new authority, and its key.
func newAuthority() (cert, key []byte, err error) {
	cert, key, err = sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Vagus hub CA"}, NotAfter: time.Now().Add(caValid),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true}, signer{})
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return cert, key, nil
}

// openAuthority reads the authority of a hub's directory, made on first use.
func openAuthority(dir string) (*authority, error) {
	ca := filepath.Join(dir, "ca")
	if _, err := os.Stat(ca); err != nil {
		cert, key, err := newAuthority()
		if err != nil {
			return nil, err
		}
		if _, err := makeDir(ca, map[string][]byte{"ca.pem": cert, "ca.key": key}); err != nil {
			return nil, fmt.Errorf("make certificate authority: %w", err)
		}
	}
	return readAuthority(dir)
}

// readAuthority reads the authority that a hub's directory has.
func readAuthority(dir string) (*authority, error) {
	certFile, keyFile := filepath.Join(dir, "ca", "ca.pem"), filepath.Join(dir, "ca", "ca.key")
	keys, err := os.ReadFile(keyFile) // first: its other half is written after it
	if err != nil {
		return nil, err
	}
	defer clear(keys)
	a := new(authority)
	if a.pem, err = os.ReadFile(certFile); err != nil {
		return nil, err
	}
	if a.trusted, err = parseCertificates(a.pem); err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	for rest := keys; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keyFile, err)
		}
		for _, c := range a.trusted {
			if ec, ok := key.(*ecdsa.PrivateKey); ok && ec.PublicKey.Equal(c.PublicKey) {
				a.signers = append(a.signers, signer{c, ec})
			}
		}
	}
	if len(a.signers) == 0 {
		return nil, fmt.Errorf("%s holds no key of a certificate in ca.pem: restore both from a copy of the hub's directory", keyFile)
	}
	return a, nil
}

// client returns a certificate and key for a site or worker of this name.
func (a *authority) client(name string) (cert, key []byte, err error) {
	return sign(clientTemplate(name), a.forPeers())
}

func clientTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(siteValid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// again returns a certificate of a site or worker for a key that it has.
func (a *authority) again(name string, public any) ([]byte, error) {
	return certify(clientTemplate(name), public, a.forPeers())
}

// due says whether a site's or worker's certificate is to be renewed.
func (a *authority) due(c *x509.Certificate, now time.Time) bool {
	return c.CheckSignatureFrom(a.forPeers().cert) != nil || now.After(c.NotAfter.Add(-siteValid/3))
}

// ensureServer makes the certificate of a server, and makes it again when it
// does not cover all names, has run two thirds of its time, or is of another
// authority than signs servers now. It reports whether it did.
func (a *authority) ensureServer(dir string, names []string, now time.Time) (bool, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if data, err := os.ReadFile(certFile); err == nil {
		if c, err := parseCertificate(data); err == nil && c.CheckSignatureFrom(a.forServers().cert) == nil && now.Before(c.NotAfter.Add(-renewBefore)) &&
			!slices.ContainsFunc(names, func(n string) bool { return c.VerifyHostname(n) != nil }) {
			return false, nil
		}
	}
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, NotAfter: now.Add(serverValid), KeyUsage: x509.KeyUsageDigitalSignature,
		// Servers of a cluster are each other's clients.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	cert, key, err := sign(tmpl, a.forServers())
	if err != nil {
		return false, fmt.Errorf("make server certificate: %w", err)
	}
	made, err := makeDir(dir, map[string][]byte{"cert.pem": cert, "key.pem": key})
	if err != nil || made {
		return made, err
	}
	if err := replaceFile(keyFile, key); err != nil {
		return false, err
	}
	atRotated.Hit()
	return true, replaceFile(certFile, cert)
}

// sign makes a key and the certificate of it, signed by a, or by itself.
func sign(tmpl *x509.Certificate, by signer) (cert, key []byte, err error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if by.cert == nil {
		by = signer{tmpl, priv}
	}
	if cert, err = certify(tmpl, &priv.PublicKey, by); err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// certify signs a public key.
func certify(tmpl *x509.Certificate, public any, by signer) ([]byte, error) {
	var err error
	if tmpl.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	tmpl.NotBefore = time.Now().Add(-backdate)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, public, by.key)
	if err != nil {
		return nil, err
	}
	return encodeCertificate(der), nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	all, err := parseCertificates(data)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// parseCertificates reads the certificates of a PEM file, at least one.
func parseCertificates(data []byte) (all []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no PEM block")
	}
	return all, nil
}

// fingerprint is what people tell authorities apart by: the first eight hexadecimal digits of the
// SHA-256 of its certificate.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:4])
}
