package x12

import (
	"strings"
	"testing"
)

func TestLevelsAgreeWithEachOther(t *testing.T) {
	t.Parallel()
	patient := func(hl string) string {
		return "HL*" + hl + "~PAT*19~NM1*QC*1*DOE*TED~N3*1 ST~N4*LA*CA*90001~DMG*D8*20150101*M~" + claimText("D1", "10")
	}
	family := strings.NewReplacer("HL*2*1*22*0", "HL*2*1*22*1", "HL*3*1*22*0", "HL*5*1*22*0").
		Replace(professional(patient("3*2*23*0")+patient("4*2*23*0"), claimText("B1", "20")))
	for _, c := range []struct{ what, old, new, want string }{
		{"all as it should be", "", "", "IK5*A"},
		{"zeros before a number", "HL*5*1*", "HL*05*1*", "IK5*A"},
		{"the first is not 1", "HL*1**20", "HL*7**20", "IK3*HL*6**8 IK4*1*628*I12*7 IK3*HL*11**8 IK4*1*628*I12*2 IK4*2*734*I12*1 CTX*SITUATIONAL TRIGGER*HL*6**1 "},
		{"a number is left out", "HL*5*1*", "HL*6*1*", "IK3*HL*40**8 IK4*1*628*I12*6 IK5*R*I5"},
		{"a number comes again", "HL*5*1*", "HL*4*1*", "IK3*HL*40**8 IK4*1*628*I12*4 IK5*R*I5"},
		{"no number", "HL*5*1*", "HL*E*1*", "IK3*HL*40**8 IK4*1*628*I12*E IK5*R*I5"},
		{"a parent that does not exist", "HL*4*2*", "HL*4*9*", "IK3*HL*29**8 IK4*2*734*I12*9 CTX*SITUATIONAL TRIGGER*HL*11**1 IK5*R*I5"},
		{"a parent of the wrong level", "HL*4*2*", "HL*4*1*", "IK3*HL*29**8 IK4*2*734*I12*1 CTX*SITUATIONAL TRIGGER*HL*11**1 IK5*R*I5"},
		{"a sibling as parent", "HL*4*2*", "HL*4*3*", "IK3*HL*29**8 IK4*2*734*I12*3 CTX*SITUATIONAL TRIGGER*HL*11**1 IK5*R*I5"},
		{"0, and others in it", "HL*2*1*22*1", "HL*2*1*22*0", "IK3*HL*11**8 IK4*4*736*I12*0 CTX*SITUATIONAL TRIGGER*HL*18**2 IK5*R*I5"},
		{"1, and none in it", "HL*5*1*22*0", "HL*5*1*22*1", "IK3*HL*40**8 IK4*4*736*I12*1 IK5*R*I5"},
	} {
		set := strings.Replace(family, c.old, c.new, 1)
		body := sent("005010X222A1", "HC", 11, set)
		if got, _ := verdictOf(t, Config{}, body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.what, got)
		}
		if got, s := verdictOf(t, anyone("hierarchy"), body); len(s.messages) != 3 || strings.Contains(got, "*R") {
			t.Errorf("%s, tolerated: %s", c.what, got)
		}
	}

	alone := strings.Replace(professional(claimText("A1", "100"), claimText("B1", "20")), "HL*2*1*22*0", "HL*2*1*22*1", 1)
	if got, s := verdictOf(t, Config{Split: SplitClaim}, sent("005010X222A1", "HC", 11, alone)); len(s.messages) != 1 || !strings.Contains(got, "IK5*E*I5") {
		t.Errorf("a fault of one subscriber is told of %d messages: %s", 2-len(s.messages), got)
	}

	ship := func(order string) []byte {
		return sent("004010", "SH", 7, "856*0001~BSN*00*1*20260504*0830~HL*1**S*1~HL*2*1*O*"+order+"~PRF*P1~")
	}
	for order, want := range map[string]string{"0": "AK5*A", "": "AK5*A", "1": "AK3*HL*4*HL_O*8 AK4*4*736*7*1 AK5*R*5"} {
		if got, _ := verdictOf(t, Config{}, ship(order)); !strings.Contains(got, strings.Replace(want, "*HL_O*", "**", 1)) {
			t.Errorf("an order with HL-04 %q: %s", order, got)
		}
	}
}

func TestWhereNineDigitsAreAskedForFiveAreToldAndForgiven(t *testing.T) {
	t.Parallel()
	facility := func(n4 string) string {
		return strings.Replace(professional(claimText("A1", "100"), ""), "LX*1~", "NM1*77*2*SITE~N3*1 ST~N4*LA*"+n4+"~LX*1~", 1)
	}
	for _, c := range []struct{ what, set, want string }{
		{"a facility in the States", facility("CA*90001"), "IK3*N4*22**8 IK4*3*116*I12*90001 IK5*R*I5"},
		{"with its country", facility("CA*90001*US"), "IK3*N4*22**8 IK4*3*116*I12*90001 IK5*R*I5"},
		{"with nine digits", facility("CA*900011234"), "IK5*A"},
		{"in Canada", facility("ON*K1A0B1*CA"), "IK5*A"},
		{"a subscriber", strings.Replace(professional(claimText("A1", "100"), ""), "N3*2 ST~N4*LA*CA*900011234", "N3*2 ST~N4*LA*CA*90001", 1), "IK5*A"},
		{"four digits are one fault", facility("CA*9000"), "IK3*N4*22**8 IK4*3*116*I12*9000 IK5*R*I5"},
	} {
		body := sent("005010X222A1", "HC", 11, c.set)
		if got, _ := verdictOf(t, Config{}, body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.what, got)
		}
		if got, _ := verdictOf(t, anyone("zip"), body); strings.Contains(c.want, "*90001") && !strings.Contains(got, "IK5*E*I5") {
			t.Errorf("%s, tolerated: %s", c.what, got)
		}
	}
}
