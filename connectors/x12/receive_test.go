package x12

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// sent makes an interchange whose counts and control numbers are right: a set is its
// segments from what follows "ST*" on, without SE.
func sent(version, function string, control int, sets ...string) []byte {
	repetition, release := "^", "00501"
	if strings.HasPrefix(version, "004010") {
		repetition, release = "U", "00401"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*%s*%s*%09d*0*P*:~\n", repetition, release, control)
	fmt.Fprintf(&b, "GS*%s*MERID*NORTHHOSP*20260505*0830*%d*X*%s~\n", function, control, version)
	for _, s := range sets {
		fmt.Fprintf(&b, "ST*%s\nSE*%d*%s~\n", s, strings.Count(s, "~")+1, strings.SplitN(strings.Trim(s, "~\n"), "*", 3)[1][:4])
	}
	fmt.Fprintf(&b, "GE*%d*%d~IEA*1*%09d~\n", len(sets), control, control)
	return []byte(b.String())
}

// professional is an 837P of two subscribers with these claims.
func professional(first, second string) string {
	return "837*0001*005010X222A1~BHT*0019*00*1*20260505*0830*CH~NM1*41*2*S*****46*S1~PER*IC*P*TE*5550100~NM1*40*2*R*****46*R2~" +
		"HL*1**20*1~NM1*85*2*CLINIC*****XX*1234567893~N3*1 ST~N4*LA*CA*900011234~REF*EI*99~" +
		"HL*2*1*22*0~SBR*P*18*******CI~NM1*IL*1*DOE*JANE****MI*M1~N3*2 ST~N4*LA*CA*900011234~DMG*D8*19800101*F~NM1*PR*2*PAYER*****PI*P1~" + first +
		"HL*3*1*22*0~SBR*P*18*******CI~NM1*IL*1*ROE*JANE****MI*M2~N3*3 ST~N4*LA*CA*900011234~DMG*D8*19810101*F~NM1*PR*2*PAYER*****PI*P1~" + second
}

func claimText(id, amount string) string {
	return "CLM*" + id + "*" + amount + "***11:B:1*Y*A*Y*Y~HI*ABK:J20~LX*1~SV1*HC:99213*" + amount + "*UN*1***1~DTP*472*D8*20260401~"
}

func open(t testing.TB, c Config) *Receiver {
	t.Helper()
	if c.Partners == nil {
		c.Partners = []Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}}
	}
	if c.Register == nil {
		c.Register = openRegister(t, t.TempDir())
	}
	r, err := NewReceiver(broker.Origin{Tenant: "t", Site: "s", Feed: "claims"}, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A store accepts what no test refuses.
type store struct {
	messages []*broker.Message
	calls    int
	refuse   func(*broker.Message) bool
}

func (s *store) accept(_ context.Context, ms ...*broker.Message) error {
	s.calls++
	for _, m := range ms {
		if s.refuse != nil && s.refuse(m) {
			return &broker.RejectError{Code: "mapping.rejected", Err: errors.New("no")}
		}
	}
	s.messages = append(s.messages, ms...)
	return nil
}

// told is what an answer says, without envelopes, one segment after the other.
func told(answer []byte) string {
	var out []string
	for s := range strings.SplitSeq(string(answer), "~") {
		switch id, _, _ := strings.Cut(s, "*"); id {
		case "", "ISA", "GS", "ST", "SE", "GE", "IEA":
		default:
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

func TestEachInterchangeIsAnsweredAsTheStandardHasIt(t *testing.T) {
	t.Parallel()
	two := professional(claimText("A1", "100"), claimText("B1", "200"))
	change := func(body []byte, old, new string) []byte {
		if !bytes.Contains(body, []byte(old)) {
			t.Fatalf("there is no %q", old)
		}
		return bytes.Replace(body, []byte(old), []byte(new), 1)
	}
	good := sent("005010X222A1", "HC", 11, two)
	ack := "AK1*HC*11*005010X222A1 AK2*837*0001*005010X222A1 "
	for _, c := range []struct {
		name              string
		body              []byte
		conf              Config
		accepted, refused int
		told, reason      string
	}{
		{"two claims", good, Config{Split: SplitClaim}, 2, 0, ack + "IK5*A AK9*A*1*1*1", ""},
		{"a set", good, Config{}, 1, 0, ack + "IK5*A AK9*A*1*1*1", ""},
		{"ISA-14 asks for TA1", change(good, "*0*P*", "*1*P*"), Config{}, 1, 0, "TA1*000000011*260505*0830*A*000 " + ack + "IK5*A AK9*A*1*1*1", ""},
		{"one bad claim does not hold the other", sent("005010X222A1", "HC", 11, professional(claimText("A1", "100"), claimText("B1", "1OO"))), Config{Split: SplitClaim}, 1, 1,
			ack + "IK3*CLM*30*2300*8 CTX*CLM01:B1 IK4*2*782*6*1OO IK3*SV1*33*2400*8 CTX*CLM01:B1 IK4*2*782*6*1OO IK5*E*5 AK9*E*1*1*1", ""},
		{"one bad claim holds its set where sets are not split", sent("005010X222A1", "HC", 11, professional(claimText("A1", "100"), claimText("B1", "1OO"))), Config{}, 0, 1,
			ack + "IK3*CLM*30*2300*8 IK4*2*782*6*1OO IK3*SV1*33*2400*8 IK4*2*782*6*1OO IK5*R*5 AK9*R*1*1*0", "segment 30 (CLM-02): IK403 6"},
		{"what is wrong with the provider is wrong with all its claims", change(good, "N3*1 ST~", "N9*1 ST~"), Config{Split: SplitClaim}, 0, 2,
			ack + "IK3*N3*7**3 IK3*N9*8**6 IK5*R*5 AK9*R*1*1*0", "IK304 3"},
		{"what is wrong with a subscriber is wrong with its own claims only", change(good, "NM1*IL*1*ROE*JANE", "NM1*IL**ROE*JANE"), Config{Split: SplitClaim}, 1, 1, "", ""},
		{"an unknown segment", change(good, "HI*ABK:J20~", "ZZZ*1~"), Config{Split: SplitClaim}, 1, 1, ack + "IK3*HI*18*2300*3 CTX*CLM01:A1 IK3*ZZZ*19*2300*1 CTX*CLM01:A1 IK5*E*5 AK9*E*1*1*1", ""},
		{"a count of segments, and what is tolerated", change(good, "SE*35*", "SE*36*"), Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Tolerate: []string{"counts"}}}}, 1, 0, ack + "IK5*E*4 AK9*E*1*1*1", ""},
		{"a count of segments", change(good, "SE*35*", "SE*36*"), Config{}, 0, 1, ack + "IK5*R*4 AK9*R*1*1*0", " 4"},
		{"another number in SE", change(good, "*0001~\nGE", "*0002~\nGE"), Config{}, 0, 1, ack + "IK5*R*3 AK9*R*1*1*0", " 3"},
		{"no SE", change(good, "SE*35*0001~", ""), Config{}, 0, 1, ack + "IK5*R*2 AK9*R*1*1*0", " 2"},
		{"a count of sets", change(good, "GE*1*", "GE*2*"), Config{}, 0, 1, "AK1*HC*11*005010X222A1 AK9*R*2*1*0*5", "group 11: AK905 5"},
		{"another number in GE", change(good, "GE*1*11", "GE*1*12"), Config{}, 0, 1, "AK1*HC*11*005010X222A1 AK9*R*1*1*0*4", "group 11: AK905 4"},
		{"an SE that says nothing", change(good, "SE*35*0001~", "SE~"), Config{}, 0, 1, ack + "IK5*R*4*3 AK9*R*1*1*0", " 4"},
		{"no GE", change(good, "GE*1*11~", ""), Config{}, 0, 1, "AK1*HC*11*005010X222A1 AK9*R*1*1*0*3", "group 11: AK905 3"},
		{"a group that is not taken", good, Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Groups: []string{"HP"}}}}, 0, 1, "AK1*HC*11*005010X222A1 AK9*R*1*1*0*1", ": AK905 1"},
		{"a version that is not taken", good, Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Versions: []string{"004010"}}}}, 0, 1, "AK1*HC*11*005010X222A1 AK9*R*1*1*0*2", ": AK905 2"},
		{"a count of groups", change(good, "IEA*1*", "IEA*2*"), Config{}, 0, 1, "TA1*000000011*260505*0830*R*021", "TA105 021"},
		{"a count of groups that is tolerated", change(good, "IEA*1*", "IEA*2*"), Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Tolerate: []string{"counts"}}}}, 1, 0,
			"TA1*000000011*260505*0830*E*021 " + ack + "IK5*A AK9*A*1*1*1", ""},
		{"another number in IEA", change(good, "IEA*1*000000011", "IEA*1*000000012"), Config{}, 0, 1, "TA1*000000011*260505*0830*R*001", "TA105 001"},
		{"no IEA", change(good, "IEA*1*000000011~", ""), Config{}, 0, 1, "TA1*000000011*260505*0830*R*023", "TA105 023"},
		{"a segment between groups", change(good, "IEA*", "N1*X~IEA*"), Config{}, 0, 1, "TA1*000000011*260505*0830*R*022", "TA105 022"},
		{"a test where there is production", change(good, "*0*P*", "*0*T*"), Config{}, 0, 1, "TA1*000000011*260505*0830*R*020", "TA105 020"},
		{"a stranger", change(good, "MERID          *ZZ", "STRANGER       *ZZ"), Config{}, 0, 1, "TA1*000000011*260505*0830*R*006", "TA105 006, its sender (ISA-05, ISA-06) is not known: add it to partners"},
		{"for somebody else", change(good, "NORTHHOSP      ", "SOUTHHOSP      "), Config{}, 0, 1, "TA1*000000011*260505*0830*R*009", "TA105 009"},
		{"a day that is none", change(good, "*260505*0830*^", "*261305*0830*^"), Config{}, 0, 1, "TA1*000000011*261305*0830*R*014", "TA105 014"},
		{"an empty interchange", []byte("ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*^*00501*000000011*0*P*:~IEA*0*000000011~"), Config{}, 0, 1, "TA1*000000011*260505*0830*R*024", "TA105 024"},
		{"two sets of one number", sent("005010X222A1", "HC", 11, two, two), Config{}, 1, 1, ack + "IK5*A AK2*837*0001*005010X222A1 IK5*R*23 AK9*P*2*2*1", ""},
		{"an order among the claims", change(good, "ST*837*0001*005010X222A1", "ST*850*0001"), Config{}, 0, 1, "AK1*HC*11*005010X222A1 AK2*850*0001 IK5*R*18 AK9*R*1*1*0", " 18"},
		{"claims in a group of what has sets of its own", change(good, "GS*HC*", "GS*HP*"), Config{}, 0, 1, "AK1*HP*11*005010X222A1 AK2*837*0001*005010X222A1 IK5*R*18 AK9*R*1*1*0", " 18"},
		{"a purchase order is acknowledged by 997", sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~"), Config{}, 1, 0, "AK1*PO*7 AK2*850*0001 AK5*A AK9*A*1*1*1", ""},
		{"its faults in the words of 997", sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20261304~CTT*1~"), Config{}, 0, 1, "AK1*PO*7 AK2*850*0001 AK3*PO1*1**3 AK3*BEG*2**8 AK4*5*373*8*20261304 AK5*R*5 AK9*R*1*1*0", " I7"},
		{"997 where it was agreed on", good, Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Ack: Ack997}}}, 1, 0, "AK1*HC*11*005010X222A1 AK2*837*0001*005010X222A1 AK5*A AK9*A*1*1*1", ""},
		{"no acknowledgment where it was agreed on", good, Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Ack: AckNone}}}, 1, 0, "", ""},
		{"an acknowledgment is not acknowledged", sent("005010X231A1", "FA", 12, "999*0001*005010X231A1~AK1*HC*1*005010X222A1~AK2*837*0001~IK5*A~AK9*A*1*1*1~"), Config{}, 1, 0, "", ""},
		{"not even when it is bad", sent("005010X231A1", "FA", 12, "999*0001*005010X231A1~AK1*HC*1*005010X222A1~AK2*837*0001~IK5*~AK9*A*1*1*1~"), Config{}, 0, 1, "TA1*000000012*260505*0830*E*024", " 1"},
		{"a TA1", []byte("ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*^*00501*000000011*0*P*:~TA1*000000001*260505*0830*A*000~IEA*0*000000011~"), Config{}, 1, 0, "", ""},
		{"grade of service", change(good, "GS*", "ISB*1~ISE*260601*0515*04~GS*"), Config{}, 1, 0, ack + "IK5*A AK9*A*1*1*1", ""},
		{"an unbalanced remittance", sent("005010X221A1", "HP", 3, remittance("90", "100")), Config{}, 0, 1, "AK1*HP*3*005010X221A1 AK2*835*0001 IK3*BPR*2**8 IK4*2*782*I12*80 IK3*CLP*12*2100*8 IK4*4*782*I12*90 IK5*R*I5 AK9*R*1*1*0", " I12"},
		{"a balanced remittance", sent("005010X221A1", "HP", 3, remittance("80", "100")), Config{Split: SplitClaim}, 1, 0, "AK1*HP*3*005010X221A1 AK2*835*0001 IK5*A AK9*A*1*1*1", ""},
		{"binary data", sent("005010", "PI", 3, "275*0001~BIN*5*a~*\nb~"), Config{}, 0, 1, "", "IK502 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var s store
			receipt, err := open(t, c.conf).Receive(t.Context(), broker.Delivery{Body: c.body, At: time.Now().UTC()}, s.accept)
			if receipt.Accepted != c.accepted || receipt.Refused != c.refused || len(s.messages) != c.accepted {
				t.Errorf("%d accepted, %d refused, %d messages: %v", receipt.Accepted, receipt.Refused, len(s.messages), err)
			}
			if got := told(receipt.Answer); c.told != "" && got != c.told || c.told == "" && c.accepted > 0 && c.refused == 0 && got != "" {
				t.Errorf("the answer is\n%s, not\n%s", got, c.told)
			}
			var reject *broker.RejectError
			if c.accepted == 0 && (!errors.As(err, &reject) || !strings.Contains(err.Error(), c.reason)) || c.accepted > 0 && err != nil {
				t.Errorf("the error is %v", err)
			}
			wellFormed(t, receipt.Answer)
			for i, m := range s.messages {
				if len(s.messages) > 1 && (m.Group.ID == "" || m.Group.Index != i || m.Group.Count != len(s.messages)) {
					t.Errorf("message %d is in group %+v", i, m.Group)
				}
				decodes(t, m)
			}
		})
	}
}

