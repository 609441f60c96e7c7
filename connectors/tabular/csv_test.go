package tabular_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

func columns(names ...string) (out []tree.Column) {
	for _, n := range names {
		out = append(out, tree.Column{Name: n, Type: "text", Labels: tree.Staff})
	}
	return out
}

func dialect(t testing.TB, f tree.Format, d tree.Declaration) tree.Dialect {
	t.Helper()
	out, err := f.Dialect(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func split(t testing.TB, d tree.Dialect, file string) [][]byte {
	t.Helper()
	parts, err := d.(tree.Splitter).Split([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

const extract = `emp_no;last_name;first_name;email;phone;job_title;dept_code;dept_name;manager_no;hire_date;term_date;term_reason;status;npi;salary;ssn
10023;Welby;Marcus;M.Welby@North.example;+1 510 5550001;ATTENDING PHYSICIAN;ICU;Intensive Care;10001;03/15/2011;;;A;NPI 1234567893;310000;900-22-3344
10077;Ratched;Mildred;;;CHARGE NURSE;ICU;;10023;07/01/2014;05/31/2026;RET;T;;98000;900-22-3345
10099;Doe;John;;;TEMP;;;;2026-01-01;;;A;;;
`

func TestAnExtractOfEmployeesIsReadRowByRow(t *testing.T) {
	t.Parallel()
	header, _, _ := strings.Cut(extract, "\n")
	d := dialect(t, tabular.CSV{}, tree.Declaration{Delimiter: ";", Columns: columns(strings.Split(header, ";")...)})
	rows := split(t, d, extract)
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	m, err := d.Decode(rows[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "emp_no=10077\nlast_name=Ratched\nfirst_name=Mildred\njob_title=CHARGE NURSE\ndept_code=ICU\nmanager_no=10023\nhire_date=07/01/2014\nterm_date=05/31/2026\nterm_reason=RET\nstatus=T\nsalary=98000\nssn=900-22-3345"
	if got := treetest.Dump(m.Root); got != want || m.Format != "csv" {
		t.Errorf("%s:\n%s\nwant\n%s", m.Format, got, want)
	}
	if p := m.Root.First("status").Pos; p.Line != 2 || rows[1][p.Offset] != 'T' {
		t.Errorf("status stands at %+v", p)
	}
}

func TestCellsOfRFC4180(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, delimiter, charset, message, want string }{
		{name: "plain", message: "a,b,c\n1,2,3", want: "a=1\nb=2\nc=3"},
		{name: "the columns in another order", message: "c,a,b\n1,2,3\n", want: "c=1\na=2\nb=3"},
		{name: "a quote, a comma and a line break in quotes", message: "a,b,c\r\n\"x\"\"y\",\"p,q\",\"l\r\nm\"\r\n", want: "a=x\"y\nb=p,q\nc=l\nm"},
		{name: "an empty cell is absent, in quotes too", message: "a,b,c\n,\"\",3", want: "c=3"},
		{name: "blanks belong to the cell", message: "a,b,c\n 1 , ,3", want: "a= 1 \nb= \nc=3"},
		{name: "names in quotes", message: "\"a\",\"b\",c\n1,2,3", want: "a=1\nb=2\nc=3"},
		{name: "a mark before the header", message: "\ufeff\"a\",b,c\n1,2,3", want: "a=1\nb=2\nc=3"},
		{name: "tab", delimiter: "\t", message: "a\tb\tc\n1\t2,0\t3", want: "a=1\nb=2,0\nc=3"},
		{name: "bar", delimiter: "|", message: "a|b|c\n1|2|3", want: "a=1\nb=2\nc=3"},
		{name: "blank lines", message: "\na,b,c\n\n1,2,3\n\n", want: "a=1\nb=2\nc=3"},
		{name: "UTF-8", message: "a,b,c\nMüller,2,3", want: "a=Müller\nb=2\nc=3"},
		{name: "Windows-1252", charset: "Windows-1252", message: "a,b,c\nM\xfcller,\x80 2,3", want: "a=Müller\nb=€ 2\nc=3"},
		{name: "Windows-1252 that is ASCII", charset: "windows-1252", message: "a,b,c\n1,2,3", want: "a=1\nb=2\nc=3"},
		{name: "UTF-8 by its mark, whatever is declared", charset: "windows-1252", message: "\ufeffa,b,c\nMüller,2,3", want: "a=Müller\nb=2\nc=3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := dialect(t, tabular.CSV{}, tree.Declaration{Delimiter: tt.delimiter, Charset: tt.charset, Columns: columns("a", "b", "c")})
			for _, body := range [][]byte{[]byte(tt.message), split(t, d, tt.message)[0]} {
				m, err := d.Decode(body, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := treetest.Dump(m.Root); got != tt.want {
					t.Errorf("the tree is\n%s\nwant\n%s", got, tt.want)
				}
			}
		})
	}
}

func TestPositionsAreThoseOfTheMessage(t *testing.T) {
	t.Parallel()
	d := dialect(t, tabular.CSV{}, tree.Declaration{Columns: columns("a", "b", "c")})
	body := "\ufeffa,b,c\r\n1,\"x\r\ny\",3"
	m, err := d.Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]tree.Pos{"a": {Line: 2, Offset: strings.Index(body, "1")}, "b": {Line: 2, Offset: strings.Index(body, `"`)}, "c": {Line: 3, Offset: strings.Index(body, "3")}} {
		if got := m.Root.First(name).Pos; got != want {
			t.Errorf("%s stands at %+v, want %+v", name, got, want)
		}
	}
}

func TestOnlySelectedColumnsAreInTheTree(t *testing.T) {
	t.Parallel()
	d := dialect(t, tabular.CSV{}, tree.Declaration{Columns: columns("a", "b", "c")})
	m, err := d.Decode([]byte("a,b,c\n1,2,3"), tree.Selection{"": {"b": true}})
	if err != nil || treetest.Dump(m.Root) != "b=2" {
		t.Errorf("%v, %s", err, treetest.Dump(m.Root))
	}
}

func TestTheHeaderMustBeTheDeclaredOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, header, want string }{
		{"a column is missing", "a,c,d", "column b is missing"},
		{"a column is new", "a,b,c,d,pay grade", "column pay grade is not declared"},
		{"a column is there twice", "a,b,a,c,d", "column a is there twice"},
		{"all of it", "a,a,x,d,c", "column a is there twice, column b is missing, column x is not declared"},
		{"another case is another column", "A,b,c,d", "column a is missing, column A is not declared"},
		{"a column without a name", "a,b,,c,d", "column number 3 is not declared"},
		{"a row where the header should be", "Welby,Marcus,900-22-3344", "names none of the declared columns"},
		{"another delimiter", "a;b;c;d", "names none of the declared columns"},
		{"a row that has the name of a column in it by chance", "Welby,a,900-22-3344", "of the 3 columns in the header 2 are not declared"},
		{"line ends that nobody reads", "a,b,c,d\rWelby,2", "a control character"},
		{"nothing", "", "the header is missing"},
		{"a quote too many", "a,b\"x,c,d", "bare"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := dialect(t, tabular.CSV{}, tree.Declaration{Columns: columns("a", "b", "c", "d")})
			_, err := d.Decode([]byte(tt.header+"\n1,2,3,4\n"), nil)
			if tt.header == "" {
				_, err = d.Decode(nil, nil)
			}
			_, splitErr := d.(tree.Splitter).Split([]byte(tt.header))
			for _, err := range []error{err, splitErr} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("the error is %v, want %s", err, tt.want)
				} else if strings.Contains(err.Error(), "Welby") || strings.Contains(err.Error(), "900") {
					t.Errorf("the error has a value in it: %v", err)
				}
			}
		})
	}
}

