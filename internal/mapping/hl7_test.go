package mapping_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vagus-health/vagus/connectors/dicom"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/ldap"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/scim"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/mappings"
)

var formats = []tree.Format{dicom.Format{}, fhir.NewFormat(), hl7.NewFormat(), ldap.Format{}, odoo.Format{}, scim.Format{}, tabular.CSV{}, tabular.Fixed{}, webhook.Format{}, x12.Format{}}

// BenchmarkDecodeAndRunADT is BenchmarkRunADT from the bytes of the message on.
func BenchmarkDecodeAndRunADT(b *testing.B) {
	m, err := mapping.Load(mappings.FS, "examples/north/01-hl7-adt/adt-patient.map.yaml", formats)
	if err != nil {
		b.Fatal(err)
	}
	body, err := fs.ReadFile(mappings.FS, "examples/north/01-hl7-adt/in/a08.hl7")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	start, n := processorTime(), 0
	for b.Loop() {
		n++
		msg, err := m.Dialect.Decode(body, m.Reads())
		if err != nil {
			b.Fatal(err)
		}
		if res := m.Run(b.Context(), msg); len(res.Ops) != 3 {
			b.Fatal(res.Reason)
		}
	}
	b.ReportMetric(float64(processorTime()-start)/float64(n), "cpu-ns/op")
}

func processorTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// filesOf lists the files of mappings/ with this ending.
func filesOf(t *testing.T, fsys fs.FS, ending string) (out []string) {
	t.Helper()
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ending) {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("no *%s: %v", ending, err)
	}
	return out
}

// shipped are the mappings that we ship, each loaded once for all tests that only run them.
var shipped sync.Map

func loadShipped(file string) (*mapping.Mapping, error) {
	once, _ := shipped.LoadOrStore(file, sync.OnceValues(func() (*mapping.Mapping, error) {
		return mapping.Load(os.DirFS("../../mappings"), file, formats)
	}))
	return once.(func() (*mapping.Mapping, error))()
}

func TestAllMappingsThatWeShipLintCleanAndPassTheirTests(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	for _, name := range append(filesOf(t, fsys, ".map.yaml"), filesOf(t, fsys, ".test.yaml")...) {
		for _, i := range mapping.Lint(fsys, name, formats) {
			t.Error(i)
		}
	}
	for _, name := range filesOf(t, fsys, ".test.yaml") {
		failures(t, mapping.Test(t.Context(), fsys, name, formats, nil))
	}
}

// TestAMappingIsAPureFunction runs every case that we ship as four processes
// would, at once: each has loaded its own mapping, and decodes what it likes.
func TestAMappingIsAPureFunction(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	loadAnew := func(file string) (*mapping.Mapping, error) { return mapping.Load(fsys, file, formats) }
	seen := map[string]bool{}
	for _, name := range filesOf(t, fsys, ".test.yaml") {
		var workers [4][]mapping.CaseUnit
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				load := loadShipped
				if i == 0 {
					load = loadAnew
				}
				var err error
				if workers[i], err = mapping.CaseUnits(t.Context(), fsys, name, load, i%2 == 0, i < 2); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
		for i, units := range workers {
			if !reflect.DeepEqual(units, workers[0]) {
				t.Errorf("%s: worker %d makes\n%s\nand another\n%s", name, i, units, workers[0])
			}
			for _, u := range units {
				seen[u.Format] = true
				for _, verb := range u.Verbs {
					seen[verb] = true
				}
			}
		}
	}
	for _, want := range []string{"hl7v2", "x12", "fhir", "csv", "scim", "ldap", "dicom", "odoo", "upsert", "create", "update", "archive", "merge", "call", "emit"} {
		if !seen[want] {
			t.Errorf("no case has %s", want)
		}
	}
}

// failures reports what a test file found.
func failures(t *testing.T, rep mapping.Report) {
	t.Helper()
	for _, i := range rep.Issues {
		t.Error(i)
	}
	for _, c := range rep.Cases {
		for _, d := range c.Diff {
			t.Errorf("%s:%d: %s: %s", rep.File, c.Line, c.Name, d)
		}
	}
}

