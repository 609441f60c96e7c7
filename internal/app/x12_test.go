package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
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
	start(t, cfg, log)
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
	for _, want := range []string{"AK1*HC*905*005010X222A1~", "CTX*CLM01:ACC778813~IK4*2*782*6*1OO~", "IK5*E*5~AK9*E*1*1*1~"} {
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

// TestClaimsOfEachGuideBecomeInvoices: two claims of each, in one feed that has all mappings, and a 997 or 999.
func TestClaimsOfEachGuideBecomeInvoices(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	cfg, database := oneOf(t, simulated.Config{}, builtin)
	cfg.Feeds = []config.Feed{{
		Name: "claims", Target: "odoo", Mappings: []string{config.Builtin + "billing"},
		HTTP: &webhook.Config{Listen: "127.0.0.1:0", Open: true},
		X12:  &x12.Config{Split: x12.SplitClaim, Partners: []x12.Partner{{Name: "billing", ID: "ZZ:BILLING", Own: "ZZ:NORTHHOSP"}}},
	}}
	all, _ := start(t, cfg, log)
	for i, guide := range []string{"837p", "837p-4010", "837i", "837i-4010", "837d", "837d-4010"} {
		body, err := os.ReadFile("../../mappings/billing/in/" + guide + ".edi")
		if err != nil {
			t.Fatal(err)
		}
		number := strconv.Itoa(i + 1) // each file has numbers of its own
		text := strings.NewReplacer("ACC7788", "ACC778"+number, "000000905", "00000090"+number, "*905", "*90"+number).Replace(string(body))
		res, err := http.Post("http://"+all.Agent.FeedAddr("claims").String()+"/", "application/edi-x12", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !bytes.Contains(answer, []byte("AK9*A*1*1*1~")) {
			t.Errorf("%s: %s: %s", guide, res.Status, answer)
		}
		for _, claim := range []string{"12", "13"} {
			eventually(t, "an invoice of "+guide, log, func() bool {
				_, ok := database.ByXID("vagus.claim_BILLING_ACC778" + number + claim)
				return ok
			})
		}
	}
	if _, ok := database.ByXID("vagus.payer_BCCA"); !ok {
		t.Error("the payer is not there")
	}
}

// TestWhatAClaimIsToTheOneOfItsNumber: an original that comes again is the same, another original of the number writes
// nothing over, a replacement takes the place of the draft, and a void cancels it.
func TestWhatAClaimIsToTheOneOfItsNumber(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	cfg, database := oneOf(t, simulated.Config{}, builtin)
	cfg.Feeds = []config.Feed{{
		Name: "claims", Target: "odoo", Mappings: []string{config.Builtin + "billing/claim-837p.map.yaml"},
		HTTP: &webhook.Config{Listen: "127.0.0.1:0", Open: true},
		X12:  &x12.Config{Split: x12.SplitClaim, Partners: []x12.Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}}},
	}}
	all, api := start(t, cfg, log)
	control := 0
	send := func(batch, purpose string, claims ...string) {
		t.Helper()
		control++
		set := "ST*837*0001*005010X222A1~BHT*0019*" + purpose + "*" + batch + "*20260505*0830*CH~NM1*41*2*NORTH*****46*N1~PER*IC*P*TE*5550100~NM1*40*2*PAYER*****46*P1~" +
			"HL*1**20*1~NM1*85*2*NORTH*****XX*1234567893~N3*1 ST~N4*LA*CA*900011234~REF*EI*991234567~" +
			"HL*2*1*22*0~SBR*P*18*******CI~NM1*IL*1*OHARA*SIOBHAN****MI*M1~N3*2 ST~N4*LA*CA*900011234~DMG*D8*19800101*F~NM1*PR*2*PAYER*****PI*P1~" + strings.Join(claims, "")
		body := fmt.Sprintf("ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*^*00501*%09d*0*P*:~GS*HC*MERID*NORTHHOSP*20260505*0830*%d*X*005010X222A1~%sSE*%d*0001~GE*1*%d~IEA*1*%09d~",
			control, control, set, strings.Count(set, "~")+1, control, control)
		res, err := http.Post("http://"+all.Agent.FeedAddr("claims").String()+"/", "application/edi-x12", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte("AK9*A*1*1*1~")) || res.Header.Get("Content-Type") != "application/edi-x12" {
			t.Fatalf("%s %s: %s", res.Status, res.Header.Get("Content-Type"), answer)
		}
	}
	claim := func(id, frequency string, amounts ...int) string {
		sum, lines := 0, ""
		for i, a := range amounts {
			sum += a
			lines += fmt.Sprintf("LX*%d~SV1*HC:99213*%d*UN*1***1~DTP*472*D8*20260402~", i+1, a)
		}
		if frequency != "1" {
			frequency += "*Y*A*Y*Y~REF*F8*P" + id
		} else {
			frequency += "*Y*A*Y*Y"
		}
		return fmt.Sprintf("CLM*%s*%d***11:B:%s~HI*ABK:J209~%s", id, sum, frequency, lines)
	}
	is := func(id string, want string) func() bool {
		return func() bool {
			r, ok := database.ByXID("vagus.claim_MERID_" + id)
			if !ok {
				return false
			}
			got := fmt.Sprint(r.Values["state"])
			for _, l := range database.Records("account.move.line") {
				if l.Values["move_id"] == r.ID {
					got += fmt.Sprint(" ", l.Values["price_unit"])
				}
			}
			return got == want
		}
	}
	send("B1", "00", claim("A", "1", 100), claim("B", "1", 100, 20), claim("C", "1", 100))
	for id, want := range map[string]string{"A": "draft 100", "B": "draft 100 20", "C": "draft 100"} {
		eventually(t, "the invoice of "+id, log, is(id, want))
	}
	send("B1", "18", claim("A", "1", 100), claim("B", "1", 100, 20), claim("C", "1", 100)) // once more, by other control numbers
	send("B2", "00", claim("A", "1", 250), claim("B", "7", 40, 30, 5), claim("C", "8", 100), claim("D", "7", 10))
	eventually(t, "the replacement", log, is("B", "draft 40 30 5"))
	eventually(t, "the void", log, is("C", "cancel 100"))
	settled := map[ledger.Status]int{}
	eventually(t, "every claim being settled", log, func() bool {
		clear(settled)
		page, err := api.Messages(t.Context(), ops.Query{})
		for _, u := range page.Messages {
			settled[u.Status]++
		}
		return err == nil && settled[ledger.Applied] == 8 && settled[ledger.Dead] == 2 // the second A, and the replacement of a D that never came
	})
	if !is("A", "draft 100")() || len(database.Records("account.move")) != 3 {
		t.Errorf("%d invoices, and the first A's is no more what it was", len(database.Records("account.move")))
	}
}

// TestShippedInterchangesPassAStrictReceiver: whoever learns from a sample learns what partners take.
func TestShippedInterchangesPassAStrictReceiver(t *testing.T) {
	t.Parallel()
	register, err := x12.OpenRegister(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = register.Close() })
	receiver, err := x12.NewReceiver(broker.Origin{Tenant: "t", Site: "s", Feed: "samples"}, x12.Config{Register: register, Partners: []x12.Partner{{Name: "anyone", ID: x12.Anyone, Duplicates: x12.DuplicatesWarn}}})
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = fs.WalkDir(os.DirFS("../../mappings"), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".edi" {
			return err
		}
		files++
		body, err := os.ReadFile(filepath.Join("../../mappings", path))
		if err != nil {
			return err
		}
		receipt, err := receiver.Receive(t.Context(), broker.Delivery{Body: body}, func(context.Context, ...*broker.Message) error { return nil })
		if answer := string(receipt.Answer); err != nil || receipt.Refused > 0 || !strings.Contains(answer, "AK9*A*1*1*1~") {
			t.Errorf("%s: %v: %s", path, err, answer)
		}
		return nil
	})
	if err != nil || files < 9 {
		t.Errorf("%d files: %v", files, err)
	}
}
