package link

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"

	"github.com/vagus-health/vagus/broker/stream"
)

const (
	askWithin             = 5 * time.Second // how long the hub may take to answer
	askSoonest, askLatest = 3 * time.Second, 10 * time.Minute
)

// warnings are how long before its end a certificate that nobody renewed is spoken of.
var warnings = [...]time.Duration{30 * 24 * time.Hour, 7 * 24 * time.Hour, 0}

// KeepCertificate asks the hub, now and then and after every connection, until ctx is
// done, whether the bundle's certificate or the authorities that it trusts are to be
// renewed, and stores in the bundle what it is given: connections that are open stay, the
// next one is made with it. The bundle's key stays, so that each step is one file, replaced
// whole. It says when a certificate nears its end in spite of that. name is that of the
// process, for a worker; meter may be nil.
func KeepCertificate(ctx context.Context, nc *nats.Conn, b *Bundle, name string, log *slog.Logger, meter metric.Meter) error {
	if meter != nil {
		if err := b.measure(meter); err != nil {
			return err
		}
	}
	changed := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING)
	defer nc.RemoveStatusListener(changed)
	warned, failed, retry := 0, "", askSoonest
	for {
		wait := time.Minute
		if nc.IsConnected() {
			again, err := b.renew(ctx, nc, name, log)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				if failed != err.Error() && retry > askSoonest { // a hub that has just begun may not answer yet
					failed = err.Error()
					log.Warn("the hub was asked whether the certificate is to be renewed, in vain; it is asked again", "err", err)
				}
				wait, retry = retry, min(2*retry, askLatest)
			default:
				wait, retry, failed = again, askSoonest, ""
			}
		}
		warned = b.warn(log, warned, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-changed:
		}
	}
}

// leaf returns what the bundle's connections are made with now.
func (b *Bundle) leaf() (*x509.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(b.Certificate, b.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return pair.Leaf, nil
}

// Until returns when the bundle's certificate runs out; zero if it can not be read.
func (b *Bundle) Until() time.Time {
	c, err := b.leaf()
	if err != nil {
		return time.Time{}
	}
	return c.NotAfter
}

// renew asks once, stores the answer, and returns when to ask again.
func (b *Bundle) renew(ctx context.Context, nc *nats.Conn, name string, log *slog.Logger) (again time.Duration, err error) {
	pair, err := tls.LoadX509KeyPair(b.Certificate, b.Key)
	if err != nil {
		return 0, fmt.Errorf("certificate: %w", err)
	}
	has, err := os.ReadFile(b.Certificate)
	if err != nil {
		return 0, err
	}
	ca, err := os.ReadFile(b.CA)
	if err != nil {
		return 0, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return 0, fmt.Errorf("%s holds no key that can sign", b.Key)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: b.Name}}, key)
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(stream.CertificateRequest{Name: name, Certificate: string(has), CA: string(ca),
		Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))})
	if err != nil {
		return 0, err
	}
	subject := stream.WorkerCertificate
	if b.Role == "site" {
		subject = stream.SiteCertificate(b.Name)
	}
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	m, err := nc.RequestWithContext(within, subject, text)
	if err != nil {
		return 0, err
	}
	var a stream.CertificateAnswer
	if len(m.Data) > stream.CertificateMax || json.Unmarshal(m.Data, &a) != nil {
		return 0, errors.New("the hub's answer is none")
	}
	if a.Error != "" {
		return 0, fmt.Errorf("the hub says: %.200s", a.Error)
	}
	if err := b.store(a, log); err != nil {
		return 0, fmt.Errorf("%w: let this process write the bundle's directory, or carry it what is renewed: %s", err, b.remedy())
	}
	if a.CA != "" || a.Certificate != "" {
		return 0, nil // at once: the hub is to know
	}
	return min(max(time.Duration(a.Again)*time.Millisecond, 100*time.Millisecond), askLatest), nil
}

// store puts into the bundle what the hub has given: first whom to trust, so that a crash in
// between leaves a site that can connect.
func (b *Bundle) store(a stream.CertificateAnswer, log *slog.Logger) error {
	if a.CA != "" {
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(a.CA)) {
			return errors.New("the hub's answer holds no authority")
		}
		if err := replaceFile(b.CA, []byte(a.CA)); err != nil {
			return err
		}
		log.Info("the hub's authorities are others from now on", "file", b.CA)
		atTrusted.Hit()
	}
	if a.Certificate == "" {
		return nil
	}
	key, err := os.ReadFile(b.Key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair([]byte(a.Certificate), key)
	clear(key)
	if err != nil {
		return fmt.Errorf("the hub's answer holds no certificate of our key: %w", err)
	}
	if err := replaceFile(b.Certificate, []byte(a.Certificate)); err != nil {
		return err
	}
	log.Info("the certificate is renewed", "until", pair.Leaf.NotAfter)
	return nil
}

// replaceFile writes a file so that a reader, or a power failure, meets the old one or the new one, whole.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = d.Sync() // some systems can not; there a rename is as safe as it gets
	return d.Close()
}

// remedy is what people do about a certificate that is not renewed by itself.
func (b *Bundle) remedy() string {
	if b.Role == "site" {
		return "run `vagus site renew " + b.Name + "` at the hub, and put its files over those in " + filepath.Dir(b.Certificate)
	}
	return "put what the hub's data_dir has under workers/" + b.Tenant + " into " + filepath.Dir(b.Certificate)
}

// warn says, once for each of warnings, that the certificate nears its end or is past it. It
// returns how many were said of this certificate.
func (b *Bundle) warn(log *slog.Logger, warned int, now time.Time) int {
	until := b.Until()
	if until.IsZero() {
		return warned // a connection that is made says why
	}
	due := 0
	for due < len(warnings) && !now.Before(until.Add(-warnings[due])) {
		due++
	}
	if due > warned {
		text, say := "the certificate of this "+b.Role+" runs out soon, and the hub has not renewed it over the link", log.Warn
		if due == len(warnings) {
			text, say = "the certificate of this "+b.Role+" has run out: the hub lets it in no more", log.Error
		}
		say(text+": "+b.remedy()+"; it is taken up without a restart", b.Role, b.Name, "until", until)
	}
	return due
}

func (b *Bundle) measure(meter metric.Meter) error {
	left, err := meter.Float64ObservableGauge("vagus_link_certificate_seconds", metric.WithDescription("How long the certificate that this process connects to the hub with is still good; negative: it has run out."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if until := b.Until(); !until.IsZero() {
			o.ObserveFloat64(left, time.Until(until).Seconds())
		}
		return nil
	}, left)
	return err
}
