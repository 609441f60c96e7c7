package x12

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// verdictOf receives one interchange and returns what is told of it.
func verdictOf(t *testing.T, c Config, body []byte) (string, *store) {
	t.Helper()
	var s store
	receipt, _ := open(t, c).Receive(t.Context(), broker.Delivery{Body: body, At: time.Now().UTC()}, s.accept)
	wellFormed(t, receipt.Answer)
	return told(receipt.Answer), &s
}

func TestASetIsComparedWithItsGuide(t *testing.T) {
	t.Parallel()
	order := func(segments string) []byte {
		return sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~"+segments+"PO1*1*20*EA*1~CTT*1~")
	}
	claimOf := func(segments string) []byte {
		return sent("005010X222A1", "HC", 11, professional("", strings.Replace(claimText("A1", "100"), "LX*1~", segments+"LX*1~", 1)))
	}
	for _, c := range []struct {
		name, want string
		body       []byte
	}{
		{"as often as the guide lets it", "AK5*A", order(strings.Repeat("PER*BD~", 3))},
		{"more often", "AK3*PER*6**5 AK5*R*5", order(strings.Repeat("PER*BD~", 4))},
		{"a loop more often", "AK3*SAC*28**4 AK5*R*5", order(strings.Repeat("SAC*C*D240~", 26))},
		{"a segment of X12, but of no order", "AK3*CLM*3**6 AK5*R*5", order("CLM*1~")},
		{"a segment of the order, in a wrong place", "AK3*CUR*4**7", order("REF*PO*1~CUR*BY*USD~")},
		{"a segment that no X12 has", "AK3*QQQ*3**1", order("QQQ*1~")},
		{"what is no segment", "AK3*??? 3**1", order("*1~")},
		{"what begins no loop here", "IK3*NM1*27*2300*8 CTX*CLM01:A1 IK4*1*98*I6", claimOf("NM1*ZZ*1*DOC~")},
		{"a qualifier that the guide does not have", "IK3*REF*27*2300*8 CTX*CLM01:A1 IK4*1*128*I6", claimOf("REF*ZZ*1~")},
		{"a letter in a number", "AK3*CUR*3**8 AK4*3*280*6", order("CUR*BY*USD*1A~")},
		{"two points in a number", "AK3*CUR*3**8 AK4*3*280*6", order("CUR*BY*USD*1.0.1~")},
		{"a number of ten digits, a sign and a point", "AK5*A", order("CUR*BY*USD*-12345.67890~")},
		{"a number of eleven digits", "AK4*3*280*5", order("CUR*BY*USD*12345.678901~")},
		{"a code that is too long", "AK4*2*100*5", order("CUR*BY*USDX~")},
		{"letters of two bytes are one each", "AK5*A", order("N1*ST*" + strings.Repeat("Ü", 60) + "~")},
		{"one letter more", "AK4*2*93*5", order("N1*ST*" + strings.Repeat("Ü", 61) + "~")},
		{"a control character", "AK4*2*93*6", order("N1*ST*A\x07B~")},
		{"a day in February", "AK5*A", order("DTM*002*20280229~")},
		{"a day that no February has", "AK3*DTM*3**8 AK4*2*373*8", order("DTM*002*20270229~")},
		{"a time", "AK5*A", order("DTM*002*20280229*2359~")},
		{"a time that is none", "AK4*3*337*9", order("DTM*002*20280229*2460~")},
		{"too many elements", "AK3*CUR*3**8 AK4*22**3", order("CUR*BY*USD" + strings.Repeat("*", 20) + "X~")},
		{"too many components", "IK4*1:10**13", claimOf("HI*ABF:1:::::::::9~")},
		{"a component that is missing", "IK4*1:2*1271*1", claimOf("HI*ABF~")},
		{"a component that is too long", "IK4*1:1*1270*5", claimOf("HI*ABFX:1~")},
		{"one of two that need each other", "AK3*N1*3**8 AK4*4*67*2 AK5", order("N1*ST*NAME*92~")},
		{"none of two of which one is needed", "AK3*REF*3**8 AK4*2*127*2 AK5", order("REF*PO~")},
		{"one without what it needs", "AK3*DTM*3**8 AK4*3*337*2 AK5", order("DTM*002*20280229**LT~")},
		{"one of three that need one of two others", "IK3*CAS*28*2320*8 CTX*CLM01:A1 IK4*6*782*2 IK5", claimOf("SBR*S*18*******CI~CAS*CO*45*1**97~")},
		{"components that need each other", "IK4*1:4*1251*2 IK5", claimOf("HI*BH:11:D8~")},
		{"components that exclude each other, of 005010", "IK4*1:9*1073*10*Y", claimOf("HI*BF:1::::::1:Y~")},
		{"a code that is too short", "AK4*2*100*4*U", order("CUR*BY*U~")},
		{"a date of six digits", "AK4*2*373*8*280229 AK5", order("DTM*002*280229~")},
		{"what the guide requires and X12 does not", "IK4*9*1363*1 IK5", claimOf("CLM*C*1***11:B:1*Y*A*Y~")},
		{"a code that is none of the guide's", "IK4*5:2*1332*I6*A IK4*7*1359*I6*Q IK5", claimOf("CLM*C*1***11:A:1*Y*Q*Y*Y~")},
		{"a code that is too long is said to be that alone", "IK4*7*1359*5*AB IK5", claimOf("CLM*C*1***11:B:1*Y*AB*Y*Y~")},
		{"what is wrong is copied for its sender", "AK4*2*373*8*20270229", order("DTM*002*20270229~")},
		{"no copy of what can not stand in an answer", "AK4*2*93*6 AK5", order("N1*ST*A\x07B~")},
		{"no copy of more than 99 characters", "AK4*2*93*5 AK5", order("N1*ST*" + strings.Repeat("A", 100) + "~")},
		{"a repetition of what does not repeat", "IK4*2*127*12", claimOf("REF*EA*1^2~")},
	} {
		got, _ := verdictOf(t, Config{Split: SplitClaim}, c.body)
		if !strings.Contains(got, strings.Replace(c.want, "??? ", "???*", 1)) {
			t.Errorf("%s: %s, and no %s", c.name, got, c.want)
		}
	}
}

