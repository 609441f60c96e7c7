package x12

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

func TestADocumentIsSealedForItsPartner(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 10, 30, 0, 0, time.UTC)
	p := Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", OwnCode: "NORTHSUPPLY"}
	for _, c := range []struct{ name, set, version, document, want string }{
		{"850", "850", "004010", "BEG*00*SA*P00912**20260504~PO1*4001*20*BX*12.50**BP*GLV-M~CTT*1~",
			"ISA*00*          *00*          *ZZ*NORTHHOSP      *ZZ*MERID          *260504*1030*U*00401*000000007*0*P*>~GS*PO*NORTHSUPPLY*MERID*20260504*1030*9*X*004010~" +
				"ST*850*0001~BEG*00*SA*P00912**20260504~PO1*4001*20*BX*12.50**BP*GLV-M~CTT*1~SE*5*0001~GE*1*9~IEA*1*000000007~"},
		{"860 with an ST of its own", "860", "004010", "ST*860*0077~BCH*04*SA*P00912***20260504~POC*4001*DI*20*0*EA~SE*9*0077~",
			"ISA*00*          *00*          *ZZ*NORTHHOSP      *ZZ*MERID          *260504*1030*U*00401*000000007*0*P*>~GS*PC*NORTHSUPPLY*MERID*20260504*1030*9*X*004010~" +
				"ST*860*0077~BCH*04*SA*P00912***20260504~POC*4001*DI*20*0*EA~SE*4*0077~GE*1*9~IEA*1*000000007~"},
		{"820", "820", "005010", "BPR*C*7*C*ACH*CTX~TRN*1*1~ENT*1~RMR*IV*1**7~",
			"ISA*00*          *00*          *ZZ*NORTHHOSP      *ZZ*MERID          *260504*1030*^*00501*000000007*0*P*:~GS*RA*NORTHSUPPLY*MERID*20260504*1030*9*X*005010~" +
				"ST*820*0001~BPR*C*7*C*ACH*CTX~TRN*1*1~ENT*1~RMR*IV*1**7~SE*6*0001~GE*1*9~IEA*1*000000007~"},
		{"999", "999", "005010X231A1", "AK1*HP*3*005010X221A1~AK2*835*0001~IK5*A~AK9*A*1*1*1~",
			"ISA*00*          *00*          *ZZ*NORTHHOSP      *ZZ*MERID          *260504*1030*^*00501*000000007*0*P*:~GS*FA*NORTHSUPPLY*MERID*20260504*1030*9*X*005010X231A1~" +
				"ST*999*0001*005010X231A1~AK1*HP*3*005010X221A1~AK2*835*0001~IK5*A~AK9*A*1*1*1~SE*6*0001~GE*1*9~IEA*1*000000007~"},
	} {
		got, err := p.Seal(c.set, c.version, []byte(c.document), Numbers{Interchange: 7, Group: 9, At: at})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s, not\n%s", c.name, err, got, c.want)
			continue
		}
		wellFormed(t, got)
		// The same document, decoded from what went out and encoded again, is the same.
		version := c.version
		d := dialectOf(t, version)
		m, err := d.Decode(got, nil)
		if err != nil {
			t.Fatal(err)
		}
		document, err := d.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := p.Seal(c.set, c.version, document, Numbers{Interchange: 7, Group: 9, At: at}); err != nil || string(again) != c.want {
			t.Errorf("%s again: %v\n%s", c.name, err, again)
		}
	}
}

