package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/reception"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// paymentMapping is of fields that the simulated Odoo has.
const paymentMapping = `kind: mapping
format: 1
id: payment-out
version: 1
title: Paid → 820
owner: tests
direction: outbound
source: { format: odoo, model: account.payment, trigger: { on: write, becomes: { state: paid } } }
target: { odoo: "18.0", snapshot: snapshot.json }
ordering: "{id}"
idempotency: ["{id}", "{write_date}"]
egress: { allow: [none] }
emit: { format: x12, set: "820", version: "005010" }
segments:
  - ST: { "01": { value: "820" }, "02": { from: id, cel: "it.size() < 4 ? ('000' + it).last(4) : it" } }
  - BPR: { "01": { value: I }, "02": { from: amount, cel: "dec(it).fixed2()" }, "03": { value: C }, "04": { value: NON }, "16": { from: date, as: date } }
  - TRN: { "01": { value: "1" }, "02": memo }
`

// A supplier receives by HTTPS from those whose certificate it knows.
type supplier struct {
	receiver *x12.Receiver
	answers  bool // at once; or nobody hears of it yet

	mu       sync.Mutex
	taken    []*broker.Message
	deferred []byte
}

func (s *supplier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	receipt, err := s.receiver.Receive(r.Context(), broker.Delivery{Body: body, At: time.Now().UTC()}, func(_ context.Context, ms ...*broker.Message) error {
		s.taken = append(s.taken, ms...)
		return nil
	})
	switch {
	case !s.answers:
		s.deferred = receipt.Answer
		w.WriteHeader(http.StatusAccepted)
	case err != nil:
		w.WriteHeader(http.StatusUnprocessableEntity)
		fallthrough
	default:
		_, _ = w.Write(receipt.Answer)
	}
}

// certify writes ca.pem, us.pem, us.key, them.pem and them.key.
func certify(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, name := range []string{"ca", "us", "them"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: ca == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		if ca == nil {
			ca, caKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if ca, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
		}
		for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
			if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}

// patiently is eventually for what goes through a site, a hub, a worker and back to the site, three times over.
func patiently(t *testing.T, what string, log *safeLog, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("2 min passed without %s\n%s", what, log)
		}
	}
}

