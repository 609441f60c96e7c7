package workbench

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

func scrubber(t testing.TB, body []byte) *Scrubber {
	d, format, _, err := shipped().Open(Source{}, body)
	if err != nil {
		t.Fatal(err)
	}
	return &Scrubber{Dialect: d, Format: format, Key: []byte("a key of the test"), Keep: KeptLabels}
}

const person = "MSH|^~\\&|EPIC|NORTH|BROKER|HQ|20260314091522-0500||ADT^A08^ADT_A01|MSG1|P|2.5.1\r" +
	"PID|1||0071123^^^NORTH^MR~900112233^^^SSA^SS||Müller\\T\\Söhne^Siobhan^^^Ms.^^L||19840229|F||2028-9|12 Harbor Blvd.^Apt 7^Oakland^CA^94607-1020^USA^H||(510)555-1234^PRN^PH~^NET^Internet^Jo.Doe@example.org|||M||ACC778812|900-11-2233||||||||||\"\"\r" +
	"NK1|1|Müller\\T\\Söhne^Bo|MTH^Mother\r" +
	"OBX|1|FT|X^Note||Seen with Jo Doe\\.br\\on 3 May 2026||||||F\r" +
	"ZPI|1|Secret42|19770101\r"

// shape is what stays of a text.
func shape(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			return '9'
		case unicode.IsUpper(r):
			return 'A'
		case unicode.IsLower(r):
			return 'a'
		}
		return r
	}, s)
}

func TestAScrubbedMessageHasTheShapeAndNotThePerson(t *testing.T) {
	t.Parallel()
	s := scrubber(t, []byte(person))
	done, err := s.Scrub([]byte(person))
	if err != nil {
		t.Fatal(err)
	}
	out := string(done.Body)
	if utf8.RuneCountInString(out) != utf8.RuneCountInString(person) {
		t.Errorf("%d characters became %d", utf8.RuneCountInString(person), utf8.RuneCountInString(out))
	}
	was, is := strings.Split(person, "\r"), strings.Split(out, "\r")
	for i := range was {
		if i == 1 || i == 2 { // codes of tables may be as long and of another case
			continue
		}
		if shape(was[i]) != shape(is[i]) {
			t.Errorf("another shape:\n%s\n%s", was[i], is[i])
		}
	}
	for _, gone := range []string{"Müller", "Söhne", "Siobhan", "0071123", "900112233", "Harbor", "Oakland", "94607", "555", "Jo.Doe", "ACC778812", "2233", "19840229", "20260314", "Seen", "May", "Secret42", "19770101", "Mother"} {
		if strings.Contains(out, gone) {
			t.Errorf("%q is still there:\n%s", gone, strings.ReplaceAll(out, "\r", "\n"))
		}
	}
	for _, stays := range []string{"MSH|^~\\&|EPIC|", "||ADT^A08^ADT_A01|MSG1|P|2.5.1\r", "^MR~", "^SS|", "^^L|", "^USA^H|", "^PRN^PH~^NET^Internet^", "\\T\\", "\\.br\\", `|""` + "\r", "@", "OBX|1|FT|"} {
		if !strings.Contains(out, stays) {
			t.Errorf("%q is gone:\n%s", stays, strings.ReplaceAll(out, "\r", "\n"))
		}
	}
	pid, nk1 := strings.Split(is[1], "|"), strings.Split(is[2], "|")
	if family, _, _ := strings.Cut(pid[5], "^"); !strings.HasPrefix(nk1[2], family+"^") {
		t.Errorf("one family has two names: %s and %s", pid[5], nk1[2])
	}
	if pid[3][:2] != "00" || pid[3][2] == '0' {
		t.Errorf("leading zeros of %s", pid[3])
	}
	if !strings.Contains(is[0], "|"+strings.Split(pid[3], "^")[3]+"|") {
		t.Errorf("the facility is the assigning authority no more: %s and %s", is[0], pid[3])
	}
	born, err := time.Parse("20060102", pid[7])
	sent, err2 := time.Parse("20060102150405-0700", strings.Split(is[0], "|")[6])
	if err != nil || err2 != nil || sent.Sub(born) < 0 || int(sent.Sub(born).Hours()/24) != 15354 {
		t.Errorf("the dates have moved apart: %s and %s: %v days", pid[7], strings.Split(is[0], "|")[6], sent.Sub(born).Hours()/24)
	}
	again, err := s.Scrub([]byte(person))
	if err != nil || !bytes.Equal(again.Body, done.Body) {
		t.Error("the same key gives another result")
	}
	s.Key = []byte("another key of the test")
	other, err := s.Scrub([]byte(person))
	if err != nil || bytes.Equal(other.Body, done.Body) {
		t.Error("another key gives the same result")
	}
	s.Keep |= tree.Name | tree.Demographic
	if kept, err := s.Scrub([]byte(person)); err != nil || !bytes.Contains(kept.Body, []byte("Siobhan")) {
		t.Errorf("names were to be kept: %v", err)
	}
}