// TestAMappingReadsNothingBesidesWhatItSays blanks one field after the other
// of the messages that we ship, so that each is first, last or alone once.
func TestAMappingReadsNothingBesidesWhatItSays(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	all := 0
	for _, file := range filesOf(t, fsys, ".map.yaml") {
		m, err := loadShipped(file)
		if err != nil {
			t.Fatal(err)
		}
		if m.Format != "hl7v2" {
			continue
		}
		for _, input := range filesOf(t, fsys, ".hl7") {
			body, err := fs.ReadFile(fsys, input)
			if err != nil {
				t.Fatal(err)
			}
			if whole, err := m.Dialect.Decode(body, nil); err != nil {
				t.Fatal(err)
			} else if !m.Matches(whole) {
				continue
			}
			cut := bytes.FieldsFunc(body, func(r rune) bool { return r == '\r' || r == '\n' })
			for i, line := range cut[1:] {
				fields := bytes.Split(line, []byte("|"))
				for from := range fields {
					for _, to := range []int{from + 1, len(fields)} {
						blank := slices.Clone(fields)
						for n := max(from, 1); n < to; n++ {
							blank[n] = nil
						}
						message := slices.Clone(cut)
						message[i+1] = bytes.Join(blank, []byte("|"))
						all += sameWithout(t, m, bytes.Join(message, []byte("\r")))
					}
				}
			}
		}
	}
	if all < 500 {
		t.Errorf("only %d messages were mapped", all)
	}
}

// sameWithout maps a message decoded whole and decoded for the mapping.
func sameWithout(t *testing.T, m *mapping.Mapping, body []byte) (mapped int) {
	t.Helper()
	whole, err := m.Dialect.Decode(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	part, err := m.Dialect.Decode(body, m.Reads())
	if err != nil {
		t.Fatal(err)
	}
	want, got := m.Run(t.Context(), whole), m.Run(t.Context(), part)
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%s of\n%s\ngives %v %v, and of all fields %v %v", m.ID, body, got, got.Ops, want, want.Ops)
	}
	if want.Class != mapping.ClassNotMine {
		mapped++
	}
	return mapped
}

// TestAMappingOfAnyFormatReadsNothingBesidesWhatItSays maps the files of the
// examples, those of other formats than HL7 too.
func TestAMappingOfAnyFormatReadsNothingBesidesWhatItSays(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	for file, input := range map[string]string{
		"03-x12-835/remittance.map.yaml": "03-x12-835/in-835.edi",
		"09-fhir/bundle.map.yaml":        "09-fhir/in-bundle.json",
		"07-hr/employees.map.yaml":       "07-hr/in-hr.csv",
	} {
		m, err := mapping.Load(fsys, "examples/north/"+file, formats)
		if err != nil {
			t.Fatal(err)
		}
		body, err := fs.ReadFile(fsys, "examples/north/"+input)
		if err != nil {
			t.Fatal(err)
		}
		parts := [][]byte{body}
		if s, ok := m.Dialect.(tree.Splitter); ok {
			if parts, err = s.Split(body); err != nil {
				t.Fatal(err)
			}
		}
		mapped := 0
		for _, part := range parts {
			mapped += sameWithout(t, m, part)
		}
		if mapped == 0 {
			t.Errorf("%s maps nothing of %s", file, input)
		}
	}
}

func ExampleLoad() {
	m, err := mapping.Load(mappings.FS, "admissions/adt-patient.map.yaml", []tree.Format{hl7.Format{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	msg, err := m.Dialect.Decode([]byte("MSH|^~\\&|REG|NORTH|||20260314||ADT^A08|1|P|2.5.1\rPID|1||42^^^NORTH^MR||Doe^Sam\r"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	res := m.Run(context.Background(), msg)
	fmt.Println(res.Verdict, res.Ops[0].Do, res.Ops[0].XID, res.Ops[0].Vals["name"])
	// Output: apply upsert vagus.patient_NORTH_42 Sam Doe
}