// TestASupplierByHTTPS: an order and a payment go out over a site's sink, one answered at once and one later; one that the supplier
// refuses is a dead letter with its reason. What the supplier sends finds the order: confirmed, shipped in lots, billed.
func TestASupplierByHTTPS(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &safeLog{}
	snapshot := strings.Replace(orderSnapshot, `"res.partner":`, `"account.payment":{"amount":{"type":"float"},"date":{"type":"date"},"memo":{"type":"char"},"state":{"type":"selection","selection":["draft","in_process","paid","canceled"]}},
"res.partner":`, 1)
	order := strings.Replace(orderMapping, "segments:\n", "segments:\n  - ST: { \"01\": { value: \"850\" }, \"02\": { from: id, cel: \"it.size() < 4 ? ('000' + it).last(4) : it\" } }\n", 1)
	for name, text := range map[string]string{"order.map.yaml": order, "payment.map.yaml": paymentMapping, "snapshot.json": snapshot} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := certify(t, dir)
	mine, err := tls.LoadX509KeyPair(filepath.Join(dir, "them.pem"), filepath.Join(dir, "them.key"))
	if err != nil {
		t.Fatal(err)
	}
	register, err := x12.OpenRegister(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer register.Close()
	north := x12.Partner{Name: "north", ID: "ZZ:NORTH", Own: "ZZ:MERID"}
	meridian := &supplier{answers: true}
	if meridian.receiver, err = x12.NewReceiver(broker.Origin{Tenant: "s", Site: "s", Feed: "s"}, x12.Config{Partners: []x12.Partner{north}, Register: register}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(meridian)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{mine}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.StartTLS()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	cfg, database := oneOf(t, simulated.Config{Users: []simulated.User{{Login: "buyer", Key: "buyer"}}}, builtin)
	us := x12.Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTH"}
	changes := &odoo.SourceConfig{Config: *cfg.Targets["odoo"].Odoo, Every: time.Second, Models: []odoo.SourceModel{
		{Model: "purchase.order", Watch: []string{"state"}, Fields: []string{"name", "state", "date_planned", "partner_id.ref", "order_line.product_qty", "order_line.price_unit"}},
		{Model: "account.payment", Watch: []string{"state"}, Fields: []string{"amount", "date", "memo", "state"}},
	}}
	procurement := func(name string) string { return config.Builtin + "procurement/" + name + ".map.yaml" }
	cfg.Feeds = []config.Feed{
		{Name: "out", Target: "orders", Mappings: []string{filepath.Join(dir, "order.map.yaml")}, Odoo: changes},
		{Name: "paid", Target: "payments", Mappings: []string{filepath.Join(dir, "payment.map.yaml")}, Odoo: changes},
		{Name: "back", Target: "odoo", Mappings: []string{procurement("order-ack-855"), procurement("ship-notice-856"), procurement("vendor-bill-810"), config.Builtin + "billing/acknowledgment-997.map.yaml"},
			HTTP: &webhook.Config{Listen: "127.0.0.1:0", TLS: reception.TLS{CertFile: filepath.Join(dir, "us.pem"), KeyFile: filepath.Join(dir, "us.key"), ClientCAFile: filepath.Join(dir, "ca.pem")}},
			X12:  &x12.Config{Partners: []x12.Partner{us}}},
	}
	way := &x12.PostConfig{URL: "https://localhost:" + port + "/edi", CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "us.pem"), KeyFile: filepath.Join(dir, "us.key")}
	cfg.Sinks = map[string]config.Outlet{
		"orders":   {X12: &config.X12Sink{Partner: x12.SinkConfig{Partner: us, Version: "004010"}, HTTP: way}},
		"payments": {X12: &config.X12Sink{Partner: x12.SinkConfig{Partner: us, Version: "005010"}, HTTP: way}},
	}
	for name := range cfg.Sinks {
		cfg.Targets[name] = config.Target{Site: cfg.Site, At: name}
	}
	buyer, err := odoo.New(odoo.Config{URL: changes.URL, Database: "demo", User: "buyer", Key: broker.NewSecret("buyer"), Addon: "off"})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(id string, op broker.Operation) {
		t.Helper()
		op.Do = "upsert"
		out, err := buyer.Apply(t.Context(), []*broker.Unit{{ID: id, Ops: []broker.Operation{{ID: "s", Model: "res.partner", Do: "upsert", XID: "t.s", Vals: broker.Values{"name": "Meridian", "ref": "MERID"}}, op}}})
		if err != nil || out[0].Result != broker.Applied {
			t.Fatalf("%v %v", out, err)
		}
	}
	confirmed := func(name, at string) broker.Operation {
		return broker.Operation{ID: "o", Model: "purchase.order", XID: "t." + name, Vals: broker.Values{"name": name, "state": "purchase", "date_planned": at, "partner_id": map[string]any{"$op": "s"},
			"order_line": map[string]any{"$merge": []any{map[string]any{"key": "1", "vals": map[string]any{"name": "Gloves", "product_qty": 20, "price_unit": 12.5}}}}}}
	}
	apply("g", broker.Operation{ID: "g", Model: "product.product", XID: "t.g", Vals: broker.Values{"name": "Gloves", "default_code": "GLV"}})
	apply("u", broker.Operation{ID: "u", Model: "uom.uom", XID: "t.u", Vals: broker.Values{"name": "Units"}})
	all, api := start(t, cfg, log)
	settled := func(feed string, status ledger.Status, reason string) func() bool {
		return func() bool {
			page, err := api.Messages(t.Context(), ops.Query{Feed: feed})
			for _, u := range page.Messages {
				if err == nil && u.Status == status && strings.Contains(u.Reason, reason) {
					return true
				}
			}
			return false
		}
	}
	apply("1", confirmed("P1", "2026-05-08 08:00:00"))
	patiently(t, "the order being taken", log, settled("out", ledger.Applied, ""))
	meridian.mu.Lock()
	meridian.answers = false
	meridian.mu.Unlock()
	apply("2", broker.Operation{ID: "p", Model: "account.payment", XID: "t.p", Vals: broker.Values{"amount": 250, "date": "2026-06-08", "memo": "INV-1", "state": "paid", "partner_id": map[string]any{"$op": "s"}}})
	patiently(t, "the payment being sent", log, settled("paid", ledger.Applied, ""))
	meridian.mu.Lock()
	meridian.answers = true
	closed := north
	closed.Groups = []string{"RA"} // from now on it takes no orders
	if meridian.receiver, err = x12.NewReceiver(broker.Origin{Tenant: "s", Site: "s", Feed: "s"}, x12.Config{Partners: []x12.Partner{closed}, Register: register}); err != nil {
		t.Fatal(err)
	}
	taken, later := meridian.taken, meridian.deferred
	meridian.mu.Unlock()
	if len(taken) != 2 || taken[0].Kind != "850" || taken[1].Kind != "820" {
		t.Fatalf("the supplier has %d documents", len(taken))
	}
	apply("3", confirmed("P3", "2026-05-08 08:00:00"))
	patiently(t, "the order that the supplier refuses", log, settled("out", ledger.Dead, "the partner did not take it: 997 R"))

	record, _ := database.ByXID("t.P1")
	lines := database.Records("purchase.order.line")
	apply("4", broker.Operation{ID: "r", Model: "stock.picking", XID: "t.r", Vals: broker.Values{"origin": "P1", "state": "assigned"}})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{mine}}}}
	_, back, err := net.SplitHostPort(all.Agent.FeedAddr("back").String())
	if err != nil {
		t.Fatal(err)
	}
	send := func(client *http.Client, body []byte) (int, string, error) {
		res, err := client.Post("https://localhost:"+back+"/", "application/edi-x12", bytes.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		return res.StatusCode, string(answer), err
	}
	document := func(set, text string) []byte {
		t.Helper()
		n, err := register.Issue(north, set)
		if err != nil {
			t.Fatal(err)
		}
		body, err := north.Seal(set, "004010", []byte(text), n)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	line := strconv.FormatInt(lines[0].ID, 10)
	for _, body := range [][]byte{
		document("855", "BAK*00*AD*P1*20260505****SO-1*20260505~PO1*"+line+"*20*EA*12.5~ACK*IA*20*EA~CTT*1~"),
		document("856", "BSN*00*S1*20260507*0815~HL*1**S~REF*CN*1Z99~HL*2*1*O~PRF*P1~HL*3*2*I~LIN*1*BP*GLV~SN1*1*20*EA~REF*LT*L-17~DTM*036*20280131~CTT*3~"),
		document("810", "BIG*20260509*INV-1*20260504*P1~N1*VN*MERIDIAN*92*MERID~IT1*"+line+"*20*EA*12.5**BP*GLV~TDS*25000~CTT*1~"),
	} {
		if status, answer, err := send(client, body); status != http.StatusOK || err != nil || !strings.Contains(answer, "AK9*A*1*1*1~") {
			t.Fatalf("%d %v: %s", status, err, answer)
		}
	}
	if status, _, err := send(client, later); status != http.StatusAccepted || err != nil { // an acknowledgment is not acknowledged
		t.Errorf("the acknowledgment that comes later: %d %v", status, err)
	}
	if _, _, err := send(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}, later); err == nil {
		t.Error("somebody without a certificate is let in")
	}
	patiently(t, "the bill", log, func() bool {
		_, ok := database.ByXID("vagus.bill_MERID_INV-1")
		return ok
	})
	patiently(t, "the order's confirmation", log, func() bool {
		record, _ = database.ByXID("t.P1")
		return record.Values["partner_ref"] == "SO-1"
	})
	patiently(t, "the lot", log, func() bool {
		moves := database.Records("stock.move.line")
		return len(moves) == 1 && moves[0].Values["lot_name"] == "L-17" && moves[0].Values["expiration_date"] == "2028-01-31 00:00:00"
	})
	patiently(t, "the acknowledgment being matched", log, func() bool { return strings.Contains(log.String(), "acknowledgment of what was sent") })
	if strings.Contains(log.String(), "nothing that was sent") {
		t.Errorf("an acknowledgment was not matched:\n%s", log)
	}
}
