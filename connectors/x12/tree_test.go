package x12

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// dialectOf returns the format in a version.
func dialectOf(t testing.TB, version string) *dialect {
	t.Helper()
	d, err := NewFormat().Dialect(tree.Declaration{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*dialect)
}

// interchange puts segments, one a line, into an envelope of a version.
func interchange(version, segments string) []byte {
	repetition, release := "^", "00501"
	if strings.HasPrefix(version, "004010") {
		repetition, release = "U", "00401"
	}
	return []byte("ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*" + repetition + "*" + release + "*000000011*0*P*:~\n" +
		"GS*XX*MERID*NORTHHOSP*20260505*0830*11*X*" + version + "~\n" + segments + "\nGE*1*11~IEA*1*000000011~\n")
}

// outline writes the loops and segments of a tree after ST on one line:
// loops with what they hold in braces, segments with their first element.
func outline(n *tree.Node) string {
	var b strings.Builder
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		for _, k := range n.Kids {
			if k.Name == "ISA" || k.Name == "GS" || k.Name == "ST" || k.Name == "SE" {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(k.Name)
			if len(k.Kids) == 0 || isNumber(k.Kids[0].Name) && len(k.Kids[0].Name) == 2 {
				if first := k.First("01"); first != nil && len(first.Kids) == 0 {
					b.WriteString("*" + first.Text)
				}
				continue
			}
			b.WriteString("{")
			walk(k)
			b.WriteString(" }")
		}
	}
	walk(n)
	return b.String()
}

const (
	subscriber = "ST*837*1*005010X222A1~BHT*0019*00*1*20260505*0830*CH~NM1*41*2*S*****46*S1~PER*IC*P*TE*5~NM1*40*2*R*****46*R2~" +
		"HL*1**20*1~NM1*85*2*CLINIC*****XX*123~N3*1 ST~N4*LA*CA*900011234~REF*EI*99~HL*2*1*22*0~SBR*P*18*******CI~NM1*IL*1*DOE*JANE****MI*M1~NM1*PR*2*PAYER*****PI*P1~" +
		"CLM*ACC1*100***11:B:1*Y*A*Y*Y~HI*ABK:J20~"
	head = "BHT*0019 1000A{ NM1*41 PER*IC } 1000B{ NM1*40 } 2000A{ HL*1 2010AA{ NM1*85 N3*1 ST N4*LA REF*EI } 2000B{ HL*2 SBR*P 2010BA{ NM1*IL } 2010BB{ NM1*PR } "
)

func TestLoopsStandWhereTheGuideHasThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, version, segments, want string }{
		{"855: an acknowledgment belongs to its line", "004010",
			"ST*855*1~BAK*00*AC*P1*20260504~PO1*1*20*BX~ACK*IA*20*BX~PO1*2*4*EA~ACK*IB*4*EA~CTT*2~SE*8*1~",
			"BAK*00 PO1_LOOP{ PO1*1 ACK_LOOP{ ACK*IA } } PO1_LOOP{ PO1*2 ACK_LOOP{ ACK*IB } } CTT*2"},
		{"850: what follows the parties in disorder is not theirs", "004010",
			"ST*850*1~BEG*00*SA*P1**20260504~N1*ST*A~N3*X~ITD*01~N1*VN*B~PO1*1*1*EA~PID*F****X~CTT*1~SE*9*1~",
			"BEG*00 N1_LOOP{ N1*ST N3*X } ITD*01 N1_LOOP{ N1*VN } PO1_LOOP{ PO1*1 PID*F } CTT*1"},
		{"810: charges and taxes are of the totals", "004010",
			"ST*810*1~BIG*20260509*INV~N1*VN*M~ITD*01~IT1*1*3*EA*10~PID*F****X~SAC*C*D240*ZZ**100~TDS*3100~TXI*ST*1~SAC*C*D240***2500~CTT*1~SE*9*1~",
			"BIG*20260509 N1_LOOP{ N1*VN } ITD*01 IT1_LOOP{ IT1*1 PID*F SAC_LOOP{ SAC*C } } TDS_LOOP{ TDS*3100 TXI*ST SAC*C } CTT*1"},
		{"856: the levels stand in the level that HL-02 names", "004010",
			"ST*856*1~BSN*00*S*20260507*0815~HL*1**S~TD1*CTN*2~REF*CN*1Z~HL*2*1*O~PRF*P1~HL*3*2*P~MAN*GM*0~HL*4*3*I~LIN*1*BP*G~REF*LT*L1~HL*5*2*P~HL*6*5*I~LIN*2~HL*7*1*O~PRF*P2~HL*8 **S *1~CTT*7~SE*9*1~",
			"BSN*00 HL_S{ HL*1 TD1*CTN REF*CN HL_O{ HL*2 PRF*P1 HL_P{ HL*3 MAN*GM HL_I{ HL*4 LIN*1 REF*LT } } HL_P{ HL*5 HL_I{ HL*6 LIN*2 } } } HL_O{ HL*7 PRF*P2 } } HL_S{ HL*8 } CTT*7"},
		{"820: remittances of an entity", "005010",
			"ST*820*1~BPR*C*7~TRN*1*1~N1*PR*A~N1*PE*B~ENT*1~RMR*IV*1**9~REF*PO*2~RMR*IV*2**8~SE*9*1~",
			"BPR*C TRN*1 N1_LOOP{ N1*PR } N1_LOOP{ N1*PE } ENT_LOOP{ ENT*1 RMR_LOOP{ RMR*IV REF*PO } RMR_LOOP{ RMR*IV } }"},
		{"835: claims, services and the adjustments of the provider", "005010X221A1",
			"ST*835*1~BPR*I*9~TRN*1*7~N1*PR*A~N1*PE*B~LX*1~CLP*A*1*2*2~CAS*CO*45*1~NM1*QC*1*X~SVC*HC:7*1*1~DTM*472*20260402~CAS*CO*45*3~CLP*B*4*8*0~PLB*1*20261231*CV:CP*-100~PLB*2*20261231*CV*5~SE*9*1~",
			"BPR*I TRN*1 1000A{ N1*PR } 1000B{ N1*PE } 2000{ LX*1 2100{ CLP*A CAS*CO NM1*QC 2110{ SVC DTM*472 CAS*CO } } 2100{ CLP*B } } PLB_LOOP{ PLB*1 PLB*2 }"},
		{"835: what repeats more often than the guide lets it is all there", "005010X221A1", "ST*835*1~BPR*I*9~N1*PR*A~N3*X~N1*PR*B~DTM*405*20260505~N1*PE*C~SE*9*1~",
			"BPR*I 1000A{ N1*PR N3*X } 1000A{ N1*PR } DTM*405 1000B{ N1*PE }"},
		{"837P: the subscriber, the payer and the claim", "005010X222A1", subscriber + "LX*1~SV1*HC:1*9*UN*1***1~DTP*472*D8*20260401~SE*9*1~",
			head + "2300{ CLM*ACC1 HI 2400{ LX*1 SV1 DTP*472 } } } }"},
		{"837P: providers of a claim in another order", "005010X222A1", subscriber + "NM1*77*2*SITE~N3*1~NM1*82*1*DOC~PRV*PE*PXC*2~LX*1~SV1*HC:1*9*UN*1***1~NM1*82*1*DOC2~LX*2~SV1*HC:1*9*UN*1***1~SE*9*1~",
			head + "2300{ CLM*ACC1 HI 2310C{ NM1*77 N3*1 } 2310B{ NM1*82 PRV*PE } 2400{ LX*1 SV1 2420A{ NM1*82 } } 2400{ LX*2 SV1 } } } }"},
		{"837P: a patient who is not the subscriber, then another subscriber", "005010X222A1", strings.Split(subscriber, "CLM*")[0] + "HL*3*2*23*0~PAT*19~NM1*QC*1*DOE*TED~CLM*A*1***11:B:1~LX*1~HL*4*1*22*0~SBR*S~NM1*IL*1*ROE~CLM*B*2~SE*9*1~",
			head + "2000C{ HL*3 PAT*19 2010CA{ NM1*QC } 2300{ CLM*A 2400{ LX*1 } } } } 2000B{ HL*4 SBR*S 2010BA{ NM1*IL } 2300{ CLM*B } } }"},
		{"837P: of a qualifier that stands in the claim only, in a line", "005010X222A1", subscriber + "LX*1~SV1*HC:1*9~REF*EA*MRN1~REF*6R*5~SE*9*1~",
			head + "2300{ CLM*ACC1 HI 2400{ LX*1 SV1 REF*6R } REF*EA } } }"},
		{"837P: a qualifier that the guide does not have stays with its like", "005010X222A1", subscriber + "LX*1~SV1*HC:1*9~REF*ZZ*1~NTE*ADD*X~SE*9*1~",
			head + "2300{ CLM*ACC1 HI 2400{ LX*1 SV1 REF*ZZ NTE*ADD } } } }"},
		{"a segment that the guide does not have stays where it was", "005010X221A1", "ST*835*1~BPR*I*9~N1*PR*A~ZZZ*1~N3*1~SE*9*1~", "BPR*I 1000A{ N1*PR ZZZ*1 N3*1 }"},
		{"999: segments and elements in error", "005010X231A1", "ST*999*1~AK1*HC*1~AK2*837*1~IK3*NM1*5**8~IK4*3:1*1*1~IK4*4*1*1~IK3*N3*6**8~IK5*R~AK2*837*2~IK5*A~AK9*P*2*2*1~SE*9*1~",
			"AK1*HC 2000{ AK2*837 2100{ IK3*NM1 2110{ IK4 } 2110{ IK4*4 } } 2100{ IK3*N3 } IK5*R } 2000{ AK2*837 IK5*A } AK9*P"},
		{"997", "004010", "ST*997*1~AK1*PO*1~AK2*850*1~AK3*N1*5**8~AK4*3*1*1~AK5*R~AK9*R*1*1*0~SE*9*1~", "AK1*PO AK2_LOOP{ AK2*850 AK3_LOOP{ AK3*N1 AK4*3 } AK5*R } AK9*R"},
		{"277CA: the levels of the answer to a claim", "005010X214", "ST*277*1~BHT*0085*08*1*20260505*0830*TH~HL*1**20*1~NM1*PR*2*P~TRN*1*7~DTP*050*D8*20260505~DTP*009*D8*20260505~HL*2*1*21*1~NM1*41*2*S~HL*3*2*19*1~NM1*85*2*C~HL*4*3*PT~NM1*QC*1*DOE~TRN*2*ACC1~STC*A2:20*20260505*WQ*1~SE*9*1~",
			"BHT*0085 2000A{ HL*1 2100A{ NM1*PR } 2200A{ TRN*1 DTP*050 DTP*009 } 2000B{ HL*2 2100B{ NM1*41 } 2000C{ HL*3 2100C{ NM1*85 } 2000D{ HL*4 2100D{ NM1*QC } 2200D{ TRN*2 STC } } } } }"},
		{"a set that the version does not have is flat", "005010X222A1", "ST*834*1~BGN*00~N1*P5*A~INS*Y~HL*5*4*3~SE*9*1~", "BGN*00 N1*P5 INS*Y HL*5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := dialectOf(t, c.version).Decode(interchange(c.version, c.segments), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := outline(m.Root); got != c.want {
				t.Errorf("the tree is\n%s\nnot\n%s", got, c.want)
			}
		})
	}
}

func TestWhatWouldBeginALoopThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, version, segments, want string }{
		{"an NM1 of nobody in a claim", "005010X222A1", subscriber + "NM1*ZZ*1*SECRET~N3*1~SE*9*1~", "(NM1-01)"},
		{"a level of claims that the guide does not have", "005010X222A1", "ST*837*1~HL*1**20~HL*2*1*77~SE*9*1~", "(HL-03)"},
		{"a claim without the loop that it stands in", "005010X221A1", "ST*835*1~BPR*I*9~N1*PR*A~N1*PE*B~CLP*SECRET*1*2*2~SE*9*1~", "(CLP)"},
		{"a parent that is not there", "004010", "ST*856*1~BSN*00~HL*1**S~HL*2*9*O~SE*9*1~", "(HL-02)"},
		{"a level twice", "004010", "ST*856*1~BSN*00~HL*1**S~HL*1*1*O~SE*9*1~", "(HL-01)"},
		{"a level that there is not", "004010", "ST*856*1~BSN*00~HL*1**SECRET~SE*9*1~", "(HL-03)"},
		{"a guide that is not known", "005010X222A1", "ST*837*1*005010X999~SE*9*1~", "(ST-03)"},
		{"levels without end", "004010", "ST*856*1~BSN*00~HL*0**S~" + manyLevels(40) + "SE*9*1~", "over 32 loops"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := dialectOf(t, c.version).Decode(interchange(c.version, c.segments), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error is %v, not one with %s", err, c.want)
			}
		})
	}
}

