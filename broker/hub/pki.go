package hub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
	siteValid   = 5 * 365 * 24 * time.Hour // a site is shut out by removing its key, not by its certificate
	backdate    = time.Hour                // for peers whose clocks run behind
)

// An authority signs the certificates of a hub.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey
}

// openAuthority reads the authority of a hub's directory, made on first use.
func openAuthority(dir string) (*authority, error) {
	dir = filepath.Join(dir, "ca")
	if _, err := os.Stat(dir); err != nil {
		tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: "Vagus hub CA"}, NotAfter: time.Now().Add(caValid),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true}
		cert, key, err := sign(tmpl, nil)
		if err != nil {
			return nil, fmt.Errorf("make certificate authority: %w", err)
		}
		if _, err := makeDir(dir, map[string][]byte{"ca.pem": cert, "ca.key": key}); err != nil {
			return nil, fmt.Errorf("make certificate authority: %w", err)
		}
	}
	a := new(authority)
	var err error
	if a.pem, err = os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil {
		return nil, err
	}
	if a.cert, err = parseCertificate(a.pem); err != nil {
		return nil, fmt.Errorf("%s/ca.pem: %w", dir, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s/ca.key holds no PEM block", dir)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s/ca.key: %w", dir, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("%s/ca.key is not the key of ca.pem", dir)
	}
	a.key = ec
	return a, nil
}

// client returns a certificate and key for a site or worker of this name.
func (a *authority) client(name string) (cert, key []byte, err error) {
	return sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(siteValid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a)
}

// ensureServer makes the certificate of a server, and makes it again when it
// does not cover all names or has run two thirds of its time. It reports
// whether it did.
func (a *authority) ensureServer(dir string, names []string, now time.Time) (bool, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if data, err := os.ReadFile(certFile); err == nil {
		if c, err := parseCertificate(data); err == nil && c.CheckSignatureFrom(a.cert) == nil && now.Before(c.NotAfter.Add(-renewBefore)) &&
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
	cert, key, err := sign(tmpl, a)
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
func sign(tmpl *x509.Certificate, a *authority) (cert, key []byte, err error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if tmpl.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	tmpl.NotBefore = time.Now().Add(-backdate)
	parent, signer := tmpl, priv
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &priv.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("no PEM block")
	}
	return x509.ParseCertificate(block.Bytes)
}
