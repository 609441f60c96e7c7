package demo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const event = `{"type":"item.price_changed","timestamp":"2026-05-05T09:15:22Z","data":{"item_no":"GLV-100","cost":5.10}}`

// price sends a supplier's event with a signature of Standard Webhooks, one that is not
// signed with the right key, and holds Odoo against them.
func (d *demo) price(ctx context.Context) error {
	d.Say("\nwebhook     a supplier's new cost of the gloves, signed (Standard Webhooks); and a forged one")
	for _, sample := range []struct {
		id     string
		key    []byte
		status int
		units  int
	}{{"evt_1", d.hook, http.StatusAccepted, 1}, {"evt_2", []byte("somebody else's"), http.StatusUnauthorized, 0}} {
		began, stamp := time.Now(), strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, sample.key)
		_, _ = mac.Write([]byte(sample.id + "." + stamp + "." + event)) // a hash never fails
		status, answer, err := d.post(ctx, "prices", "/", event, map[string]string{"Content-Type": "application/json",
			"webhook-id": sample.id, "webhook-timestamp": stamp, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))})
		if err != nil || status != sample.status {
			return errors.Join(fmt.Errorf("%s was answered %d, not %d: %s", sample.id, status, sample.status, answer), err)
		}
		d.sent("webhook", "prices", sample.id, "item.price_changed", fmt.Sprint(status), began, sample.units)
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	if !is(d.product("GLV-100"), "standard_price", "5.1") {
		return errors.New("the gloves in Odoo do not cost what the webhook says")
	}
	d.Say("            Odoo has the new cost; the forged one was answered 401 and changed nothing")
	return nil
}