// TestWithoutAGuideTheElementsAreCompared: of whatever names a release
// that is known; a set of another release is not compared.
func TestWithoutAGuideTheElementsAreCompared(t *testing.T) {
	t.Parallel()
	set := "837*0001~BHT*0019*00*1*20260505*0830*CH~NM1*41*2*S*****46~HL*1**20*1~CLM*A1*1OO***11:B:1~CLM*B1*5***11:B:1~HI*ABF:1::::::9:Y~"
	for version, want := range map[string]string{
		"004010X999": "AK3*NM1*3**8 AK4*9*67*2 AK3*CLM*5**8 AK4*2*782*6*1OO AK5*R*5",
		"005010X999": "IK3*NM1*3**8 IK4*9*67*2 IK3*CLM*5**8 CTX*CLM01:A1 IK4*2*782*6*1OO IK3*HI*7**8 CTX*CLM01:B1 IK4*1:9*1073*10*Y IK5*R*5",
		"003040":     "AK5*A",
	} {
		got, _ := verdictOf(t, Config{Split: SplitClaim}, sent(version, "HC", 11, set))
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, and no %s", version, got, want)
		}
	}
}

// Its payer stands in 2010BC, where 005010 has none.
func TestClaimsOf004010HaveTheLoopsOfTheirGuide(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("../../mappings/billing/in/837i-4010.edi")
	if err != nil {
		t.Fatal(err)
	}
	got, s := verdictOf(t, anyone(), body)
	if got != "AK1*HC*905 AK2*837*0001 AK5*A AK9*A*1*1*1" || len(s.messages) != 2 || s.messages[0].Kind != "837I" {
		t.Fatalf("%d messages: %s", len(s.messages), got)
	}
	m, err := dialectOf(t, "004010X096A1").Decode(s.messages[1].Body, nil)
	if err != nil || !strings.Contains(outline(m.Root), "2010BC{ NM1*PR }") || !strings.Contains(outline(m.Root), "2000C{ HL*4") {
		t.Errorf("%v: %s", err, outline(m.Root))
	}
	for _, c := range []struct{ what, old, new, want string }{
		{"without a payer", "NM1*PR*2*BLUE CROSS OF CALIFORNIA*****PI*BCCA~", "", "AK3*NM1*12**3 AK5*R*4*5"},
		{"a subscriber who is not the patient, and no patient", "SBR*P*18*", "SBR*P**", "AK3*HL*12**3 AK5*E*5"},
		{"without CLM-18", "*********N~", "~", "AK3*CLM*19*2300*8 AK4*18*1073*1 AK5*E*5"},
		{"a month that is none", "RD8*202604", "RD8*202613", "AK3*DTP*20*2300*8 AK4*3*1251*8*20261301-20260402 AK5*E*5"},
	} {
		if got, _ := verdictOf(t, anyone(), []byte(strings.Replace(string(body), c.old, c.new, 1))); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.what, got)
		}
	}
}

