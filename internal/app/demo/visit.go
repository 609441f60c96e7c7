package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// A transaction as a clinic's record system posts it: who came, the visit, and what it is charged.
const visit = `{"resourceType":"Bundle","type":"transaction","entry":[
{"request":{"method":"PUT","url":"Patient/pt-7"},"resource":{"resourceType":"Patient","id":"pt-7","meta":{"versionId":"1"},"name":[{"family":"Vesper","given":["Odile"]}],"gender":"female","birthDate":"1990-04-01"}},
{"request":{"method":"PUT","url":"Encounter/v-7"},"resource":{"resourceType":"Encounter","id":"v-7","meta":{"versionId":"1"},"identifier":[{"value":"V-700"}],"status":"in-progress","class":{"code":"AMB"},"subject":{"reference":"Patient/pt-7"}}},
{"request":{"method":"PUT","url":"ChargeItem/ci-7"},"resource":{"resourceType":"ChargeItem","id":"ci-7","meta":{"versionId":"1"},"status":"billable","code":{"coding":[{"system":"http://www.ama-assn.org/go/cpt","code":"99213"}]},"subject":{"reference":"Patient/pt-7"},"context":{"reference":"Encounter/v-7"},"quantity":{"value":1}}}]}`

// visit posts a FHIR transaction and holds Odoo against it.
func (d *demo) visit(ctx context.Context) error {
	began := time.Now()
	status, answer, err := d.post(ctx, "visit", "/", visit, map[string]string{"Content-Type": "application/fhir+json", "Authorization": "Bearer " + d.token.Reveal()})
	if err != nil || status != http.StatusOK {
		return errors.Join(fmt.Errorf("the transaction was answered %d: %s", status, answer), err)
	}
	for _, resource := range []string{"Patient/pt-7", "Encounter/v-7", "ChargeItem/ci-7"} {
		kind, _, _ := strings.Cut(resource, "/")
		d.sent("FHIR HTTP", "visit", resource+"/_history/1", kind, fmt.Sprint(status), began, 1)
	}
	d.Say("\nFHIR        a transaction by HTTP: a patient, a visit, a charge; each is a message")
	if err := d.settle(ctx); err != nil {
		return err
	}
	order, _ := d.odoo.ByXID("vagus.fhir_Encounter_v-7")
	for _, l := range d.odoo.Records("sale.order.line") {
		if l.Values["order_id"] == order.ID && order.ID != 0 {
			d.Say("            Odoo has the order of visit %v: %v × %v", order.Values["client_order_ref"], l.Values["product_uom_qty"], l.Values["name"])
			return nil
		}
	}
	return errors.New("the visit's order in Odoo has no line")
}

// post sends one HTTP request to a feed.
func (d *demo) post(ctx context.Context, feed, path, body string, header map[string]string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.agent.FeedAddr(feed).String()+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(text), errors.Join(err, resp.Body.Close())
}

// product returns the item that the list of items made.
func (d *demo) product(number string) simulated.Record {
	r, _ := d.odoo.ByXID("vagus.item_" + number)
	return r
}

// is says whether a field reads so.
func is(r simulated.Record, field, want string) bool {
	return r.ID != 0 && fmt.Sprint(cmp.Or(r.Values[field], any(false))) == want
}
