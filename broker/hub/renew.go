package hub

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker/stream"
)

// askSoon is how often a peer asks about its certificate while the authority is rotated.
const askSoon = 3 * time.Second

// answerCertificates answers, until ctx is done, sites and workers of all tenants
// that ask about their certificates. Each server of a cluster answers; the first counts.
func (h *Hub) answerCertificates(ctx context.Context) error {
	tenants, err := h.cfg.tenants()
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		admin, err := nats.NkeyOptionFromSeed(filepath.Join(h.cfg.Dir, "tenants", tenant, "admin.nkey"))
		if err != nil {
			return err
		}
		nc, err := nats.Connect("", nats.InProcessServer(h.srv), admin, nats.Name("certificates"), nats.MaxReconnects(-1))
		if err != nil {
			return fmt.Errorf("tenant %s: %w", tenant, err)
		}
		context.AfterFunc(ctx, nc.Close)
		for _, subject := range []string{stream.SiteCertificate("*"), stream.WorkerCertificate} {
			if _, err := nc.Subscribe(subject, func(m *nats.Msg) { h.answerCertificate(tenant, m) }); err != nil {
				return fmt.Errorf("tenant %s: %w", tenant, err)
			}
		}
	}
	return nil
}

func (h *Hub) answerCertificate(tenant string, m *nats.Msg) {
	role, name := "worker", ""
	if site, ok := strings.CutPrefix(m.Subject, stream.SiteCertificate("")); ok {
		role, name = "site", site
	}
	p, a, err := h.cfg.renew(tenant, role, name, m.Data, time.Now())
	if err != nil {
		a = stream.CertificateAnswer{Error: err.Error()}
	}
	if a.Certificate != "" {
		h.cfg.Logger.Info("signed a certificate", "role", p.Role, "name", p.Name, "tenant", tenant)
		atSigned.Hit()
	}
	if text, err := json.Marshal(a); err == nil {
		_ = m.Respond(text) // who hears nothing asks again
	}
}

// renew notes what a peer says it has, and answers with what it should have. A
// site's name is that of the subject, on which nobody else may publish.
func (c *Config) renew(tenant, role, name string, text []byte, now time.Time) (p Peer, a stream.CertificateAnswer, err error) {
	if len(text) > stream.CertificateMax {
		return p, a, errors.New("the request is too large")
	}
	var q stream.CertificateRequest
	if err := json.Unmarshal(text, &q); err != nil {
		return p, a, errors.New("the request is no JSON of a certificate request")
	}
	if role == "worker" {
		if name = workerName(q.Name); name == "" {
			return p, a, errors.New("the worker does not say its name")
		}
	} else if err := stream.CheckToken("site", name); err != nil {
		return p, a, err
	}
	ca, err := readAuthority(c.Dir)
	if err != nil {
		return p, a, errors.New("the hub can not read its authority; its log says why")
	}
	has, err := parseCertificate([]byte(q.Certificate))
	if err != nil {
		return p, a, errors.New("the request's certificate is no PEM of one")
	}
	p = Peer{Role: role, Name: name, Tenant: tenant, Authority: ca.signedBy(has), Until: has.NotAfter, Heard: now.UTC().Truncate(time.Second)}
	if p.Authority == "" {
		return p, a, errForeign
	}
	trusted, err := parseCertificates([]byte(q.CA))
	if err != nil {
		return p, a, errors.New("the request's authorities are no PEM of certificates")
	}
	for _, t := range ca.trusted {
		for _, theirs := range trusted {
			if t.Equal(theirs) {
				p.Trusts = append(p.Trusts, fingerprint(t))
			}
		}
	}
	if err := hear(c.Dir, p); err != nil {
		return p, a, errors.New("the hub can not note what it heard; is its directory writable?")
	}
	a.Again = c.Ask.Milliseconds()
	if ca.stage() != Settled {
		a.Again = min(c.Ask, askSoon).Milliseconds()
	}
	if len(trusted) != len(ca.trusted) || len(p.Trusts) != len(ca.trusted) {
		a.CA = string(ca.pem)
	}
	if !ca.due(has, now) {
		return p, a, nil
	}
	public, err := requested(q.Request)
	if err != nil {
		return p, a, err
	}
	if role == "worker" {
		name = role
	}
	cert, err := ca.again(name, public)
	if err != nil {
		return p, a, errors.New("the certificate could not be signed")
	}
	a.Certificate = string(cert)
	return p, a, nil
}

// requested reads the key of a certificate request whose signature shows that the peer has it. Of
// what else the request wants nothing is granted.
func requested(text string) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the request for a certificate is no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return nil, errors.New("the request for a certificate is not one, or not signed by its key")
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("the request for a certificate is for no ECDSA key: renew the site with `vagus site renew`")
	}
	return key, nil
}
