package hl7

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// rebuild puts a message together again from its views: what it gives differs
// from the bytes received if a view lost or invented one.
func rebuild(m *Message) []byte {
	var out []byte
	at := uint32(0)
	for i := range m.segs {
		s := m.Segment(i)
		out = append(out, m.body[at:s.s.start]...) // what stands between segments
		// The name, and what of a line that is only a name and is continued.
		head := s.s.end
		if s.s.n > 0 {
			head = m.fields[s.s.first] - 1
		}
		out = append(out, m.body[s.s.start:head]...)
		first := 1
		if s.isHeader() {
			first = 2
		}
		for n := first; n <= s.Len(); n++ {
			out = append(out, m.delims.field)
			out = append(out, rebuildField(s.Field(n), m.delims)...)
		}
		at = s.s.end
	}
	return append(out, m.body[at:]...)
}

func rebuildField(f Value, d delimiters) []byte {
	if f.literal {
		return f.Raw()
	}
	join := func(v Value, sep byte, part func(Value, int) Value, inner func(Value) []byte) []byte {
		var out []byte
		for n := 1; ; n++ {
			p := part(v, n)
			if n > 1 {
				if sep == 0 || bytes.Count(v.raw, []byte{sep}) < n-1 {
					return out
				}
				out = append(out, sep)
			}
			out = append(out, inner(p)...)
		}
	}
	return join(f, d.repetition, Value.Repetition, func(r Value) []byte {
		return join(r, d.component, Value.Component, func(c Value) []byte {
			return join(c, d.subComponent, Value.SubComponent, Value.Raw)
		})
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	const pid = "PID|1||4471123^^^NORTH&1.2.3&ISO^MR~99^^^SSA||O'Hara^Si\\T\\Jo"
	for _, tt := range []struct {
		name, message string
		segments      []string
	}{
		{"segments end with CR", "MSH|^~\\&|A\r" + pid + "\r", []string{"MSH", "PID"}},
		{"segments end with LF", "MSH|^~\\&|A\n" + pid + "\n", []string{"MSH", "PID"}},
		{"segments end with CRLF", "MSH|^~\\&|A\r\n" + pid + "\r\n", []string{"MSH", "PID"}},
		{"ends are mixed and lines are blank", "MSH|^~\\&|A\r\n\r\n" + pid + "\nZZ1|x\r\r", []string{"MSH", "PID", "ZZ1"}},
		{"no end after the last segment", "MSH|^~\\&|A\r" + pid, []string{"MSH", "PID"}},
		{"a byte order mark and white space come first", "\xef\xbb\xbf\r\n MSH|^~\\&|A\r" + pid, []string{"MSH", "PID"}},
		{"control characters come last", "MSH|^~\\&|A\r" + pid + "\r\x1c\r\x00\x1a", []string{"MSH", "PID"}},
		{"a line that is no segment goes on with the field before it", "MSH|^~\\&|A\r" + pid + "\nsecond line\rPV1||I", []string{"MSH", "PID", "PV1"}},
		{"five encoding characters", "MSH|^~\\&#|A\r" + pid, []string{"MSH", "PID"}},
		{"a segment that is only a name and goes on in the next line", "MSH|^~\\&|A\rZZZ\r0x|y\r", []string{"MSH", "ZZZ"}},
		{"a segment that is only a name", "MSH|^~\\&|A\rPID\rPV1", []string{"MSH", "PID", "PV1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := Parse([]byte(tt.message))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for i := range m.Len() {
				names = append(names, m.Segment(i).Name())
			}
			if strings.Join(names, " ") != strings.Join(tt.segments, " ") {
				t.Errorf("segments %v, want %v", names, tt.segments)
			}
			if got := rebuild(m); string(got) != tt.message {
				t.Errorf("rebuilt as %q", got)
			}
			if s, _ := m.Find("PID"); s.Len() > 0 {
				if got := s.Field(3).Repetition(1).Component(4).SubComponent(2).Text(); got != "1.2.3" {
					t.Errorf("PID-3.4.2 is %q", got)
				}
				if got := s.Field(5).Component(2).Text(); !strings.HasPrefix(got, "Si&Jo") {
					t.Errorf("PID-5.2 is %q", got)
				}
				if got := s.Field(3).Repetition(3).Raw(); got != nil {
					t.Errorf("a third repetition: %q", got)
				}
			}
		})
	}
}

func TestMSHFieldsCountTheSeparatorAsFieldOne(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte("MSH*:~!;*APP*FAC\rPID***1:2;3\r"))
	if err != nil {
		t.Fatal(err)
	}
	msh := m.Segment(0)
	for n, want := range map[int]string{1: "*", 2: ":~!;", 3: "APP", 4: "FAC", 5: ""} {
		if got := msh.Field(n).Text(); got != want {
			t.Errorf("MSH-%d is %q, want %q", n, got, want)
		}
	}
	if got := m.Segment(1).Field(3).Component(2).SubComponent(2).Text(); got != "3" {
		t.Errorf("PID-3.2.2 is %q", got)
	}
}

func TestParseRefusesWhatHasNoHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, message, place string
		code                 int
	}{
		{"nothing", "", "MSH: ", errSequence},
		{"another segment first", "PID|1", "MSH: ", errSequence},
		{"only a name", "MSH", "MSH-1: ", errRequired},
		{"a letter as separator", "MSHx^~\\&x", "MSH-1: ", errRequired},
		{"no encoding characters", "MSH||A", "MSH-2: ", errDataType},
		{"a delimiter twice", "MSH|^~\\^|A", "MSH-2: ", errDataType},
		{"six encoding characters", "MSH|^~\\&#%|A", "MSH-2: ", errDataType},
		{"a segment of too many fields", "MSH|^~\\&|A\rPID" + strings.Repeat("|", maxFieldsPerSeg+1), "PID: ", errDataType},
		{"too many segments", "MSH|^~\\&|A" + strings.Repeat("\rZZZ", maxSegments), "MSH: ", errSequence},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(tt.message))
			var syntax *syntaxError
			if !errors.As(err, &syntax) || syntax.code != tt.code || !strings.HasPrefix(err.Error(), tt.place) {
				t.Errorf("error %v, want %s… with code %d", err, tt.place, tt.code)
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, charset, raw, want string }{
		{"delimiters", "", `a\F\b\S\c\T\d\R\e\E\f\P\`, `a|b^c&d~e\f#`},
		{"hexadecimal bytes", "", `x\X0D0A41\y`, "x\r\nAy"},
		{"a line break", "", `one\.br\two`, "one\ntwo"},
		{"highlighting is dropped", "", `a \H\loud\N\ b`, "a loud b"},
		{"unknown sequences stay", "", `\.sp2\ \Zabc\ \C2842\`, `\.sp2\ \Zabc\ \C2842\`},
		{"a lone escape character stays, and does not eat the next sequence", "", `C:\dir\T\x`, `C:\dir&x`},
		{"an odd number of digits is not hexadecimal", "", `\X0\`, `\X0\`},
		{"UTF-8 declared", "UNICODE UTF-8", "Müller", "Müller"},
		{"UTF-8 not declared", "", "Müller", "Müller"},
		{"Windows-1252 not declared", "", "M\xfcller \x80", "Müller €"},
		{"8859/1", "8859/1", "M\xfcller", "Müller"},
		{"8859/1, first of two", "8859/1~UNICODE UTF-8", "M\xfcller", "Müller"},
		{"8859/2", "8859/2", "\xa3\xf3d\xbc", "Łódź"},
		{"8859/15", "8859/15", "\xa4", "€"},
		{"hexadecimal bytes are of the character set", "8859/1", `M\XFC\ller`, "Müller"},
		{"an unknown character set is tolerated", "ISO IR6", "M\xfcller", "Müller"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := Parse([]byte("MSH|^~\\&|||||||||||||||" + "|" + tt.charset + "\rNTE|1||" + tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Segment(1).Field(3).Text(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestCharacterSetsThatHideDelimiters(t *testing.T) {
	t.Parallel()
	const text = "MSH|^~\\&|A||||||ADT^A01|1|P|2.5.1||||||%s\rPID|1||7||M\u00fcller^\u4e02\u5f20|\\X0041\\\r"
	for _, tt := range []struct {
		name, declared string
		cs             charset
	}{
		{"UTF-16 big endian with mark", "UNICODE UTF-16", charset{utf16BE.enc, bomBE}},
		{"UTF-16 little endian with mark", "UNICODE UTF-16", charset{utf16LE.enc, bomLE}},
		{"UTF-16 little endian without", "UNICODE UTF-16", utf16LE},
		{"UTF-16 big endian without", "UNICODE UTF-16", utf16BE},
		{"GB 18030", "GB 18030-2000", gb18030},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw, err := tt.cs.encodeAll([]byte(strings.ReplaceAll(text, "%s", tt.declared)))
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			name := m.Segment(1).Field(5)
			if f, g := name.Component(1).Text(), name.Component(2).Text(); f != "Müller" || g != "丂张" {
				t.Errorf("PID-5 is %q, %q", f, g)
			}
			e, err := readEnvelope(raw)
			if err != nil || string(e.controlID()) != "1" || e.kind() != "ADT^A01" {
				t.Errorf("envelope: %v, control id %q, kind %q", err, e.controlID(), e.kind())
			}
		})
	}
}

func TestEnvelopeReadDoesNotAllocate(t *testing.T) {
	body := []byte(sampleADT)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := readEnvelope(body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParsingIntoUsedMemoryDoesNotAllocateAndForgetsWhatWasThere(t *testing.T) {
	body, m := []byte(sampleADT), &Message{}
	if err := m.read(body); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := m.read(body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	short := []byte("MSH|^~\\&|A\rPID|1\r")
	if err := m.read(short); err != nil || m.Len() != 2 || !bytes.Equal(rebuild(m), short) {
		t.Errorf("a short message after a long one is %q, %v", rebuild(m), err)
	}
}