func TestNotesSayWhichPartsNeedWhich(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		note string
		have []int
		want string
	}{
		{"P0304", nil, ""}, {"P0304", []int{3, 4}, ""}, {"P0304", []int{4}, "2 at 3"}, {"P020304", []int{2, 4}, "2 at 3"},
		{"R0203", []int{3}, ""}, {"R0203", []int{1}, "2 at 2"},
		{"E0207", []int{7}, ""}, {"E0207", []int{2, 7}, "10 at 7"},
		{"C0706", []int{6}, ""}, {"C0706", []int{7}, "2 at 6"}, {"C010203", []int{1, 2}, "2 at 3"},
		{"L050607", []int{6}, ""}, {"L050607", []int{5, 7}, ""}, {"L050607", []int{5}, "2 at 6"},
	} {
		notes, err := readConditions(c.note, release5010)
		if err != nil {
			t.Fatal(err)
		}
		have, got := uint64(0), ""
		for _, n := range c.have {
			have |= 1 << n
		}
		if n, code := notes[0].broken(have); n > 0 {
			got = fmt.Sprintf("%s at %d", code, n)
		}
		if got != c.want {
			t.Errorf("%s of %v: %q, not %q", c.note, c.have, got, c.want)
		}
	}
	if older, err := readConditions("5010:E0207 C0605", release4010); err != nil || len(older) != 1 {
		t.Errorf("of 004010: %v, %v", older, err)
	}
	for _, bad := range []string{"P03", "X0304", "P0300", "P030", "P03A4"} {
		if _, err := readConditions(bad, release5010); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestADependentDoesNotReachTheNextSubscriber(t *testing.T) {
	t.Parallel()
	dependent := "PAT*19~NM1*QC*1*DOE*TED~N3*1 ST~N4*LA*CA*900011234~DMG*D8*20150101*M~" + claimText("D1", "10")
	_, s := verdictOf(t, Config{Split: SplitClaim}, sent("005010X222A1", "HC", 11, strings.NewReplacer("HL*2*1*22*0", "HL*2*1*22*1", "HL*3*1*22*0", "HL*5*1*22*0").
		Replace(professional("HL*3*2*23*0~"+dependent+"HL*4*2*23*0~"+dependent, claimText("B1", "20")))))
	if len(s.messages) != 3 {
		t.Fatalf("%d messages", len(s.messages))
	}
	for i, want := range []bool{true, true, false} {
		if got := strings.Count(string([]byte(s.messages[i].Body)), "NM1*QC*"); (got == 1) != want {
			t.Errorf("claim %d has %d patients", i, got)
		}
	}
}

// The subscriber of a dependent need not have a claim of his own.
func TestADependentsClaimIsTakenOfEachGuide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ version, claim string }{
		{"005010X222A1", claimText("D1", "10")},
		{"005010X223A2", "CLM*D1*10***11:A:1**A*Y*Y~DTP*434*RD8*20260401-20260402~CL1*1*1*01~HI*ABK:J20~LX*1~SV2*0300*HC:80053*10*UN*1~DTP*472*D8*20260402~"},
		{"005010X224A2", "CLM*D1*10***11:B:1*Y*A*Y*Y~DTP*472*D8*20260402~LX*1~SV3*AD:D0120*10~"},
	} {
		set := strings.NewReplacer("005010X222A1", c.version, "HL*2*1*22*0~SBR*P*18*", "HL*2*1*22*1~SBR*P**", "CLAIM~", "HL*3*2*23*0~PAT*19~NM1*QC*1*DOE*TED~N3*1 ST~N4*LA*CA*900011234~DMG*D8*20150101*M~"+c.claim).
			Replace(professional("CLAIM~", ""))
		set, _, _ = strings.Cut(set, "HL*3*1*22*0~")
		if got, s := verdictOf(t, Config{Split: SplitClaim}, sent(c.version, "HC", 11, set)); len(s.messages) != 1 || !strings.Contains(got, "IK5*A") {
			t.Errorf("%s: %d messages: %s", c.version, len(s.messages), got)
		}
	}
}

