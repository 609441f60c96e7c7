package x12

import (
	"strings"
	"testing"
)

// TestEveryCodeIsToldOfWhatItMeans has, for each code of an acknowledgment that this receiver tells, one interchange that is
// answered with it and with nothing else. The README says why the others are never told.
func TestEveryCodeIsToldOfWhatItMeans(t *testing.T) {
	t.Parallel()
	const version = "005010X222A1"
	set := professional(claimText("A1", "100"), "")
	base := sent(version, "HC", 11, set)
	in := func(old, new string) []byte {
		t.Helper()
		if strings.Count(set, old) == 0 {
			t.Fatalf("there is no %q", old)
		}
		return sent(version, "HC", 11, strings.Replace(set, old, new, 1))
	}
	raw := func(old, new string) []byte {
		t.Helper()
		if !strings.Contains(string(base), old) {
			t.Fatalf("there is no %q", old)
		}
		return []byte(strings.Replace(string(base), old, new, 1))
	}
	early := func(segments string) []byte { return in("HI*ABK", segments+"HI*ABK") }
	claim := func(segments string) []byte { return in("LX*1~", segments+"LX*1~") }
	pay := func(payment string) []byte {
		return sent("005010X221A1", "HP", 3, "835*0001~"+payment+"TRN*1*1*1935665544~N1*PR*PAYER~N3*1 ST~N4*LA*CA*900011234~PER*BL*X*TE*5~N1*PE*NORTH*XX*1234567893~LX*1~CLP*A*1*100*90*10*12*P1*11*1~CAS*PR*1*10~NM1*QC*1*DOE~")
	}
	order := func(segments string) []byte {
		return sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~"+segments+"PO1*1*20*EA*1~CTT*1~")
	}
	conf := Config{Partners: []Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP", Versions: []string{"004010", "005010"}, Groups: []string{"HC", "HP", "PO"}}}}
	for _, c := range []struct {
		code, what, want string
		body             []byte
	}{
		{"IK5 A", "nothing", "… IK5*A AK9*A*1*1*1", base},
		{"IK304 1", "a segment that no X12 has", "… IK3*QQQ*20*2300*1 IK5*R*5 AK9*R*1*1*0", claim("QQQ*1~")},
		{"IK304 2", "a segment of the guide, where it has none", "… IK3*SV1*20*2300*2 IK5*R*5 AK9*R*1*1*0", claim("SV1*HC:1*1*UN*1***1~")},
		{"IK304 3", "a segment that the guide requires", "… IK3*HI*18*2300*3 IK5*R*5 AK9*R*1*1*0", in("HI*ABK:J20~", "")},
		{"IK304 4", "a loop once too often", "… IK3*NM1*21*2300*4 IK5*R*5 AK9*R*1*1*0", claim(strings.Repeat("NM1*82*1*DOC~", 2))},
		{"IK304 5", "a segment once too often", "… IK3*REF*20*2300*5 IK5*R*5 AK9*R*1*1*0", early(strings.Repeat("REF*EA*1~", 2))},
		{"IK304 6", "a segment of X12, but not of the set", "… IK3*BEG*20*2300*6 IK5*R*5 AK9*R*1*1*0", claim("BEG*00*SA*P1**20260504~")},
		{"IK304 7", "a segment too late", "… IK3*DTP*20*2300*7 IK5*R*5 AK9*R*1*1*0", early("REF*EA*1~DTP*431*D8*20260401~")},
		{"IK304 8", "an element at fault, and nothing else", "… IK3*CLM*18*2300*8 IK4*2*782*6*1OO IK5*R*5 AK9*R*1*1*0", in("CLM*A1*100*", "CLM*A1*1OO*")},
		{"IK304 I4", "a segment of the set, but not of the guide", "… IK3*CL1*20*2300*I4 IK5*R*I5 AK9*R*1*1*0", claim("CL1*1~")},
		{"IK304 I6", "a replacement without the number of what it replaces", "… IK3*REF*18*2300*I6 CTX*SITUATIONAL TRIGGER*CLM*18*2300*5:3 IK5*R*I5 AK9*R*1*1*0", in("11:B:1*", "11:B:7*")},
		{"IK304 I7", "a loop that the guide requires", "… IK3*NM1*11**I7 IK5*R*I5 AK9*R*1*1*0", in("NM1*PR*2*PAYER*****PI*P1~", "")},
		{"IK304 I9", "an original with the number of what it would replace", "… IK3*REF*19*2300*I9 CTX*SITUATIONAL TRIGGER*CLM*18*2300*5:3 IK5*R*I5 AK9*R*1*1*0", early("REF*F8*1~")},
		{"IK403 1", "an element that is required", "… IK3*SV1*21*2400*8 IK4*4*380*1 IK5*R*5 AK9*R*1*1*0", in("SV1*HC:99213*100*UN*1*", "SV1*HC:99213*100*UN**")},
		{"IK403 2", "one of two that need each other", "… IK3*NM1*7**8 IK4*9*67*2 IK5*R*5 AK9*R*1*1*0", in("*XX*1234567893~", "*XX~")},
		{"IK403 3", "an element too many", "… IK3*HL*6**8 IK4*5**3*X IK5*R*5 AK9*R*1*1*0", in("HL*1**20*1~", "HL*1**20*1*X~")},
		{"IK403 4", "too short", "… IK3*SV1*21*2400*8 IK4*3*355*4*U IK5*R*5 AK9*R*1*1*0", in("SV1*HC:99213*100*UN*", "SV1*HC:99213*100*U*")},
		{"IK403 5", "too long", "… IK3*HI*19*2300*8 IK4*1:2*1271*5*JJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJ IK5*R*5 AK9*R*1*1*0", in("HI*ABK:J20~", "HI*ABK:"+strings.Repeat("J", 31)+"~")},
		{"IK403 6", "a letter in a number", "… IK3*CLM*18*2300*8 IK4*2*782*6*1OO IK5*R*5 AK9*R*1*1*0", in("CLM*A1*100*", "CLM*A1*1OO*")},
		{"IK403 7", "a state that is none", "… IK3*N4*9**8 IK4*2*156*7*XX IK5*R*5 AK9*R*1*1*0", in("N4*LA*CA*", "N4*LA*XX*")},
		{"IK403 8", "a day that no calendar has", "… IK3*DTP*22*2400*8 IK4*3*1251*8*20260431 IK5*R*5 AK9*R*1*1*0", in("20260401", "20260431")},
		{"IK403 9", "a time that no clock has", "… IK3*BHT*2**8 IK4*5*337*9*2460 IK5*R*5 AK9*R*1*1*0", in("*0830*CH", "*2460*CH")},
		{"IK403 10", "two elements that exclude each other", "… IK3*N4*9**8 IK4*7*1715*10*CA IK5*R*5 AK9*R*1*1*0", in("N4*LA*CA*900011234~", "N4*LA*CA*900011234*US***CA~")},
		{"IK403 12", "a repetition of what does not repeat", "… IK3*CLM*18*2300*8 IK4*1*1028*12 IK5*R*5 AK9*R*1*1*0", in("CLM*A1*100*", "CLM*A1^A2*100*")},
		{"IK403 13", "a component too many", "… IK3*CLM*18*2300*8 IK4*5:4**13*1 IK5*R*5 AK9*R*1*1*0", in("11:B:1*", "11:B:1:1*")},
		{"IK403 I6", "a code that the guide does not have", "… IK3*CLM*18*2300*8 IK4*7*1359*I6*P IK5*R*I5 AK9*R*1*1*0", in("11:B:1*Y*A*", "11:B:1*Y*P*")},
		{"IK403 I9", "a payment by ACH without its kind", "AK1*HP*3*005010X221A1 AK2*835*0001 IK3*BPR*2**8 IK4*5*812*I9 CTX*SITUATIONAL TRIGGER*BPR*2**4 IK5*R*I5 AK9*R*1*1*0", pay("BPR*I*90*C*ACH**01*999999992*DA*1*1935665544**01*999988880*DA*1*20260416~")},
		{"IK403 I10", "an element that the guide does not use", "… IK3*NM1*17**8 IK4*4*1036*I10*X IK5*R*I5 AK9*R*1*1*0", in("NM1*PR*2*PAYER*****", "NM1*PR*2*PAYER*X****")},
		{"IK403 I12", "a ZIP of four digits", "… IK3*N4*9**8 IK4*3*116*I12*9000 IK5*R*I5 AK9*R*1*1*0", in("*900011234~", "*9000~")},
		{"IK403 I12", "a provider's ZIP of five digits", "… IK3*N4*9**8 IK4*3*116*I12*90001 IK5*R*I5 AK9*R*1*1*0", in("*900011234~", "*90001~")},
		{"IK403 I12", "a level that says that another is in it", "… IK3*HL*11**8 IK4*4*736*I12*1 IK5*R*I5 AK9*R*1*1*0", in("HL*2*1*22*0~", "HL*2*1*22*1~")},
		{"IK403 I12", "a payment that does not add up", "AK1*HP*3*005010X221A1 AK2*835*0001 IK3*BPR*2**8 IK4*2*782*I12*91 IK5*R*I5 AK9*R*1*1*0", pay("BPR*I*91*C*CHK************20260416~")},
		{"IK403 I13", "the state of an accident that was none", "… IK3*CLM*18*2300*8 IK4*11:4*156*I13*CA CTX*SITUATIONAL TRIGGER*CLM*18*2300*11:1 IK5*R*I5 AK9*R*1*1*0", in("*Y*A*Y*Y~", "*Y*A*Y*Y**EM:::CA~")},
		{"AK304 7", "in the words of a 997", "AK1*PO*7 AK2*850*0001 AK3*DTM*3**8 AK4*2*373*8*20280230 AK3*CUR*4**7 AK3*CUR*4**8 AK4*2*100*5*USDX AK5*R*5 AK9*R*1*1*0", order("DTM*002*20280230~CUR*BY*USDX~")},
		{"IK502 2", "no SE", "… IK5*R*2 AK9*R*1*1*0", raw("\nSE*", "\nQQ*")},
		{"IK502 3", "another control number in SE", "… IK5*R*3 AK9*R*1*1*0", raw("*0001~\nGE", "*0002~\nGE")},
		{"IK502 4", "a wrong count in SE", "… IK5*R*4 AK9*R*1*1*0", raw("\nSE*", "\nSE*9")},
		{"IK502 6", "no set at all", "AK1*HC*11*005010X222A1 AK2*083*0001*005010X222A1 IK5*R*6 AK9*R*1*1*0", raw("ST*837*", "ST*83*")},
		{"IK502 7", "no control number", "AK1*HC*11*005010X222A1 AK2*837*0*005010X222A1 IK5*R*7 AK9*R*1*1*0", []byte(strings.NewReplacer("ST*837*0001", "ST*837*", "*0001~\nGE", "*~\nGE").Replace(string(base)))},
		{"IK502 18", "an order among claims", "AK1*HC*11*005010X222A1 AK2*850*0001*005010X222A1 IK5*R*18 AK9*R*1*1*0", raw("ST*837*", "ST*850*")},
		{"IK502 19", "another guide than the group's", "AK1*HC*11*005010X222A1 AK2*837*0001*005010X223A2 IK5*R*19 AK9*R*1*1*0", raw("ST*837*0001*005010X222A1", "ST*837*0001*005010X223A2")},
		{"IK502 23", "one control number twice", "AK1*HC*11*005010X222A1 AK2*837*0001*005010X222A1 IK5*A AK2*837*0001*005010X222A1 IK5*R*23 AK9*P*2*2*1", sent(version, "HC", 11, set, set)},
		{"AK905 1", "a group that was not agreed upon", "AK1*BE*11*005010X222A1 AK9*R*1*1*0*1", raw("GS*HC*", "GS*BE*")},
		{"AK905 2", "a version that was not agreed upon", "AK1*HC*11 AK9*R*1*1*0*2", raw("*X*005010X222A1", "*X*006020X323")},
		{"AK905 3", "no GE", "AK1*HC*11*005010X222A1 AK9*R*1*1*0*3", raw("GE*1*11~", "")},
		{"AK905 4", "another control number in GE", "AK1*HC*11*005010X222A1 AK9*R*1*1*0*4", raw("GE*1*11~", "GE*1*12~")},
		{"AK905 5", "a wrong count in GE", "AK1*HC*11*005010X222A1 AK9*R*2*1*0*5", raw("GE*1*11~", "GE*2*11~")},
		{"AK905 19", "one group number twice", "AK1*HC*11*005010X222A1 AK2*837*0001*005010X222A1 IK5*A AK9*A*1*1*1 AK1*HC*11*005010X222A1 AK9*R*0*0*0*19", raw("GE*1*11~IEA*1", "GE*1*11~GS*HC*MERID*NORTHHOSP*20260505*0830*11*X*005010X222A1~GE*0*11~IEA*2")},
		{"TA105 001", "another control number in IEA", "TA1 … R*001", raw("IEA*1*000000011", "IEA*1*000000012")},
		{"TA105 004", "a letter as terminator", "TA1 … R*004", raw(":~", ":A")},
		{"TA105 006", "a stranger", "TA1 … R*006", raw("*ZZ*MERID          ", "*ZZ*STRANGER       ")},
		{"TA105 007", "a receiver's qualifier too short", "TA1 … R*007", raw("*ZZ*NORTHHOSP", "*Z*NORTHHOSP")},
		{"TA105 008", "a receiver's id that is not filled up", "TA1 … R*008", raw("*NORTHHOSP      *", "*NORTHHOSP*")},
		{"TA105 009", "for somebody else", "TA1 … R*009", raw("NORTHHOSP      ", "SOUTHHOSP      ")},
		{"TA105 010", "ISA-01", "TA1 … R*010", raw("ISA*00*", "ISA*0*")},
		{"TA105 011", "ISA-02", "TA1 … R*011", raw("ISA*00*          *", "ISA*00*         *")},
		{"TA105 012", "ISA-03", "TA1 … R*012", raw("          *00*          *ZZ", "          *0*          *ZZ")},
		{"TA105 013", "ISA-04", "TA1 … R*013", raw("*00*          *ZZ", "*00*         *ZZ")},
		{"TA105 014", "no date", "TA1*000000011*261305*0830*R*014", raw("*260505*", "*261305*")},
		{"TA105 015", "no time", "TA1*000000011*260505*2530*R*015", raw("*0830*^", "*2530*^")},
		{"TA105 016", "ISA-11", "TA1 … R*016", raw("*^*00501", "*^^*00501")},
		{"TA105 017", "ISA-12", "TA1 … R*017", raw("*00501*", "*0050A*")},
		{"TA105 018", "ISA-13", "TA1 … R*018", raw("*000000011*0*", "*0000011*0*")},
		{"TA105 019", "ISA-14", "TA1 … R*019", raw("*0*P*", "*2*P*")},
		{"TA105 020", "a test", "TA1 … R*020", raw("*0*P*", "*0*T*")},
		{"TA105 021", "a wrong count in IEA", "TA1 … R*021", raw("IEA*1*", "IEA*2*")},
		{"TA105 022", "a segment outside of a set", "TA1 … R*022", raw("GE*1*11~", "GE*1*11~N1*ST~")},
		{"TA105 023", "no IEA", "TA1 … R*023", raw("IEA*1*000000011~", "")},
		{"TA105 024", "a group without a date", "TA1 … R*024", raw("*20260505*0830*11*X", "*0505*0830*11*X")},
		{"TA105 027", "a separator of components that is one of elements", "TA1 … R*027", raw("*P*:", "*P**")},
	} {
		got, _ := verdictOf(t, conf, c.body)
		want := strings.NewReplacer("TA1 … ", "TA1*000000011*260505*0830*", "… ", "AK1*HC*11*005010X222A1 AK2*837*0001*005010X222A1 ").Replace(c.want)
		if got != want {
			t.Errorf("%s: %s: %s, not %s", c.code, c.what, got, want)
		}
		if element, code, _ := strings.Cut(c.code, " "); element != "AK304" && code != "A" && meanings[c.code] == "" {
			t.Errorf("%s: no words say what it is", c.code)
		}
		// A 997 has none of the codes of guides.
		conf := Config{Partners: []Partner{conf.Partners[0]}}
		conf.Partners[0].Ack = Ack997
		older, _ := verdictOf(t, conf, c.body)
		for segment := range strings.SplitSeq(older, " ") {
			if e := strings.Split(segment, "*"); len(e) > 3 && (e[0] == "AK3" && !contains(segmentCodes, e[len(e)-1]) || e[0] == "AK4" && !contains(elementCodes, e[3])) || strings.HasPrefix(segment, "AK5*") && strings.Contains(segment, "*I") {
				t.Errorf("%s: %s: in a 997 %s", c.code, c.what, segment)
			}
		}
	}
}

// The codes of data elements 720 and 723 that this receiver tells.
var (
	segmentCodes = strings.Fields("1 2 3 4 5 6 7 8")
	elementCodes = strings.Fields("1 2 3 4 5 6 7 8 9 10")
)