func manyLevels(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("HL*" + componentName(i+1) + "*" + componentName(i) + "*I~")
	}
	return b.String()
}

// at follows names, the first of each.
func at(n *tree.Node, path string) *tree.Node {
	for name := range strings.SplitSeq(path, ".") {
		n = n.First(name)
	}
	return n
}

func TestElementsComponentsAndRepetitions(t *testing.T) {
	t.Parallel()
	m, err := dialectOf(t, "005010X222A1").Decode(interchange("005010X222A1",
		strings.NewReplacer("NM1*PR*", "DMG*D8*19840229*F**:RET:E1.01^C~NM1*PR*", "CLM*", "N3*AT: HOME  *~CLM*").Replace(subscriber)+"NTE*ADD*a^b~SE*9*1~"), nil)
	if err != nil {
		t.Fatal(err)
	}
	claim := "2000A.2000B.2300."
	for path, want := range map[string]string{
		"ISA.06": "MERID", "ISA.11": "^", "ISA.16": ":", "GS.08": "005010X222A1", "ST.03": "005010X222A1", "2000A.2000B.2010BA.DMG.05.3": "E1.01",
		claim + "CLM.05.1": "11", claim + "CLM.05.2": "B", claim + "CLM.05.3": "1", claim + "HI.01.2": "J20",
		"2000A.2000B.2010BB.N3.01": "AT: HOME", // no composite there, and trailing spaces do not count
		claim + "NTE.02":           "a^b",      // and no repetition here
	} {
		n := at(m.Root, path)
		if n == nil || n.Text != want || n.State != tree.Value {
			t.Errorf("%s is %+v, not %q", path, n, want)
		}
	}
	for _, path := range []string{"ISA.02", claim + "CLM.03", "2000A.2000B.SBR.03", "2000A.2000B.2010BB.N3.02"} {
		if n := at(m.Root, path); n != nil {
			t.Errorf("%s is empty and has the node %+v", path, n)
		}
	}
	races := 0
	for range at(m.Root, "2000A.2000B.2010BA.DMG").All("05") {
		races++
	}
	if races != 2 {
		t.Errorf("%d repetitions of DMG-05", races)
	}
	if pos := at(m.Root, claim+"CLM").Pos; pos.Line != 19 {
		t.Errorf("CLM is segment %d", pos.Line)
	}
}