func TestTheLastSegmentOfAClaimIsTheClaims(t *testing.T) {
	t.Parallel()
	bad := strings.Replace(claimText("A1", "100"), "DTP*472*D8*", "DTP*472**", 1)
	_, s := verdictOf(t, Config{Split: SplitClaim}, sent("005010X222A1", "HC", 11, professional(bad, claimText("B1", "20"))))
	if len(s.messages) != 1 || !strings.Contains(string([]byte(s.messages[0].Body)), "CLM*B1*") {
		t.Errorf("%d messages", len(s.messages))
	}
}

func TestWithTooManyFaultsNothingOfASetIsAccepted(t *testing.T) {
	t.Parallel()
	got, s := verdictOf(t, Config{Split: SplitClaim}, sent("005010X222A1", "HC", 11, professional(claimText("A1", "100")+strings.Repeat("QQQ*1~", maxFaults+1), claimText("B1", "20"))))
	if len(s.messages) != 0 || strings.Count(got, "IK3*") != maxTold {
		t.Errorf("%d messages, %d places", len(s.messages), strings.Count(got, "IK3*"))
	}
}

func TestOnePartnerForAll(t *testing.T) {
	t.Parallel()
	c := Config{Partners: []Partner{{Name: "named", ID: "ZZ:OTHER", Own: "ZZ:NORTHHOSP", Versions: []string{"009999"}}, {Name: "all", ID: Anyone}}}
	body := sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~")
	if got, s := verdictOf(t, c, body); len(s.messages) != 1 || !strings.Contains(got, "AK9*A") {
		t.Errorf("%s", got)
	}
	if got, s := verdictOf(t, c, []byte(strings.Replace(string(body), "MERID          *ZZ", "OTHER          *ZZ", 1))); len(s.messages) != 0 || !strings.Contains(got, "AK9*R*1*1*0*2") {
		t.Errorf("whom a partner is written for: %s", got)
	}
}

func TestTwoGroupsOfOneNumber(t *testing.T) {
	t.Parallel()
	one := string(sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~"))
	i, j := strings.Index(one, "GS*"), strings.Index(one, "IEA*")
	two := one[:j] + one[i:j] + strings.Replace(one[j:], "IEA*1", "IEA*2", 1)
	if got, s := verdictOf(t, Config{}, []byte(two)); len(s.messages) != 1 || !strings.HasSuffix(got, "AK9*R*1*1*0*6") {
		t.Errorf("%d messages: %s", len(s.messages), got)
	}
}

func TestEverySumOfARemittanceIsCompared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, segments, want string }{
		{"all six adjustments of a segment", "BPR*I*79*C*CHK~CLP*A*1*100*79**12~CAS*CO*1*1**2*2**3*3**4*4**5*5**6*6~", ""},
		{"all six adjustments of the provider", "BPR*I*79*C*CHK~CLP*A*1*100*100**12~PLB*1*20261231*WO:1*1*WO:2*2*WO:3*3*WO:4*4*WO:5*5*WO:6*6~", ""},
		{"services", "BPR*I*79*C*CHK~CLP*A*1*100*79**12~SVC*HC:1*60*50~CAS*CO*1*10~SVC*HC:2*40*29~CAS*CO*1*11~", ""},
		{"a service", "BPR*I*79*C*CHK~CLP*A*1*100*79**12~SVC*HC:1*60*51~CAS*CO*1*10~SVC*HC:2*40*29~CAS*CO*1*11~", "4 SVC-03"},
		{"a claim", "BPR*I*79*C*CHK~CLP*A*1*100*79**12~SVC*HC:1*60*50~CAS*CO*1*10~SVC*HC:2*40*30~CAS*CO*1*10~", "3 CLP-04"},
		{"cents that no binary fraction has", "BPR*I*.3*C*CHK~CLP*A*1*.1*0.10**12~CLP*B*1*.2*.2**12~", ""},
		{"a reversal", "BPR*I*-50*C*CHK~CLP*A*22*-100*-50**12~CAS*CO*1*-50~", ""},
		{"the whole", "BPR*I*51*C*CHK~CLP*A*1*100*50**12~CAS*CO*1*50~", "2 BPR-02"},
	} {
		body := sent("005010X221A1", "HP", 3, "835*0001~"+c.segments)
		envs, err := scanEnvelopes(body)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range checkBalance(body, &envs[0].isa, &envs[0].groups[0].sets[0]) {
			got = append(got, fmt.Sprintf("%d %s-%02d", f.segment, f.id, f.element))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, not %q", c.name, s, c.want)
		}
	}
}

