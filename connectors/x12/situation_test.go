package x12

import (
	"os"
	"strings"
	"testing"
)

func TestWhatOneValueCallsForIsThere(t *testing.T) {
	t.Parallel()
	set := professional(claimText("A1", "100"), "")
	institutional, err := os.ReadFile("../../mappings/billing/in/837i-4010.edi")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, old, new, want string }{
		{"an accident, its state and date", "*Y*A*Y*Y~", "*Y*A*Y*Y**AA:::CA~DTP*439*D8*20260301~", "IK5*A"},
		{"an accident, and neither", "*Y*A*Y*Y~", "*Y*A*Y*Y**OA:AA~", "IK3*DTP*18*2300*I6 CTX*SITUATIONAL TRIGGER*CLM*18*2300*11:1 IK3*CLM*18*2300*8 IK4*11:4*156*I9 CTX*SITUATIONAL TRIGGER*CLM*18*2300*11:2 IK5*R*I5"},
		{"a patient who is the subscriber, without a birthday", "DMG*D8*19800101*F~", "", "IK3*DMG*13**I6 CTX*SITUATIONAL TRIGGER*SBR*12**2 IK5*R*I5"},
		{"a currency", "NM1*85*2", "CUR*85*CAD~NM1*85*2", "IK5*A"},
		{"no currency", "NM1*85*2", "CUR*85*CAQ~NM1*85*2", "IK4*2*100*7*CAQ"},
		{"an address in Canada", "N4*LA*CA*900011234~", "N4*OTTAWA*ON*K1A 0B1*CA~", "IK5*A"},
		{"a ZIP in Canada", "N4*LA*CA*900011234~", "N4*OTTAWA*ON*90001*CA~", "IK4*3*116*I12*90001"},
		{"an address elsewhere", "N4*LA*CA*900011234~", "N4*BERLIN**10115*DE~", "IK5*A"},
		{"a country that is none", "N4*LA*CA*900011234~", "N4*BERLIN**10115*QQ~", "IK4*4*26*7*QQ"},
		{"a relationship that the guide does not have", "SBR*P*18*", "SBR*P*99*", "IK3*SBR*12**8 IK4*2*1069*I6*99 IK5*R*I5"},
		{"a kind of diagnosis that comes second nowhere", "HI*ABK:J20~", "HI*ABK:J20*ABK:J21~", "IK3*HI*19*2300*8 IK4*2:1*1270*I6*ABK"},
		{"neither state nor country", "N4*LA*CA*900011234~", "N4*LA~", "IK4*2*156*I9 CTX*SITUATIONAL TRIGGER*N4*9**4 IK4*3*116*I9 CTX*SITUATIONAL TRIGGER*N4*9**4 IK5*R*I5"},
	} {
		if got, _ := verdictOf(t, Config{}, sent("005010X222A1", "HC", 11, strings.Replace(set, c.old, c.new, 1))); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.what, got)
		}
	}
	if got, _ := verdictOf(t, anyone("counts"), []byte(strings.Replace(string(institutional), "HI*BK:J209~", "HI*BK:J209~HI*BH:11:D8:20261301~", 1))); !strings.Contains(got, "AK4*1>4*1251*8*20261301") {
		t.Errorf("a date beside its format in a composite: %s", got)
	}
}

func TestAGuideThatIsAtFaultIsNotRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"N1 R 1 +0 A", "no range of elements"}, {"N1 R 1 -3:2 A", "no range of elements"}, {"N1 R 1 +2.x A", "no element, such as 3"},
		{"codes N1-3:2 A", "no range of elements"}, {"codes N1-x A", "no element, such as 3"}, {"when N1-03 need N1-04", "has no values"}, {"when N1-03=XX want N1-04", "need, bar or form"}, {"when N1-0=XX need N1-04", "no element, such as 05.2"},
		{"when N1-03=XX need N2-04", "no element of N1"}, {"when N1-03=XX form N1-04=roman", "no form that is known"}, {"unless N1-03=XX need N1-04=zip", "no form that is known"},
	} {
		if _, err := readGuides("guide 005010 999 T\n" + c.line + "\n"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.line, err)
		}
	}
	if _, err := readGuides("standard 005010 999\n"); err == nil {
		t.Error("a set of nothing is taken")
	}
}