func TestOnlyWhatIsSelectedIsDecoded(t *testing.T) {
	t.Parallel()
	only := tree.Selection{}
	only.Add("CLM", "02")
	m, err := dialectOf(t, "005010X222A1").Decode(interchange("005010X222A1", subscriber+"SE*9*1~"), only)
	if err != nil {
		t.Fatal(err)
	}
	clm := at(m.Root, "2000A.2000B.2300.CLM")
	if clm.First("02") == nil || clm.First("05") != nil || len(at(m.Root, "2000A.2000B.2010BA.NM1").Kids) != 1 {
		t.Errorf("CLM has %d elements", len(clm.Kids))
	}
}

func TestAMessageIsDecodedByItsOwnGuide(t *testing.T) {
	t.Parallel()
	body := interchange("005010X223A2", strings.Replace(subscriber, "005010X222A1", "005010X223A2", 1)+"NM1*71*1*DOC~LX*1~SV2*0300**9*UN*1~SE*9*1~")
	m, err := dialectOf(t, "005010X222A1").Decode(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	if at(m.Root, "2000A.2000B.2300.2310A.NM1") == nil { // 71, the attending provider, is none of the professional guide
		t.Errorf("the tree is %s", outline(m.Root))
	}
}

func TestAnAcknowledgmentThatNamesAGuideIsReadAsTheStandardHasIt(t *testing.T) {
	t.Parallel()
	body := interchange("005010X230", "ST*997*1*005010X230~AK1*HC*1~AK2*837*1~AK5*A~AK9*A*1*1*1~SE*9*1~")
	m, err := dialectOf(t, "005010").Decode(body, nil)
	if err != nil || at(m.Root, "AK2_LOOP.AK5") == nil {
		t.Errorf("%v", err)
	}
}

func TestTextThatIsNotUTF8IsLatin1(t *testing.T) {
	t.Parallel()
	m, err := dialectOf(t, "005010X221A1").Decode(interchange("005010X221A1", "ST*835*1~BPR*I~N1*PR*M\xdcLLER~SE*1*1~"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := at(m.Root, "1000A.N1.02").Text; got != "MÜLLER" {
		t.Errorf("the name is %q", got)
	}
}

func TestBinaryDataIsTakenByItsLength(t *testing.T) {
	t.Parallel()
	for _, segment := range []string{"BIN*9*a~b*\r\nc^:~", "BDS*ASC*9*a~b*\r\nc^:~"} {
		m, err := dialectOf(t, "005010X221A1").Decode(interchange("005010X221A1", "ST*275*1~"+segment+"SE*1*1~"), nil)
		if err != nil {
			t.Fatal(err)
		}
		n := m.Root.First(segment[:3])
		if last := n.Kids[len(n.Kids)-1]; last.Text != "YX5iKg0KY146" {
			t.Errorf("%s is %q", segment[:3], last.Text)
		}
	}
}