// remittance is an 835 of one claim of 100 with an adjustment of 20.
func remittance(paid, charged string) string {
	return "835*0001~BPR*I*80*C*CHK************20260416~TRN*1*77*1999999999~DTM*405*20260415~N1*PR*PAYER~N3*1 ST~N4*LA*CA*900011234~PER*BL*X*TE*5550100~N1*PE*CLINIC*XX*1234567893~LX*1~" +
		"TS3*1*11*20261231*1*100~CLP*A1*1*" + charged + "*" + paid + "**12*1~CAS*CO*45*20~NM1*QC*1*DOE*JANE****MI*M1~"
}

// wellFormed says whether an answer is one that we would accept ourselves.
func wellFormed(t testing.TB, answer []byte) {
	t.Helper()
	if len(answer) == 0 {
		return
	}
	envs, err := scanEnvelopes(answer)
	if err != nil {
		t.Fatalf("the answer can not be read: %v", err)
	}
	for i := range envs {
		e := &envs[i]
		e.checkISA()
		faults := e.faults
		for k := range e.groups {
			faults = append(faults, e.groups[k].faults...)
			for s := range e.groups[k].sets {
				set := &e.groups[k].sets[s]
				faults = append(faults, set.faults...)
				version := string(e.groups[k].gs.element(8))
				faults = append(faults, checkSet(answer, &e.isa, set, guideFor(string(set.st.element(1)), string(set.st.element(3)), version), version)...)
			}
		}
		for _, f := range faults {
			if f.class == hierarchical {
				continue // a claim that was taken out of its file keeps the numbers that it has there
			}
			t.Errorf("the answer is at fault: %s in\n%s", f.String(), answer)
		}
	}
}

