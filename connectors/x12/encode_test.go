package x12

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestWhatWasDecodedIsWrittenAsItWas(t *testing.T) {
	t.Parallel()
	for version, segments := range map[string]string{
		"005010X222A1": subscriber + "LX*1~SV1*HC:1*9*UN*1***1:2~SE*9*1~",
		"004010":       "ST*856*1~BSN*00*S*20260507*0815~HL*1**S~HL*2*1*O~PRF*P1~HL*3*2*I~LIN**BP*A~SE*9*1~",
		"005010":       "ST*275*1~ZZZ*a:b^c*d~BIN*3*a~b~BDS*ASC*3*a~b~SE*1*1~",
	} {
		d := dialectOf(t, version)
		m, err := d.Decode(interchange(version, segments), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Encode(m)
		if err != nil || string(got) != segments {
			t.Errorf("written as\n%s, %v, not\n%s", got, err, segments)
		}
	}
}

func leaf(name, text string) *tree.Node { return &tree.Node{Name: name, State: tree.Value, Text: text} }

func group(name string, kids ...*tree.Node) *tree.Node {
	return &tree.Node{Name: name, State: tree.Value, Kids: kids}
}

func TestADocumentIsWrittenInItsOrder(t *testing.T) {
	t.Parallel()
	m := &tree.Message{Format: "x12", Type: "850", Root: group("",
		group("BEG", leaf("01", "00"), leaf("05", "20260504"), leaf("03", "P1"), leaf("06", "")),
		group("PO1_LOOP", group("PO1", leaf("1", "7"), leaf("07", "A:B^C")), group("PID", leaf("01", "F"))),
		group("MEA", group("04", leaf("1", "EA"), leaf("3", "2"))),
		group("CTT"))}
	got, err := dialectOf(t, "004010").Encode(m)
	want := "BEG*00**P1**20260504~PO1*7******A:B^C~PID*F~MEA****EA>>2~CTT~"
	if err != nil || string(got) != want {
		t.Errorf("written as %s, %v", got, err)
	}
}

func TestWhatX12CanNotSayIsAnErrorThatNamesThePlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version string
		kid           *tree.Node
		want          string
	}{
		{"an element separator in data", "005010", group("N1", leaf("02", "SECRET*")), "N1-02: byte 7"},
		{"a component separator in data", "005010", group("N1", leaf("02", "a:b")), "N1-02: byte 2"},
		{"a repetition separator in data", "005010", group("N1", leaf("02", "a^b")), "N1-02: byte 2"},
		{"a terminator in data", "005010", group("2300", group("N1", leaf("02", "a~b"))), "2300.N1-02: byte 2"},
		{"a line end in data", "005010", group("N1", leaf("02", "a\nb")), "N1-02: byte 2"},
		{"a value to be deleted", "005010", group("N1", &tree.Node{Name: "02", State: tree.Null}), "to be deleted"},
		{"an element that is none", "005010", group("N1", leaf("02", "a"), leaf("name", "b")), "N1 has no part name"},
		{"repetitions in 004010", "004010", group("N1", leaf("02", "a"), leaf("02", "b")), "N1-02: elements do not repeat"},
		{"a component twice", "005010", group("HI", group("01", leaf("1", "a"), leaf("1", "b"))), "HI-01-1: a component has one value"},
		{"binary data that is none", "005010", group("BIN", leaf("01", "2"), leaf("02", "-")), "BIN-02: binary data is base64"},
		{"binary data of another length", "005010", group("BIN", leaf("01", "2"), leaf("02", "YWJj")), "BIN-02: the element before"},
	} {
		_, err := dialectOf(t, c.version).Encode(&tree.Message{Type: "820", Root: group("", c.kid)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	var deep func(n int) *tree.Node
	deep = func(n int) *tree.Node {
		if n == 0 {
			return group("N1")
		}
		return group("LOOP", deep(n-1))
	}
	if _, err := dialectOf(t, "005010").Encode(&tree.Message{Root: group("", deep(100))}); err == nil {
		t.Error("loops without end are written")
	}
}
