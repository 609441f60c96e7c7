package app_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/contract-tests/source/openssh"
	"github.com/vagus-health/vagus/internal/config"
)

// A list of items that is dropped into a folder, another one, a workbook, that lies on an SFTP
// server, and a signed webhook reach Odoo through the whole of `vagus up`.
func TestFilesAndWebhooksReachOdoo(t *testing.T) {
	t.Parallel()
	database := simulated.New(simulated.Config{Database: "demo", User: "vagus", Key: secret})
	url, err := database.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	dir, peer := t.TempDir(), openssh.Start(t, nil)
	key := bytes.Repeat([]byte{7}, 32)
	for name, text := range map[string]string{
		"odoo.key": secret, "webhook": "whsec_" + base64.StdEncoding.EncodeToString(key), "sftp.key": peer.Config.Key.Reveal(),
		"up.yaml": fmt.Sprintf(`
data_dir: data
site: north
listen: 127.0.0.1:0
max_bytes: 268435456
journal: { max_bytes: 268435456 }
ops: { listen: "127.0.0.1:0" }
feeds:
  - name: items
    target: odoo
    mappings: [ "builtin:procurement/item-list.map.yaml" ]
    validate: before-ack
    folder: { dir: drop, names: [ "*.csv" ], every: 10ms, settle: 10ms }
    tabular: { kind: item }
  - name: supplier
    target: odoo
    mappings: [ "builtin:procurement/item-list.map.yaml" ]
    sftp: { address: %q, user: %q, key: { file: sftp.key }, host_keys: [ %q ], dir: %q, every: 10ms, settle: 10ms }
    tabular: { format: xlsx }
  - name: prices
    target: odoo
    mappings: [ "builtin:procurement/price-change.map.yaml" ]
    http: { listen: "127.0.0.1:0", path: /prices, signatures: { secrets: [ { file: webhook } ] } }
    json: { kind: type }
targets:
  odoo:
    odoo: { url: %q, database: demo, user: vagus, key: { file: odoo.key } }
    retry_max: 100ms
`, peer.Config.Address, peer.Config.User, peer.Config.HostKeys[0], peer.Dir, url)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.NewAll()
	if err := config.Load(filepath.Join(dir, "up.yaml"), cfg); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "drop"), 0o700); err != nil {
		t.Fatal(err)
	}
	log := &safeLog{}
	all, _ := start(t, cfg, log)

	// A cost of something that no list has brought yet: it waits.
	post := func(id, body string) int {
		t.Helper()
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + stamp + "." + body))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+all.Agent.FeedAddr("prices").String()+"/prices", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", stamp)
		req.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	const event = `{"type":"item.price_changed","timestamp":"2026-03-14T09:15:22Z","data":{"item_no":"GLV-100","cost":5.10}}`
	for range 2 {
		if status := post("msg_1", event); status != http.StatusAccepted {
			t.Fatalf("the webhook is answered %d", status)
		}
	}

	const list = "item_no,name,barcode,cost,price,status\nGLV-100,\"Gloves, nitrile\",,,6.00,A\nSYR-010,Syringe,,0.11,,D\nBAD-1,Quux,,,,Z\nMSK-020,Mask\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, ".new"), []byte(list), 0o600), os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "drop", "items.csv"))); err != nil {
		t.Fatal(err)
	}
	book := excelize.NewFile()
	defer book.Close()
	for i, row := range [][]any{{"item_no", "name", "barcode", "cost", "price", "status"}, {"BND-5", "Bandage", 4006381333931, 1.25, 2, "A"}} {
		if err := book.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.SaveAs(filepath.Join(peer.Dir, "list.part.xlsx")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(peer.Dir, "list.part.xlsx"), filepath.Join(peer.Dir, "list.xlsx")); err != nil {
		t.Fatal(err)
	}

	is := func(xid string, values map[string]any) bool {
		r, ok := database.ByXID("vagus." + xid)
		for name, want := range values {
			ok = ok && fmt.Sprint(r.Values[name]) == fmt.Sprint(want)
		}
		return ok
	}
	eventually(t, "the gloves, with the cost of the webhook", log, func() bool {
		return is("item_GLV-100", map[string]any{"name": "Gloves, nitrile", "list_price": 6, "standard_price": 5.1, "active": true})
	})
	eventually(t, "the syringe, archived", log, func() bool {
		return is("item_SYR-010", map[string]any{"standard_price": 0.11, "active": nil}) // as the simulator has false
	})
	eventually(t, "the bandage of the workbook", log, func() bool {
		return is("item_BND-5", map[string]any{"name": "Bandage", "barcode": "4006381333931", "standard_price": 1.25})
	})

	var answer []byte
	eventually(t, "the summary", log, func() bool {
		answer, err = os.ReadFile(filepath.Join(dir, "drop/out/items.csv.summary.json"))
		_, archived := os.Stat(filepath.Join(dir, "drop/archive/items.csv"))
		return err == nil && archived == nil
	})
	var summary tabular.Summary
	if err := json.Unmarshal(answer, &summary); err != nil || summary.Accepted != 2 || summary.Refused != 2 {
		t.Fatalf("%v %s", err, answer)
	}
	if a, b := summary.Rows[0], summary.Rows[1]; a.Row != 3 || a.Line != 4 || !strings.Contains(a.Reason, "status is neither") || b.Row != 4 || b.Column != 3 || b.Code != "csv.ragged" {
		t.Errorf("%s", answer)
	}
	for _, name := range []string{"items.csv", "list.xlsx", "Quux", "BAD-1"} {
		if strings.Contains(log.String(), name) {
			t.Errorf("%s is in the log:\n%s", name, log)
		}
	}
	eventually(t, "the answer on the server", log, func() bool {
		_, err := os.Stat(filepath.Join(peer.Dir, "out/list.xlsx.summary.json"))
		return err == nil
	})
}