// decodes says whether a message is one that a mapping can read alone.
func decodes(t testing.TB, m *broker.Message) {
	t.Helper()
	version := "005010"
	if strings.HasPrefix(m.Kind, "8") && len(m.Kind) == 4 {
		version = map[string]string{"837P": "005010X222A1", "837I": "005010X223A2", "837D": "005010X224A2"}[m.Kind]
	}
	if m.Kind == "850" {
		version = "004010"
	}
	parts, err := dialectOf(t, version).Split(m.Body)
	if err != nil || len(parts) != 1 {
		t.Fatalf("%s has %d parts: %v", m.Kind, len(parts), err)
	}
	if _, err := dialectOf(t, version).Decode(m.Body, nil); err != nil {
		t.Fatalf("%s: %v", m.Kind, err)
	}
}

func TestAClaimCarriesItsProviderAndItsSubscriber(t *testing.T) {
	t.Parallel()
	var s store
	body := sent("005010X222A1", "HC", 11, professional(claimText("A1", "100")+claimText("A2", "50"), claimText("B1", "200")))
	if _, err := open(t, Config{Split: SplitClaim}).Receive(t.Context(), broker.Delivery{Body: body}, s.accept); err != nil {
		t.Fatal(err)
	}
	if s.calls != 1 || len(s.messages) != 3 {
		t.Fatalf("%d messages in %d steps", len(s.messages), s.calls)
	}
	for i, want := range []struct{ sender, claim, subscriber string }{{"000000011/11/0001/1", "A1", "M1"}, {"000000011/11/0001/2", "A2", "M1"}, {"000000011/11/0001/3", "B1", "M2"}} {
		m := s.messages[i]
		d, err := dialectOf(t, "005010X222A1").Decode(m.Body, nil)
		if err != nil {
			t.Fatal(err)
		}
		claims := at(d.Root, "2000A.2000B").Kids
		n := 0
		for _, k := range claims {
			if k.Name == "2300" {
				n++
			}
		}
		if m.Kind != "837P" || m.SenderID != want.sender || n != 1 || textAt(d.Root, "2000A.2000B.2300.CLM.01") != want.claim ||
			textAt(d.Root, "2000A.2000B.2010BA.NM1.09") != want.subscriber || textAt(d.Root, "2000A.2010AA.NM1.09") != "1234567893" || textAt(d.Root, "1000A.NM1.09") != "S1" {
			t.Errorf("message %d is %s %s: %s", i, m.Kind, m.SenderID, outline(d.Root))
		}
		wellFormed(t, m.Body)
	}
	if bytes.Contains([]byte(s.messages[0].SenderID+s.messages[0].Group.ID), []byte("A1")) {
		t.Error("the claim's number is in an id")
	}
}

