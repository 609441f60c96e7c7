package fhir_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"

	"github.com/vagus-health/vagus/internal/tree"
)

// oracle is Google's reader, which validates: types, cardinality, required
// codes, the forms of primitives, targets of references.
func oracle(t testing.TB) *jsonformat.Unmarshaller {
	t.Helper()
	u, err := jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWhatIsWrittenIsValidToAnotherReader(t *testing.T) {
	t.Parallel()
	u, d := oracle(t), dialect(t)
	written := 0
	for name, body := range corpus(t) {
		if _, err := u.Unmarshal(body); err != nil || bytes.Count(body, []byte(`"Bundle"`)) > 1 {
			continue // not valid before
		}
		encoded, err := again(d, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := u.Unmarshal(encoded); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		written++
	}
	t.Logf("%d messages are valid again", written)
	if written == 0 {
		t.Error("nothing was written")
	}
}

func again(d tree.Dialect, body []byte) ([]byte, error) {
	m, err := d.Decode(body, nil)
	if err != nil {
		return nil, err
	}
	return d.(tree.Encoder).Encode(m)
}

// primitives are values of each primitive type that the standard allows; the
// corpus has more of them.
var primitives = map[string][]string{
	"Boolean": {"true", "false"}, "Decimal": {"1.10", "-0.0", "1e-3", "0.000000000000000001"}, "Integer": {"0", "-7"},
	"Date": {`"1984"`, `"1984-02"`, `"1984-02-29"`}, "DateTime": {`"1984"`, `"1984-02-29T04:10:00.123456+05:30"`}, "String": {`"a\tb"`, `"\u00e9"`},
}

func TestPrimitivesKeepTheirText(t *testing.T) {
	t.Parallel()
	values := map[string][]string{}
	for typ, list := range primitives {
		values[typ] = append(values[typ], list...)
	}
	if root := os.Getenv("VAGUS_CORPORA"); root != "" {
		files, err := filepath.Glob(filepath.Join(root, "fhir", "primitive-validation", "*.valid.ndjson"))
		if err != nil || len(files) < 15 {
			t.Fatalf("the corpus has %d files of primitives: %v", len(files), err)
		}
		for _, file := range files {
			words := strings.Split(strings.TrimSuffix(filepath.Base(file), ".valid.ndjson"), "_")
			for i, w := range words {
				words[i] = strings.ToUpper(w[:1]) + w[1:]
			}
			values[strings.Join(words, "")] = strings.Split(strings.TrimSpace(string(readFile(t, file))), "\n")
		}
	}
	count := 0
	for typ, list := range values {
		for _, value := range list {
			body := `{"resourceType":"Basic","extension":[{"url":"u","value` + typ + `":` + value + `}]}`
			if typ == "Xhtml" {
				body = `{"resourceType":"Basic","text":{"div":` + value + `}}`
			}
			m, err := dialect(t).Decode([]byte(body), nil)
			if err != nil {
				t.Errorf("%s %s: %v", typ, value, err)
				continue
			}
			n := m.Root.Kids[0]
			for len(n.Kids) > 0 {
				n = n.Kids[len(n.Kids)-1]
			}
			want := strings.TrimPrefix(value, `"`)
			if want = strings.TrimSuffix(want, `"`); strings.Contains(want, `\`) || strings.HasPrefix(value, "{") || want == "" {
				continue
			}
			if value == "null" {
				want = ""
			}
			if n.Text != want {
				t.Errorf("%s %s has become %q", typ, value, n.Text)
			}
			count++
		}
	}
	t.Logf("%d values of %d types", count, len(values))
}
