package bundle

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Keys are Ed25519 keys in PEM (RFC 8410), as openssl writes and reads them.
const (
	privateBlock = "PRIVATE KEY" // PKCS #8
	publicBlock  = "PUBLIC KEY"  // SubjectPublicKeyInfo
)

// NewKey makes a key pair.
func NewKey() (private, public []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	der2, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der2}), nil
}

// PrivateKey reads the key that bundles are signed with. Its error says
// nothing of the content.
func PrivateKey(data []byte) (ed25519.PrivateKey, error) {
	if b, _ := pem.Decode(data); b != nil && b.Type == privateBlock {
		if k, err := x509.ParsePKCS8PrivateKey(b.Bytes); err == nil {
			if key, ok := k.(ed25519.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return nil, errors.New("this is no Ed25519 private key in PEM: make one with `vagus mapping keygen`")
}

// PublicKey reads the key that a site trusts.
func PublicKey(data []byte) (ed25519.PublicKey, error) {
	b, _ := pem.Decode(data)
	if b != nil && b.Type == privateBlock {
		return nil, errors.New("this is a private key: a site gets the public one, and never this")
	}
	if b == nil || b.Type != publicBlock {
		return nil, errors.New("this is no Ed25519 public key in PEM")
	}
	k, err := x509.ParsePKIXPublicKey(b.Bytes)
	if err != nil {
		return nil, errors.New("this is no Ed25519 public key in PEM")
	}
	key, ok := k.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("this is a %T and not an Ed25519 public key", k)
	}
	return key, nil
}