func TestAnInterchangeThatComesAgainIsAcceptedOnceAndAnsweredAlike(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	body := sent("005010X222A1", "HC", 11, professional(claimText("A1", "100"), claimText("B1", "1OO")))
	other := sent("005010X222A1", "HC", 11, professional(claimText("A1", "100"), claimText("C1", "10")))
	var s store
	receive := func(c Config, body []byte) (broker.Receipt, error) {
		t.Helper()
		c.Register, c.Split = openRegister(t, dir), SplitClaim
		defer c.Register.Close()
		return open(t, c).Receive(t.Context(), broker.Delivery{Body: body}, s.accept)
	}
	first, err := receive(Config{}, body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := receive(Config{}, body) // the process was started again
	if err != nil || !bytes.Equal(first.Answer, again.Answer) || again.Accepted != first.Accepted || again.Refused != first.Refused {
		t.Errorf("the second time: %+v, %v\n%s\n%s", again, err, first.Answer, again.Answer)
	}
	if s.messages[0].ID != s.messages[1].ID {
		t.Error("the same claim has another id")
	}
	got, err := receive(Config{}, other)
	if err == nil || told(got.Answer) != "TA1*000000011*260505*0830*R*025" || len(s.messages) != 2 ||
		err.Error() != "x12.refused: interchange 000000011: TA105 025, its control number (ISA-13) came before with other content: its sender gives it a number of its own, or `duplicates: warn` of the partner takes it" {
		t.Errorf("other content under the same number: %s, %v", told(got.Answer), err)
	}
	got, err = receive(Config{Partners: []Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Duplicates: DuplicatesWarn}}}, other)
	if err != nil || !strings.HasPrefix(told(got.Answer), "TA1*000000011*260505*0830*E*025 AK1") || got.Accepted != 2 {
		t.Errorf("where that is a warning: %s, %v", told(got.Answer), err)
	}
	got, err = open(t, Config{Split: SplitClaim}).Receive(t.Context(), broker.Delivery{Body: append(bytes.Clone(body), other...)}, s.accept)
	if err != nil || !strings.Contains(told(got.Answer), "025") {
		t.Errorf("two of one number in one file: %s, %v", told(got.Answer), err)
	}
}