func TestWhatCanNotBeSealedSaysWhy(t *testing.T) {
	t.Parallel()
	p := Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}
	n := Numbers{Interchange: 1, Group: 1}
	for _, c := range []struct {
		name, set, version, document string
		p                            Partner
		n                            Numbers
		want                         string
	}{
		{"an unknown set", "999999", "004010", "BEG~", p, n, "none that is sent"},
		{"no numbers", "850", "004010", "BEG~", p, Numbers{}, "control numbers"},
		{"no document", "850", "004010", "", p, n, "empty"},
		{"an envelope", "850", "004010", "GS*PO~BEG~", p, n, "envelope of its own"},
		{"no version", "850", "4010", "BEG~", p, n, "version"},
		{"everybody", "850", "004010", "BEG~", Partner{Name: "x", ID: Anyone}, n, "everybody"},
		{"a wrong id", "850", "004010", "BEG~", Partner{Name: "x", ID: "MERID", Own: "ZZ:A"}, n, "qualifier and id"},
		{"a control number that is too short", "850", "004010", "ST*850*77~BEG~", p, n, "four to nine"},
		{"a control number with a sign", "850", "004010", "ST*850*00-77~BEG~", p, n, "four to nine"},
		{"another set's", "850", "004010", "ST*855*0077~BEG~", p, n, "another set"},
		{"what is no segment", "850", "004010", "SECRET~", p, n, "the document"},
	} {
		if _, err := c.p.Seal(c.set, c.version, []byte(c.document), c.n); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAnAcknowledgmentFindsWhatItIsOf(t *testing.T) {
	t.Parallel()
	register := openRegister(t, t.TempDir())
	meridian := Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", First: 500}
	var log bytes.Buffer // one logger's, and Receive returns before it is read
	r := open(t, Config{Register: register, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	n, err := register.Issue(meridian, "order-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		body []byte
		kind string
	}{
		{"997", sent("004010", "FA", 21, "997*0001~AK1*PO*500~AK2*850*0001~AK5*A~AK9*A*1*1*1~"), "997"},
		{"TA1", []byte("ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*U*00401*000000022*0*P*:~TA1*000000500*260504*1030*A*000~IEA*0*000000022~"), "TA1"},
	} {
		var s store
		if _, err := r.Receive(t.Context(), broker.Delivery{Body: c.body}, s.accept); err != nil || len(s.messages) != 1 || s.messages[0].Kind != c.kind {
			t.Errorf("%s: %v, %d messages", c.name, err, len(s.messages))
		}
	}
	if d, ok := register.Sent(meridian, n.Group); !ok || d != "order-1" {
		t.Errorf("%q", d)
	}
	if text := log.String(); strings.Count(text, "document=order-1") != 2 || strings.Contains(text, "nothing that was sent") {
		t.Errorf("the log says\n%s", text)
	}
	stray := sent("004010", "FA", 23, "997*0001~AK1*PO*501~AK2*850*0001~AK5*A~AK9*A*1*1*1~")
	if _, err := r.Receive(t.Context(), broker.Delivery{Body: stray}, new(store).accept); err != nil || !strings.Contains(log.String(), "nothing that was sent") {
		t.Errorf("an acknowledgment of another's document: %v\n%s", err, log.String())
	}
	if control := groupAnswered(sent("004010", "FA", 21, "997*0001~AK1*PO*500~AK9*A*1*1*1~")); string(control) != "500" {
		t.Errorf("AK1-02 is %q", control)
	}
}

func TestSettingsThatAreWrongAreNamed(t *testing.T) {
	t.Parallel()
	good := Partner{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}
	with := func(change func(*Partner)) Config {
		p := good
		change(&p)
		return Config{Register: &Register{}, Partners: []Partner{p}}
	}
	for want, c := range map[string]Config{
		"partners: nobody":     {Register: &Register{}},
		"split:":               {Register: &Register{}, Split: "line", Partners: []Partner{good}},
		"partners[0].id":       with(func(p *Partner) { p.ID = "MERID" }),
		"partners[0].own":      with(func(p *Partner) { p.Own = "" }),
		"partners[0].name":     with(func(p *Partner) { p.Name = "" }),
		"partners[1].name":     {Register: &Register{}, Partners: []Partner{good, good}},
		"partners[0].ack":      with(func(p *Partner) { p.Ack = "998" }),
		"partners[0].ta1":      with(func(p *Partner) { p.TA1 = "yes" }),
		"partners[0].usage":    with(func(p *Partner) { p.Usage = "X" }),
		"partners[0].tolerate": with(func(p *Partner) { p.Tolerate = []string{"everything"} }),
		"partners[0].first":    with(func(p *Partner) { p.First = maxControl + 1 }),
		"partners[0].code":     with(func(p *Partner) { p.Code = "A*B" }),
		"register":             {Partners: []Partner{good}},
	} {
		if _, err := NewReceiver(broker.Origin{}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
