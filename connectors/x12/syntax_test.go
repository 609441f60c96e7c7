package x12

import (
	"strings"
	"testing"
)

const isa = "ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*^*00501*000000011*0*P*:"

func TestDelimitersAreThoseOfTheInterchange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		want       delimiters
		size       int
	}{
		{"the usual ones", isa + "~", delimiters{'*', ':', '^', []byte("~")}, 106},
		{"a line feed ends segments", isa + "\nGS", delimiters{'*', ':', '^', []byte("\n")}, 106},
		{"a carriage return ends segments", isa + "\r\n", delimiters{'*', ':', '^', []byte("\r")}, 106},
		{"a control character ends segments", isa + "\x1d", delimiters{'*', ':', '^', []byte("\x1d")}, 106},
		{"a character of three bytes ends segments", isa + "…\n", delimiters{'*', ':', '^', []byte("…")}, 108},
		{"004010 has no repetition", strings.NewReplacer("*00501*", "*00401*", "*^*", "*U*").Replace(isa) + "~", delimiters{'*', ':', 0, []byte("~")}, 106},
		{"a letter is no repetition separator", strings.Replace(isa, "*^*", "*U*", 1) + "~", delimiters{'*', ':', 0, []byte("~")}, 106},
		{"two characters are no repetition separator", strings.Replace(isa, "*^*", "*^^*", 1) + "~", delimiters{'*', ':', 0, []byte("~")}, 107},
		{"an ISA that is not padded", "ISA|00||00||ZZ|A|ZZ|B|260505|0830|^|00501|1|0|P|:~", delimiters{'|', ':', '^', []byte("~")}, 50},
	} {
		d, size, err := readDelimiters([]byte(c.body))
		if err != nil || d.element != c.want.element || d.component != c.want.component || d.repetition != c.want.repetition || string(d.terminator) != string(c.want.terminator) || size != c.size {
			t.Errorf("%s: %+v, %d, %v", c.name, d, size, err)
		}
	}
}

func TestErrorsNameThePlaceAndNoValue(t *testing.T) {
	t.Parallel()
	set := func(s string) string { return isa + "~GS*HP*A*B~ST*835*1~" + s + "SE*1*1~GE*1*1~IEA*1*1~" }
	for _, c := range []struct{ name, body, want string }{
		{"nothing", "", "byte 0: there is no interchange"},
		{"no ISA", "GS*SECRET~", "segment 1 at byte 0: an interchange begins with ISA"},
		{"ISA with a letter between elements", "ISASECRET", "(ISA) at byte 3"},
		{"ISA that goes on and on", "ISA*" + strings.Repeat("SECRET", 20), "(ISA-01) at byte 4"},
		{"ISA that breaks off", isa[:104], "(ISA-16) at byte 103: ISA ends"},
		{"ISA whose components are separated like elements", isa[:104] + "*~", "(ISA-16) at byte 104"},
		{"ISA ended by a letter", isa + "S", "byte 105: the character after ISA-16"},
		{"no identifier", set("*SECRET~"), "segment 4 at byte"},
		{"a long identifier", set("SECRET*1~"), "segment 4 at byte"},
		{"lower case", set("nm1*1~"), "segment 4 at byte"},
		{"another element separator", set("NM1|SECRET~"), "segment 4 (NM1) at byte"},
		{"not terminated", isa + "~ST*835*1~NM1*SECRET", "segment 3 (NM1) at byte 115: the segment is not terminated"},
		{"too many elements", set("NM1" + strings.Repeat("*", 300) + "~"), "over 200 elements"},
		{"the length of binary data is a word", set("BIN*SECRET*x~"), "(BIN-01)"},
		{"binary data that is longer", set("BIN*2*SECRET~"), "(BIN-01)"},
		{"binary data beyond the end", set("BIN*99*SECRET~"), "(BIN-01)"},
		{"binary data beyond all bounds", set("BIN*99999999999*SECRET~"), "(BIN-01)"},
		{"binary data without its parts", set("BDS*SECRET~"), "(BDS-01)"},
		{"no SE", isa + "~GS*HP~ST*835*1~NM1*1~GE*1*1~", "the transaction set of segment 3 has no SE"},
		{"no SE at all", isa + "~GS*HP~ST*835*1~", "the transaction set has no SE"},
		{"SE without ST", isa + "~GS*HP~SE*1*1~", "SE without ST"},
		{"no set", isa + "~GS*HP~GE*0*1~IEA*1*1~", "holds no transaction set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := split([]byte(c.body))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error is %v, not one with %q", err, c.want)
			}
			if _, err := dialectOf(t, "005010X221A1").Decode([]byte(c.body), nil); err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("Decode says %v", err)
			}
		})
	}
}