func TestWhatWasRefusedMayComeAgainCorrected(t *testing.T) {
	t.Parallel()
	r := open(t, Config{})
	var s store
	good := sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~")
	bad := bytes.Replace(good, []byte("IEA*1"), []byte("IEA*3"), 1)
	if _, err := r.Receive(t.Context(), broker.Delivery{Body: bad}, s.accept); err == nil {
		t.Fatal("a wrong count is accepted")
	}
	if got, err := r.Receive(t.Context(), broker.Delivery{Body: good}, s.accept); err != nil || got.Accepted != 1 {
		t.Errorf("corrected: %+v, %v", got, err)
	}
}

func TestControlNumbersOfAnswersHaveNoGapAndNoRepeat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := 1; i <= 6; i++ {
		register := openRegister(t, dir)
		r := open(t, Config{Register: register, Partners: []Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", First: 40}}})
		body := sent("004010", "PO", i, "850*0001~BEG*00*SA*P"+strconv.Itoa(i)+"**20260504~PO1*1*20*EA*1~CTT*1~")
		fail := i%2 == 0
		for {
			receipt, err := r.Receive(t.Context(), broker.Delivery{Body: body}, func(context.Context, ...*broker.Message) error {
				if fail {
					return broker.ErrFull
				}
				return nil
			})
			if fail {
				if !errors.Is(err, broker.ErrFull) || receipt.Answer != nil {
					t.Fatalf("a full journal answers %s, %v", receipt.Answer, err)
				}
				fail = false
				continue
			}
			envs, err := scanEnvelopes(receipt.Answer)
			if err != nil {
				t.Fatal(err)
			}
			if got, gs := string(envs[0].isa.element(13)), string(envs[0].groups[0].gs.element(6)); got != fmt.Sprintf("%09d", 39+i) || gs != strconv.Itoa(39+i) {
				t.Errorf("answer %d has the numbers %s and %s", i, got, gs)
			}
			break
		}
		_ = register.Close()
	}
}

func TestAMessageThatItsMappingRejectsDoesNotHoldTheOthers(t *testing.T) {
	t.Parallel()
	s := store{refuse: func(m *broker.Message) bool { return bytes.Contains(m.Body, []byte("CLM*B1*")) }}
	body := sent("005010X222A1", "HC", 11, professional(claimText("A1", "100"), claimText("B1", "200")))
	got, err := open(t, Config{Split: SplitClaim}).Receive(t.Context(), broker.Delivery{Body: body}, s.accept)
	if err != nil || got.Accepted != 1 || got.Refused != 1 || told(got.Answer) != "AK1*HC*11*005010X222A1 AK2*837*0001*005010X222A1 IK5*E*I5 AK9*E*1*1*1" {
		t.Errorf("%+v, %v: %s", got, err, told(got.Answer))
	}
}

func TestLinesThatWereWrappedAreTakenWhereThatIsTolerated(t *testing.T) {
	t.Parallel()
	plain := bytes.ReplaceAll(sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~"), []byte("\n"), nil)
	var wrapped []byte
	for i, c := range plain {
		if wrapped = append(wrapped, c); i%40 == 39 {
			wrapped = append(wrapped, "\r\n"...)
		}
	}
	var s store
	if got, err := open(t, Config{}).Receive(t.Context(), broker.Delivery{Body: wrapped}, s.accept); err == nil || got.Accepted != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	c := Config{Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Tolerate: []string{"line_breaks"}}}}
	got, err := open(t, c).Receive(t.Context(), broker.Delivery{Body: wrapped}, s.accept)
	if err != nil || got.Accepted != 1 {
		// An ISA that is cut in two still names its sender.
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNothingThatWasSentReachesAnError(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"SECRET", isa + "~SECRET~IEA*1*000000011~", isa + "~GS*SECRET~SECRET*SECRET~", string(sent("005010X222A1", "HC", 11, professional("SECRET*SECRET~CLM*SECRET~HI*SECRET~", claimText("SECRET", "SECRET"))))} {
		_, err := open(t, Config{Split: SplitClaim}).Receive(t.Context(), broker.Delivery{Body: broker.PHI(body)}, new(store).accept)
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the error is %v", err)
		}
	}
}
