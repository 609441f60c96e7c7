package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

// TestAFileOfClaimsBecomesInvoicesAndIsAnswered: one of its two claims is bad, the other is an invoice all the
// same, and the 999 beside them says which.
func TestAFileOfClaimsBecomesInvoicesAndIsAnswered(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	database := simulated.New(simulated.Config{Database: "demo", User: "vagus", Key: secret})
	url, err := database.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() })
	cfg := one(t, builtin)
	cfg.Targets["odoo"].Odoo.URL = url
	dir := filepath.Join(t.TempDir(), "claims")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Feeds = []config.Feed{{
		Name: "claims", Target: "odoo", Mappings: []string{config.Builtin + "billing"},
		Folder: &folder.Config{Dir: dir, Settle: time.Millisecond, Every: 5 * time.Millisecond},
		X12:    &x12.Config{Split: x12.SplitClaim, Partners: []x12.Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}}},
	}}
	all, err := app.StartAll(t.Context(), cfg, app.Options{Version: "test", Log: log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() { _ = all.Stop() })
	body, err := os.ReadFile("../../connectors/x12/testdata/837p-one-bad-claim.edi")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".claims.837"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, ".claims.837"), filepath.Join(dir, "claims.837")); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	eventually(t, "a 999", log, func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "out", "*.999"))
		if len(found) == 1 {
			answer, _ = os.ReadFile(found[0])
		}
		return len(answer) > 0
	})
	for _, want := range []string{"AK1*HC*905*005010X222A1~", "CTX*CLM01:ACC778813~IK4*2**6*1OO~", "IK5*E*5~AK9*E*1*1*1~"} {
		if !strings.Contains(string(answer), want) {
			t.Errorf("no %s in %s", want, answer)
		}
	}
	eventually(t, "an invoice", log, func() bool {
		_, ok := database.ByXID("vagus.claim_MERID_ACC778812")
		return ok
	})
	if n := len(database.Records("account.move")); n != 1 {
		t.Errorf("%d invoices", n)
	}
	if _, ok := database.ByXID("vagus.payer_BCCA"); !ok {
		t.Error("the payer is not there")
	}
	if text := log.String(); strings.Contains(text, "OHARA") || strings.Contains(text, "ACC7788") {
		t.Errorf("the log names a patient or a claim:\n%s", text)
	}
}
