package workbench

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/connectors/dicom"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/ldap"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/scim"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/tree"
)

var update = flag.Bool("update", false, "write the golden files anew")

const adt = "examples/north/01-hl7-adt/adt-patient"

// shipped is a bench over the mappings that the program ships.
func shipped() Bench {
	return Bench{FS: os.DirFS("../../../mappings"), Formats: []tree.Format{hl7.NewFormat(), fhir.NewFormat(), tabular.CSV{}, tabular.Fixed{}, webhook.Format{}, x12.Format{}, scim.Format{}, ldap.Format{}, dicom.Format{}, odoo.Format{}}}
}

// changed is shipped with one file changed: old becomes new, which must happen.
func changed(t *testing.T, name string, oldNew ...string) Bench {
	t.Helper()
	b := shipped()
	text := string(read(t, b, name))
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			t.Fatalf("%s has no %q", name, oldNew[i])
		}
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return b.With(map[string][]byte{name: []byte(text)})
}

func read(t *testing.T, b Bench, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(b.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// printed is what a report prints on a screen of 100 characters.
func printed(print func(Screen)) string {
	var b bytes.Buffer
	print(Screen{W: &b, Width: 100})
	return milliseconds.ReplaceAllString(b.String(), "N$1")
}

var milliseconds = regexp.MustCompile(`[\d.]+( ms| s of work)`)

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run with -update and read what it writes", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

func TestJobsAreHandedOnInTheirOrder(t *testing.T) {
	t.Parallel()
	var got []int
	if err := inOrder(t.Context(), 100, func(i int) int { return i * i }, func(i, r int) {
		if r != i*i {
			t.Errorf("job %d gave %d", i, r)
		}
		got = append(got, i)
	}); err != nil || len(got) != 100 || got[99] != 99 {
		t.Errorf("%v, %v", err, got)
	}
	ctx, stop := context.WithCancel(t.Context())
	err := inOrder(ctx, 1000, func(i int) int {
		if i == 3 {
			stop()
		}
		return i
	}, func(int, int) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestATableFitsTheScreen(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("wort ", 30)
	rows := [][]cell{{{"name", bold}, {long, plain}, {strings.Repeat("x", 70), faint}}, {{"x", plain}, {"short", plain}, {"", plain}}}
	for _, width := range []int{60, 80, 120} {
		var b bytes.Buffer
		Screen{W: &b, Width: width}.table("  ", rows, 1, 2)
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
		if got := strings.Count(b.String(), "wort"); got != 30 {
			t.Errorf("width %d: %d words of 30", width, got)
		}
	}
	var colour bytes.Buffer
	Screen{W: &colour, Colour: true}.table("", [][]cell{{{"a\x1b[31mb", red}}})
	if colour.String() != "\x1b[31ma·[31mb\x1b[0m\n" {
		t.Errorf("a message moves the cursor: %q", colour.String())
	}
}

func TestValuesAreShortenedWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200)
	for _, c := range []struct{ want, got, wantShown, gotShown string }{
		{"x", "y", "x", "y"},
		{"", `"y"`, "(nothing)", `"y"`},
		{long + "b" + long, long + "c" + long, "…" + strings.Repeat("a", lead) + "b" + strings.Repeat("a", 13) + "…", "…" + strings.Repeat("a", lead) + "c" + strings.Repeat("a", 13) + "…"},
		{long, "", strings.Repeat("a", 39) + "…", "(nothing)"},
	} {
		if w, g := apart(c.want, c.got, 40); w != c.wantShown || g != c.gotShown {
			t.Errorf("%q %q became\n%q\n%q", c.want, c.got, w, g)
		}
	}
}

func TestAFormatIsKnownByTheMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, format, version string }{
		{"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.4\rPID|1\r", "hl7v2", "2.4"},
		{"\v\nMSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5.1^X", "hl7v2", "2.5.1"},
		{"ISA*00*          *00*          *ZZ*AAAAAAAAAAAAAAA*ZZ*BBBBBBBBBBBBBBB*260101*1200*^*00501*000000001*0*P*:~GS*HP*A*B*20260101*1200*1*X*005010X221A1~", "x12", "005010X221A1"},
		{`{"resourceType": "Patient"}`, "fhir", "4.0.1"},
		{`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]}`, "scim", ""},
		{"a,b\n1,2\n", "", ""},
		{"", "", ""},
	} {
		if f, v := detect([]byte(c.body)); f != c.format || v != c.version {
			t.Errorf("%.20q is %q %q", c.body, f, v)
		}
	}
	if _, _, _, err := shipped().Open(Source{}, []byte("a,b")); err == nil || !strings.Contains(err.Error(), "--format") {
		t.Error(err)
	}
	if _, _, v, err := shipped().Open(Source{}, []byte("MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|9.9\r")); err != nil || v != "2.5.1" {
		t.Error(v, err)
	}
}