func TestAValueIsReplacedAlikeInEveryMessage(t *testing.T) {
	t.Parallel()
	one, two := person, strings.Replace(person, "MSG1", "MSG2", 1)
	s := scrubber(t, []byte(person))
	a, err := s.Scrub([]byte(one))
	b, err2 := s.Scrub([]byte(two))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	name := func(body []byte) string { return strings.Split(strings.Split(string(body), "\r")[1], "|")[3] }
	if name(a.Body) != name(b.Body) {
		t.Errorf("%s and %s", name(a.Body), name(b.Body))
	}
}

func TestWhatNothingDescribesIsReplacedInJSON(t *testing.T) {
	t.Parallel()
	const patient = `{"resourceType": "Patient", "id": "p-4711", "x-note": "call Jo\u00eb Smith", "identifier": [{"use": "usual", "system": "urn:oid:1.2", "value": "MRN\"99"}],
 "name": [{"use": "official", "family": "Smith", "given": ["Joë"]}], "gender": "female", "birthDate": "1984-02-29", "deceasedBoolean": false, "active": true,
 "extension": [{"url": "http://h.example/x", "valueString": "Smith of Oakland"}], "unknown": {"deep": ["Smithers", 12345, null]}}`
	s := scrubber(t, []byte(patient))
	done, err := s.Scrub([]byte(patient))
	if err != nil {
		t.Fatal(err)
	}
	out := string(done.Body)
	for _, gone := range []string{"4711", "Smith", "Jo", "MRN", "1984-02", "Oakland", "12345", "call"} {
		if strings.Contains(out, gone) {
			t.Errorf("%q is still there:\n%s", gone, out)
		}
	}
	for _, stays := range []string{`"resourceType": "Patient"`, `"use": "usual"`, `"use": "official"`, `"urn:oid:1.2"`, `"x-note"`, `null]`} {
		if !strings.Contains(out, stays) {
			t.Errorf("%q is gone:\n%s", stays, out)
		}
	}
}

func TestDatesStayDates(t *testing.T) {
	t.Parallel()
	d := &disguise{key: []byte("k"), body: []byte("b")}
	for _, c := range []struct{ text, layout, form string }{
		{"20240229", "", "20060102"}, {"202402291530", "", "200601021504"}, {"20240229153000.123+0100", "", "20060102150405.000-0700"}, {"2024", "", "2006"}, {"202402", "", "200601"},
		{"2024-02-29", "", "2006-01-02"}, {"2024-02-29T15:30:00Z", "", time.RFC3339}, {"2024-02", "", "2006-01"},
		{"02/29/2024", "MM/DD/YYYY", "01/02/2006"}, {"29.2.24", "D.M.YY", "2.1.06"},
	} {
		l := leaf{layout: c.layout}
		l.text = c.text
		got := d.date(l)
		if _, err := time.Parse(c.form, got); err != nil || got == c.text || len(got) < len(c.text)-2 {
			t.Errorf("%s became %s: %v", c.text, got, err)
		}
	}
	l := leaf{}
	if l.text = "20249999"; shape(d.date(l)) != "99999999" || d.date(l) == l.text {
		t.Errorf("what is no date became %s", d.date(l))
	}
}

