package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vagus-health/vagus/connectors/tabular"
)

// An interchange with two sets of one professional claim each (837, 005010X222A1). The
// second claim's amount has letters in it.
var interchange = strings.Join([]string{
	"ISA*00*          *00*          *ZZ*MERIDIAN       *ZZ*NORTH          *260505*0830*^*00501*000000041*0*P*:",
	"GS*HC*MERIDIAN*NORTH*20260505*0830*41*X*005010X222A1",
	claim("0001", "ACC900001", "310"), claim("0002", "ACC900002", "1OO"),
	"GE*2*41", "IEA*1*000000041", "",
}, "~\n")

func claim(set, account, amount string) string {
	return strings.Join([]string{
		"ST*837*" + set + "*005010X222A1", "BHT*0019*00*" + account + "*20260505*0830*CH",
		"NM1*41*2*MERIDIAN BILLING*****46*1935665544", "PER*IC*BILLING*TE*5550100", "NM1*40*2*EXAMPLE HEALTH PLAN*****46*EXHP",
		"HL*1**20*1", "NM1*85*2*NORTH HOSPITAL*****XX*1234567893", "N3*1 HOSPITAL WAY", "N4*SACRAMENTO*CA*958141234", "REF*EI*941234567",
		"HL*2*1*22*0", "SBR*P*18*******CI", "NM1*IL*1*QUIST*MAREN****MI*EX900001", "N3*1 ELM ST", "N4*SACRAMENTO*CA*95814", "DMG*D8*19811105*F", "NM1*PR*2*EXAMPLE HEALTH PLAN*****PI*EXHP",
		"CLM*" + account + "*" + amount + "***11:B:1*Y*A*Y*Y", "HI*ABK:J209", "LX*1", "SV1*HC:99213*310*UN*1***1", "DTP*472*D8*20260402",
		"SE*23*" + set,
	}, "~\n")
}

// claims drops a file of claims, reads the 999 that it is answered with, and holds Odoo against it.
func (d *demo) claims(ctx context.Context) error {
	d.Say("\nX12         claims.837 on a partner's SFTP server: two claims, one with letters in its amount")
	began := time.Now()
	answer, err := d.drop(ctx, "claims", "claims.837", interchange, "*.999")
	if err != nil {
		return err
	}
	codes := map[string]string{}
	set := ""
	for segment := range strings.SplitSeq(answer, "~") {
		switch e := strings.Split(strings.TrimSpace(segment), "*"); {
		case e[0] == "AK2" && len(e) > 2:
			set = e[2]
		case e[0] == "IK5" && len(e) > 1:
			codes[set] = e[1]
		}
	}
	if codes["0001"] != "A" || codes["0002"] != "R" {
		return fmt.Errorf("the claims were answered %v; the first is to be accepted, the second refused", codes)
	}
	d.sent("X12 SFTP", "claims", "000000041/41/0001/1", "837P", "999 A", began, 1)
	d.sent("X12 SFTP", "claims", "000000041/41/0002", "837P", "999 R", began, 0)
	d.Say("            its 999 accepts the first set and refuses the second, and says where: CLM02")
	if err := d.settle(ctx); err != nil {
		return err
	}
	invoices := d.odoo.Records("account.move")
	if len(invoices) != 1 || !is(invoices[0], "ref", "ACC900001") {
		return fmt.Errorf("there are %d invoices in Odoo; that of the first claim should be", len(invoices))
	}
	d.Say("            Odoo has a draft invoice to the payer of the first")
	return nil
}

const list = "item_no,name,barcode,cost,price,status\nGLV-100,\"Gloves, nitrile\",,4.80,6.00,A\nSYR-010,Syringe 10 ml,,0.11,0.30,A\nMSK-020,Mask,,0.20,0.50,Z\n"

// items drops a list of items, reads its summary, and holds Odoo against it.
func (d *demo) items(ctx context.Context) error {
	d.Say("\nCSV         items.csv in a watched folder: three items, one with a status that nobody agreed on")
	began := time.Now()
	answer, err := d.drop(ctx, "items", "items.csv", list, "items.csv.summary.json")
	if err != nil {
		return err
	}
	var s tabular.Summary
	if err := json.Unmarshal([]byte(answer), &s); err != nil || s.Accepted != 2 || s.Refused != 1 || s.Rows[0].Row != 3 {
		return errors.Join(fmt.Errorf("the list's summary is %s; its third row is to be refused", answer), err)
	}
	d.Say("            its summary: %d accepted, %d refused; row %d:\n            %s", s.Accepted, s.Refused, s.Rows[0].Row, s.Rows[0].Reason)
	if err := d.until(ctx, 30*time.Second, "the rows in the ledger", func() (bool, error) {
		units, err := d.units(ctx, "items")
		if err != nil || len(units) < s.Accepted {
			return false, err
		}
		for _, u := range units {
			d.sent("CSV folder", "items", u.SenderID, u.Kind, "summary", began, 1)
		}
		return true, nil
	}); err != nil {
		return err
	}
	d.sent("CSV folder", "items", "row 3", "item", "summary", began, 0)
	if err := d.settle(ctx); err != nil {
		return err
	}
	if !is(d.product("GLV-100"), "list_price", "6") || !is(d.product("SYR-010"), "list_price", "0.3") || d.product("MSK-020").ID != 0 {
		return errors.New("the items in Odoo are not those of the list's first two rows")
	}
	return nil
}

// drop puts a file whole into a feed's folder, waits for the answer beside it, and returns that.
func (d *demo) drop(ctx context.Context, feed, name, content, answer string) (text string, err error) {
	if err := errors.Join(os.WriteFile(d.path("."+name), []byte(content), 0o600), os.Rename(d.path("."+name), d.path(feed, name))); err != nil {
		return "", err
	}
	return text, d.until(ctx, 30*time.Second, "the answer to "+name, func() (bool, error) {
		found, err := filepath.Glob(d.path(feed, "out", answer))
		if err != nil || len(found) == 0 {
			return false, err
		}
		b, err := os.ReadFile(found[0])
		text = string(b)
		return err == nil, err
	})
}