func TestSegmentsMayBeLaidOutForPeople(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"\ufeff" + isa + "~\r\nGS*HP~\r\n  ST*835*1~\n\n\tBPR*I*5~~SE*3*1~ GE*1*1~\r\nIEA*1*1~\x1a",
		isa + "\nGS*HP\n\nST*835*1\nBPR*I*5\nSE*3*1",
		isa + "\r\nGS*HP\r\nST*835*1\r\nBPR*I*5\r\nSE*3*1\r\nGE*1*1\r\nIEA*1*1",
	} {
		m, err := dialectOf(t, "005010X221A1").Decode([]byte(body), nil)
		if err != nil {
			t.Errorf("%q: %v", body, err)
			continue
		}
		if got := at(m.Root, "BPR.02"); got == nil || got.Text != "5" {
			t.Errorf("%q: BPR-02 is %+v", body, got)
		}
	}
}

func TestEveryTransactionSetIsAMessageWithItsEnvelope(t *testing.T) {
	t.Parallel()
	body := isa + "~TA1*000000005*260505*0830*A*000~GS*HP*A*B~ST*835*1~BPR*I~SE*3*1~ST*835*2~BPR*H~SE*3*2~GE*2*1~GS*HP*A*C~ST*835*3~SE*2*3~GE*1*1~ST*835*5~SE*2*5~IEA*2*1~\n" +
		isa + "~GS*HP*A*D~ST*835*6~SE*2*6~\n" + isa + "~ST*835*7~SE*2*7~IEA*0*1~\n" +
		strings.NewReplacer("MERID  ", "OTHER  ", "*", "|", ":", ">").Replace(isa) + "!GS|HP|D|E!ST|835|4!BPR|I!SE|3|4!GE|1|1!IEA|1|1!"
	parts, err := dialectOf(t, "005010X221A1").Split([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ kind, sender, receiver, control string }{{"TA1", "MERID", "", ""}, {"835", "MERID", "B", "1"}, {"835", "MERID", "B", "2"}, {"835", "MERID", "C", "3"}, {"835", "MERID", "", "5"}, {"835", "MERID", "D", "6"}, {"835", "MERID", "", "7"}, {"835", "OTHER", "E", "4"}}
	if len(parts) != len(want) {
		t.Fatalf("%d parts", len(parts))
	}
	for i, p := range parts {
		m, err := dialectOf(t, "005010X221A1").Decode(p, nil)
		if err != nil {
			t.Errorf("part %d: %v", i, err)
			continue
		}
		if got := at(m.Root, "ISA.06").Text; m.Type != want[i].kind || got != want[i].sender {
			t.Errorf("part %d is %s of %s", i, m.Type, got)
		}
		if m.Type == "TA1" {
			if at(m.Root, "TA1.04").Text != "A" {
				t.Error("TA1-04 is not there")
			}
			continue
		}
		if gs, st := textAt(m.Root, "GS.03"), textAt(m.Root, "ST.02"); gs != want[i].receiver || st != want[i].control {
			t.Errorf("part %d is for %s with number %s", i, gs, st)
		}
	}
	for _, several := range []string{body, isa + "~GS*HP~ST*835*1~SE*2*1~ST*835*2~SE*2*2~", isa + "~TA1*1~TA1*2~", isa + "~ST*835*1~SE*2*1~NM1*1~"} {
		if _, err := dialectOf(t, "005010X221A1").Decode([]byte(several), nil); err == nil || !strings.Contains(err.Error(), "split") {
			t.Errorf("Decode of several says %v", err)
		}
	}
}