func TestManyDeliveriesAtOnceHaveEachTheirNumber(t *testing.T) {
	t.Parallel()
	r := open(t, Config{})
	var wait sync.WaitGroup
	answers := make([]string, 24)
	for i := range answers {
		wait.Go(func() { // each comes twice
			body := sent("004010", "PO", i/2+1, "850*0001~BEG*00*SA*P"+strconv.Itoa(i/2)+"**20260504~PO1*1*20*EA*1~CTT*1~")
			receipt, err := r.Receive(context.Background(), broker.Delivery{Body: body}, func(context.Context, ...*broker.Message) error { return nil })
			if err != nil {
				t.Error(err)
			}
			answers[i] = string([]byte(receipt.Answer))
		})
	}
	wait.Wait()
	seen := map[string]bool{}
	for i := 0; i < len(answers); i += 2 {
		if answers[i] != answers[i+1] {
			t.Errorf("the same interchange is answered\n%s and\n%s", answers[i], answers[i+1])
		}
		control := answers[i][strings.Index(answers[i], "IEA*"):]
		if seen[control] {
			t.Errorf("%s twice", control)
		}
		seen[control] = true
	}
}

func TestClaimsThatShareTooMuchStayTogether(t *testing.T) {
	t.Parallel()
	c := Config{Split: SplitClaim, Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Tolerate: []string{"elements"}}}}
	for size, want := range map[int]int{10: 24, 1 << 20: 1} {
		shared := strings.Replace(professional(strings.Repeat(claimText("A1", "100"), 24), ""), "N3*1 ST", "N3*"+strings.Repeat("X", size), 1)
		if _, s := verdictOf(t, c, sent("005010X222A1", "HC", 11, shared)); len(s.messages) != want {
			t.Errorf("of %d bytes that are shared: %d messages, not %d", size, len(s.messages), want)
		}
	}
}

func TestTheSameInterchangeTwiceInOneFile(t *testing.T) {
	t.Parallel()
	one := sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~")
	got, s := verdictOf(t, Config{}, append(one[:len(one):len(one)], one...))
	if len(s.messages) != 2 || s.messages[0].ID != s.messages[1].ID || strings.Count(got, "AK9*A") != 2 {
		t.Errorf("%d messages: %s", len(s.messages), got)
	}
}

func TestFeedsOfOnePartnerCountTogether(t *testing.T) {
	t.Parallel()
	register := openRegister(t, t.TempDir())
	claims, orders := open(t, Config{Register: register}), open(t, Config{Register: register})
	orders.origin.Feed = "orders"
	body := sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~")
	for i, r := range []*Receiver{claims, orders, claims, orders} { // each knows the interchange again by itself
		receipt, err := r.Receive(t.Context(), broker.Delivery{Body: body}, new(store).accept)
		if want := fmt.Sprintf("IEA*1*%09d~", i%2+1); err != nil || !strings.HasSuffix(string([]byte(receipt.Answer)), want) {
			t.Errorf("answer %d, %v: %s, and no %s", i, err, []byte(receipt.Answer), want)
		}
	}
}

func TestAnAnswerIsNamedForTheMostThatItHolds(t *testing.T) {
	t.Parallel()
	order, claims := sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~"), sent("005010X222A1", "HC", 8, professional(claimText("A1", "100"), ""))
	stranger := []byte(strings.Replace(string(order), "MERID          *ZZ", "STRANGER       *ZZ", 1))
	for _, c := range []struct {
		files [][]byte
		ext   string
	}{
		{[][]byte{stranger}, "ta1"}, {[][]byte{stranger, order}, "997"}, {[][]byte{order, stranger}, "997"}, {[][]byte{order, claims, stranger}, "999"}, {[][]byte{claims, order}, "999"},
	} {
		receipt, _ := open(t, Config{}).Receive(t.Context(), broker.Delivery{Body: bytes.Join(c.files, nil)}, new(store).accept)
		if receipt.Ext != c.ext {
			t.Errorf("%d interchanges: %s, not %s", len(c.files), receipt.Ext, c.ext)
		}
	}
}