func TestARowThatIsWrongIsItsOwnError(t *testing.T) {
	t.Parallel()
	d := dialect(t, tabular.CSV{}, tree.Declaration{Columns: columns("a", "b")})
	parts := split(t, d, "a,b\n1,2\n1,2,3\n1\nx\"y,2\n\"x\"y,2\n7,8\n \xff,8\n")
	want := []string{"", "line 2: 3 cells where the header has 2 columns", "line 2: 1 cells", `bare " in non-quoted`, `extraneous or missing "`, "", "byte 5 is not UTF-8"}
	if len(parts) != len(want) {
		t.Fatalf("%d parts", len(parts))
	}
	for i, p := range parts {
		if _, err := d.Decode(p, nil); (err == nil) != (want[i] == "") || err != nil && !strings.Contains(err.Error(), want[i]) {
			t.Errorf("row %d: %v, want %q", i+1, err, want[i])
		}
	}
	for _, tt := range []struct{ body, want string }{
		{"a,b", "no row"}, {"a,b\n1,2\n3,4", "several rows"}, {"a,b\n1,\"2", `missing "`},
		{strings.Repeat(" ", 3<<20), "at most"},
	} {
		if _, err := d.Decode([]byte(tt.body), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

func TestAFileIsRefusedWhereRowsCanNotBeToldApart(t *testing.T) {
	t.Parallel()
	d := dialect(t, tabular.CSV{}, tree.Declaration{Columns: columns("a", "b")})
	for body, want := range map[string]string{
		"a,b\n1,2\n\"x,3\n4,5\n":                   "a quote is never closed",
		"a,b\n" + strings.Repeat("x", 1<<20) + ",": "over 1048576 bytes",
		strings.Repeat("\n", 64<<20+1):             "at most",
	} {
		if _, err := d.(tree.Splitter).Split([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if rows := split(t, d, "a,b\n,\n\"\",\n1,2\n"); len(rows) != 1 {
		t.Errorf("%d rows, and two have nothing in them", len(rows))
	}
}

func TestDeclarationsOfCSV(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want string
		d    tree.Declaration
	}{
		{"no columns", tree.Declaration{}},
		{"no delimiter \"x\"", tree.Declaration{Delimiter: "x", Columns: columns("a")}},
		{"no charset \"ebcdic\"; there are: utf-8", tree.Declaration{Charset: "ebcdic", Columns: columns("a")}},
		{"has columns, and no version", tree.Declaration{Version: "1", Columns: columns("a")}},
		{"a is declared twice", tree.Declaration{Columns: columns("a", "a")}},
		{"a is an object", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "object"}}}},
		{"a repeats", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "text", Repeats: true}}}},
		{"a has a start or a width", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "text", Start: 1}}}},
		{"a has a start or a width", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "text", Width: 1}}}},
	} {
		if _, err := (tabular.CSV{}).Dialect(tt.d); err == nil || !strings.HasPrefix(err.Error(), "csv") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	d := dialect(t, tabular.CSV{}, tree.Declaration{Columns: []tree.Column{{Name: "hired", Type: "date", Layout: "MM/DD/YYYY", Labels: tree.Staff}}})
	root, err := d.Schema("")
	if err != nil {
		t.Fatal(err)
	}
	if e := root.Element("hired"); e.Type.Kind != tree.Date || e.Layout != "MM/DD/YYYY" || e.Labels != tree.Staff {
		t.Errorf("%+v", e)
	}
	if got := d.Structures(nil); len(got) != 1 || got[0] != "" {
		t.Errorf("%q", got)
	}
}