func TestAYearIsNeverTheSame(t *testing.T) {
	t.Parallel()
	for try := range 200 {
		l := leaf{}
		l.text = "1984"
		if got := (&disguise{key: []byte("k"), try: try}).date(l); got >= "1984" || got < "1978" {
			t.Errorf("1984 became %s", got)
		}
	}
}

func TestCharactersInEscapesGoToo(t *testing.T) {
	t.Parallel()
	body := strings.Replace(person, "Seen with Jo Doe", `Seen \X4A6F\ \H\Doe\N\`, 1)
	done, err := scrubber(t, []byte(body)).Scrub([]byte(body))
	if err != nil || bytes.Contains(done.Body, []byte("4A6F")) || !bytes.Contains(done.Body, []byte(`\H\`)) || bytes.Contains(done.Body, []byte("Doe")) {
		t.Errorf("%v\n%s", err, bytes.ReplaceAll(done.Body, []byte("\r"), []byte("\n")))
	}
}

func TestAFormatWithoutPlacesIsRefused(t *testing.T) {
	t.Parallel()
	s := scrubber(t, []byte(person))
	s.Format = "dicom"
	if _, err := s.Scrub([]byte(person)); err == nil || !strings.Contains(err.Error(), "can not be scrubbed") {
		t.Error(err)
	}
	latin := []byte(strings.Replace(person, "Siobhan", "Siobh\xe1n", 1))
	if _, err := scrubber(t, latin).Scrub(latin); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Error(err)
	}
}

func TestRowsAreScrubbedByTheirColumns(t *testing.T) {
	t.Parallel()
	b := shipped()
	body := read(t, b, "examples/north/07-hr/in-hr.csv")
	d, format, _, err := b.Open(Source{Mapping: "examples/north/07-hr/employees.map.yaml"}, body)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := split(d, body)
	if err != nil {
		t.Fatal(err)
	}
	s := Scrubber{Dialect: d, Format: format, Key: []byte("a key of the test"), Keep: KeptLabels}
	for _, part := range parts {
		done, err := s.Scrub(part)
		if err != nil {
			t.Fatal(err)
		}
		was, is := strings.SplitN(string(part), "\n", 2), strings.SplitN(string(done.Body), "\n", 2)
		if was[0] != is[0] || was[1] == is[1] || strings.Count(was[1], ",") != strings.Count(is[1], ",") {
			t.Errorf("%s\n%s", part, done.Body)
		}
	}
}

// TestTheCorpusIsScrubbed runs over real senders' messages where they are to be
// had, and over those of the examples everywhere.
func TestTheCorpusIsScrubbed(t *testing.T) {
	t.Parallel()
	dirs := []string{"../../../mappings"}
	if c := os.Getenv("VAGUS_CORPORA"); c != "" {
		dirs = append(dirs, filepath.Join(c, "hl7v2", "ms-fhir-converter"), filepath.Join(c, "fhir", "r4-examples"))
	}
	n, refused := 0, 0
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if ext := filepath.Ext(path); err != nil || d.IsDir() || ext != ".hl7" && !(ext == ".json" && strings.Contains(path, "fhir")) {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if f, _ := detect(body); f == "" {
				return nil
			}
			n++
			s := scrubber(t, body)
			done, err := s.Scrub(body)
			if err != nil {
				refused++
				t.Logf("%s: %v", path, err)
				return nil
			}
			if _, err := s.Dialect.Decode(done.Body, nil); err != nil {
				t.Errorf("%s is a message no more: %v", path, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 5 || refused*50 > n {
		t.Errorf("%d of %d messages are refused", refused, n)
	}
}

func FuzzScrub(f *testing.F) {
	f.Add([]byte(person))
	f.Add([]byte("MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5.1\rPID|1||\\X41\\|\\"))
	f.Add([]byte(`{"resourceType":"Patient","id":"a\"b","name":[{"family":"x"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, format, _, err := shipped().Open(Source{}, body)
		if err != nil {
			return
		}
		s := Scrubber{Dialect: d, Format: format, Key: []byte("a key of the test"), Keep: KeptLabels}
		done, err := s.Scrub(body)
		if err != nil {
			return
		}
		if _, err := d.Decode(done.Body, nil); err != nil {
			t.Errorf("%q became %q, which is no message: %v", body, done.Body, err)
		}
	})
}
