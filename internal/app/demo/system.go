package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

// start starts Odoo, the ward's system, the partner's server, and then Vagus from the cloud to the site.
func (d *demo) start(ctx context.Context) error {
	key, buyer := rand.Text(), rand.Text()
	d.token, d.hook = broker.NewSecret(rand.Text()), []byte(rand.Text()+rand.Text())
	d.odoo = simulated.New(simulated.Config{Database: "demo", User: "vagus", Key: key, Seeds: tariff, Users: []simulated.User{{Login: "buyer", Key: buyer}}})
	url, err := d.odoo.Start("127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the simulated Odoo: %w", err)
	}
	database := odoo.Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret(key)}
	if d.buyer, err = odoo.New(odoo.Config{URL: url, Database: "demo", User: "buyer", Key: broker.NewSecret(buyer)}); err != nil {
		return err
	}
	if d.ward, err = listen(); err != nil {
		return err
	}
	if d.partner, err = serve(); err != nil {
		return err
	}
	o := app.Options{Version: d.Version, Log: d.Log}
	anyPort := config.Process{Ops: config.Ops{Listen: "127.0.0.1:0", Token: d.token}, Log: config.Log{Level: "info"}}

	hub := config.NewHub()
	hub.DataDir, hub.Name, hub.Listen, hub.MaxBytes, hub.Process = filepath.Join(d.dir, "hub"), "hub-1", "127.0.0.1:0", 1<<30, anyPort
	if d.hub, err = app.StartHub(ctx, hub, o); err != nil {
		return err
	}
	d.Say("hub         %s (TLS 1.3, one account for the tenant, one user for the site)", d.hub.URL())
	if d.link, err = NewLink(strings.TrimPrefix(d.hub.URL(), "tls://")); err != nil {
		return err
	}
	bundle, err := d.hub.AddSite(ctx, "north", "tls://"+d.link.Addr())
	if err != nil {
		return err
	}

	worker := config.NewWorker()
	worker.Name, worker.Bundle, worker.Process = "worker-1", d.hub.WorkerBundle(), anyPort
	worker.Ledger.SQLite = filepath.Join(d.dir, "ledger.db")
	worker.Targets = map[string]config.Target{
		"odoo": {Odoo: &database, RetryMin: 50 * time.Millisecond},
		"ward": {Site: "north", At: "ward"},
	}
	if _, err := app.MigrateLedger(ctx, worker.Ledger); err != nil {
		return err
	}
	if d.worker, err = app.StartWorker(ctx, worker, o); err != nil {
		return err
	}
	d.Say("worker      64 partitions by lease, ledger in SQLite, a simulated Odoo 18 at %s", url)

	agent := config.NewAgent()
	agent.DataDir, agent.Bundle, agent.Process = filepath.Join(d.dir, "agent"), bundle, anyPort
	agent.Journal.MaxBytes = 1 << 30
	if agent.Feeds, err = d.feeds(database); err != nil {
		return err
	}
	agent.Sinks = map[string]config.Outlet{"ward": {HL7: &hl7.SinkConfig{Connect: d.ward.addr(), Header: hl7.Header{SendingApplication: "VAGUS", ReceivingApplication: "WARD"}}}}
	if d.agent, err = app.StartAgent(ctx, agent, o); err != nil {
		return err
	}
	d.Say("site north  MLLP on %s, journal on disk, link through %s", d.agent.FeedAddr("adt"), d.link.Addr())
	return nil
}

// feeds are the ways in, one by each, and the way out. All take what is shipped.
func (d *demo) feeds(database odoo.Config) ([]config.Feed, error) {
	feed := func(name, target string, mappings ...string) config.Feed {
		f := config.Feed{Name: name, Target: target}
		for _, m := range mappings {
			f.Mappings = append(f.Mappings, config.Builtin+m+".map.yaml")
		}
		return f
	}
	const anyAddr = "127.0.0.1:0"
	watched := func(name string) (*folder.Config, error) {
		return &folder.Config{Dir: d.path(name), Every: 20 * time.Millisecond, Settle: 20 * time.Millisecond}, os.Mkdir(d.path(name), 0o700)
	}
	var errs [2]error

	adt := feed("adt", "odoo", "admissions/adt-patient")
	adt.HL7 = &hl7.Config{Listen: anyAddr}

	stay := feed("stay", "odoo", "admissions/adt-patient", "admissions/adt-encounter", "admissions/adt-merge", "lab/orm-oml-order", "lab/oru-charge", "billing/dft-charges")
	stay.HL7 = &hl7.Config{Listen: anyAddr}

	visit := feed("visit", "odoo", "admissions/fhir-patient", "admissions/fhir-encounter", "billing/fhir-charge-item")
	visit.FHIR = &fhir.Config{Endpoint: &fhir.Endpoint{Listen: anyAddr, Token: d.token, Transactions: fhir.TransactionsEntries}}

	claims := feed("claims", "odoo", "billing/claim-837p")
	exchange, err := watched(claims.Name)
	errs[0] = err
	claims.SFTP = &config.SFTP{Server: d.partner.config(), Folder: *exchange}
	claims.X12 = &x12.Config{Split: x12.SplitClaim, Partners: []x12.Partner{{Name: "meridian", ID: "ZZ:MERIDIAN", Own: "ZZ:NORTH"}}}

	items := feed("items", "odoo", "procurement/item-list")
	items.Validate = config.BeforeAck
	items.Folder, errs[1] = watched(items.Name)
	items.Tabular = &tabular.Config{Kind: "item"}

	prices := feed("prices", "odoo", "procurement/price-change")
	prices.HTTP = &webhook.Config{Listen: anyAddr, Signatures: &webhook.Signatures{Secrets: []broker.Secret{broker.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(d.hook))}}}
	prices.JSON = &webhook.JSON{Kind: "type"}

	wards := feed("wards", "ward", "procurement/item-master-out")
	wards.Odoo = &odoo.SourceConfig{Config: database, Every: time.Second, Models: []odoo.SourceModel{{Model: "product.product",
		Fields: []string{"name", "default_code", "barcode", "list_price", "active", "is_storable", "categ_id", "currency_id.name", "taxes_id"}}}}
	return []config.Feed{adt, stay, visit, claims, items, prices, wards}, errors.Join(errs[:]...)
}

func (d *demo) path(name ...string) string { return filepath.Join(append([]string{d.dir}, name...)...) }

func (d *demo) stop() error {
	var errs []error
	if d.agent != nil {
		errs = append(errs, d.agent.Stop())
	}
	if d.worker != nil {
		errs = append(errs, d.worker.Stop())
	}
	if d.ward != nil {
		errs = append(errs, d.ward.close())
	}
	if d.partner != nil {
		errs = append(errs, d.partner.close())
	}
	if d.link != nil {
		d.link.Close()
	}
	if d.hub != nil {
		errs = append(errs, d.hub.Stop())
	}
	if d.odoo != nil {
		errs = append(errs, d.odoo.Close())
	}
	return errors.Join(errs...)
}