// corpusFiles are what VAGUS_CORPORA has of files that nobody here wrote.
func corpusFiles(t testing.TB) []string {
	t.Helper()
	root := os.Getenv("VAGUS_CORPORA")
	if root == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(root, "hr/adventureworks/*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CSV files in VAGUS_CORPORA: %v", err)
	}
	return files
}

// Files without a header and with tabs: every row is read whole once it has one.
func TestRowsOfForeignFilesKeepTheirCells(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"own": []byte("1\tBilling\tB84F\t2019-04-30\n2\tHome\t\t2019-04-30\n")}
	for _, name := range corpusFiles(t) {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.ContainsAny(body, "\"\xfe\xff") && bytes.Contains(body, []byte("\t")) {
			files[filepath.Base(name)] = body
		}
	}
	for name, body := range files {
		first, _, _ := bytes.Cut(bytes.TrimPrefix(body, []byte("\ufeff")), []byte("\n"))
		var names []string
		for i := range bytes.Count(first, []byte("\t")) + 1 {
			names = append(names, fmt.Sprintf("c%d", i+1))
		}
		d := dialect(t, tabular.CSV{}, tree.Declaration{Delimiter: "\t", Charset: "windows-1252", Columns: columns(names...)})
		rows := split(t, d, strings.Join(names, "\t")+"\n"+string(bytes.TrimPrefix(body, []byte("\ufeff"))))
		if want := bytes.Count(bytes.TrimRight(body, "\r\n"), []byte("\n")) + 1; len(rows) != want {
			t.Errorf("%s: %d rows, want %d", name, len(rows), want)
		}
		for i, row := range rows {
			m, err := d.Decode(row, nil)
			if err != nil {
				t.Fatalf("%s, row %d: %v", name, i+1, err)
			}
			_, cells, _ := strings.Cut(strings.TrimRight(string(row), "\r\n"), "\n")
			want := 0
			for _, c := range strings.Split(cells, "\t") {
				if c != "" {
					want++
				}
			}
			if len(m.Root.Kids) != want {
				t.Fatalf("%s, row %d: %d cells, want %d", name, i+1, len(m.Root.Kids), want)
			}
		}
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{extract, "a;b\n1;2\n", "\ufeff\"a\";b\r\n\"x\"\"\r\ny\";\n;\n", "a;b\n\"x;1\n", "a;b\nx\"y;2\n\xff;1\n"} {
		f.Add([]byte(s))
	}
	d := dialect(f, tabular.CSV{}, tree.Declaration{Delimiter: ";", Columns: columns("a", "b")})
	west := dialect(f, tabular.CSV{}, tree.Declaration{Delimiter: ";", Charset: "windows-1252", Columns: columns("a", "b")})
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		for _, d := range []tree.Dialect{d, west} {
			_, _ = d.Decode(body, nil)
			parts, err := d.(tree.Splitter).Split(body)
			if !bytes.Equal(before, body) {
				t.Fatal("the file was changed")
			}
			if err != nil {
				continue
			}
			for _, p := range parts {
				m, err := d.Decode(p, nil)
				if err != nil {
					if again, err := d.(tree.Splitter).Split(p); err == nil && len(again) > 1 {
						t.Fatalf("a row is %d rows", len(again))
					}
					continue
				}
				if len(m.Root.Kids) == 0 || len(m.Root.Kids) > 2 {
					t.Fatalf("%d cells", len(m.Root.Kids))
				}
			}
		}
	})
}

func BenchmarkDecodeCSV(b *testing.B) {
	header, _, _ := strings.Cut(extract, "\n")
	d := dialect(b, tabular.CSV{}, tree.Declaration{Delimiter: ";", Columns: columns(strings.Split(header, ";")...)})
	row := split(b, d, extract)[0]
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(row, nil); err != nil {
			b.Fatal(err)
		}
	}
}
