package tabular_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

// payroll has a gap of one character before amount.
var payroll = tree.Declaration{Columns: []tree.Column{
	{Name: "amount", Type: "decimal", Start: 16, Width: 8, Labels: tree.Secret},
	{Name: "emp_no", Type: "text", Start: 1, Width: 5, Labels: tree.Staff},
	{Name: "name", Type: "text", Start: 6, Width: 9, Labels: tree.Staff},
	{Name: "status", Type: "code", Start: 24, Width: 1, Labels: tree.Staff},
}}

func record(empNo, name, amount, status string) string {
	return fmt.Sprintf("%-5s%-9s %8s%s", empNo, name, amount, status)
}

func TestALineIsReadByItsColumns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, charset, line, want string }{
		{name: "all of it", line: record("10023", "Welby", "310000", "A") + "\r\n", want: "emp_no=10023\nname=Welby\namount=310000\nstatus=A"},
		{name: "blanks before a text are the text's", line: record("10023", "  Welby", "00310.50", "T"), want: "emp_no=10023\nname=  Welby\namount=00310.50\nstatus=T"},
		{name: "a column of blanks is absent", line: record("10023", "", "", "A"), want: "emp_no=10023\nstatus=A"},
		{name: "a short line goes on with blanks", line: "10023Wel", want: "emp_no=10023\nname=Wel"},
		{name: "a short line may end between the columns", line: "10023Welby    \n", want: "emp_no=10023\nname=Welby"},
		{name: "blanks behind the last column", line: record("10023", "Welby", "1", "A") + "    ", want: "emp_no=10023\nname=Welby\namount=1\nstatus=A"},
		{name: "characters are counted, not bytes", line: record("10023", "Müßiggäng", "1", "A"), want: "emp_no=10023\nname=Müßiggäng\namount=1\nstatus=A"},
		{name: "Windows-1252", charset: "windows-1252", line: strings.Replace(record("10023", "M?ller", "1", "A"), "?", "\xfc", 1), want: "emp_no=10023\nname=Müller\namount=1\nstatus=A"},
		{name: "a mark before it", charset: "windows-1252", line: "\ufeff10023Mü", want: "emp_no=10023\nname=Mü"},
		{name: "nothing at all", line: "\n", want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			decl := payroll
			decl.Charset = tt.charset
			m, err := dialect(t, tabular.Fixed{}, decl).Decode([]byte(tt.line), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := treetest.Dump(m.Root); got != tt.want {
				t.Errorf("the tree is\n%s\nwant\n%s", got, tt.want)
			}
			text := strings.Replace(tt.line, "\xfc", "ü", 1)
			for _, k := range m.Root.Kids {
				if k.Pos.Line != 1 || !strings.HasPrefix(text[k.Pos.Offset:], k.Text) {
					t.Errorf("%s stands at %+v", k.Name, k.Pos)
				}
			}
		})
	}
}

func TestALineOfAnotherLayoutIsRefused(t *testing.T) {
	t.Parallel()
	d := dialect(t, tabular.Fixed{}, payroll)
	for _, tt := range []struct{ name, line, want string }{
		{"one character too many in a column", "10023WelbyMarcusX  310000A", "characters 15 to 15 are not blank"},
		{"something behind the last column", record("10023", "Welby", "1", "A") + " 900-22", "characters 25 to 31 are not blank"},
		{"two lines", "10023\n10024\n", "several lines"},
		{"bytes that are no UTF-8", "10023M\xfcller", "byte 6 is not UTF-8"},
		{"far too long", strings.Repeat(" ", 1<<20+1), "at most"},
	} {
		_, err := d.Decode([]byte(tt.line), nil)
		if err == nil || !strings.HasPrefix(err.Error(), "decode fixed: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: the error is %v, want %s", tt.name, err, tt.want)
		}
	}
	west := payroll
	west.Charset = "windows-1252"
	if _, err := dialect(t, tabular.Fixed{}, west).Decode([]byte("10023\x81"), nil); err == nil || !strings.Contains(err.Error(), "byte 5 is no character of windows-1252") {
		t.Errorf("%v", err)
	}
}

func TestAFileOfLinesIsSplit(t *testing.T) {
	t.Parallel()
	decl := payroll
	decl.Charset = "windows-1252"
	d := dialect(t, tabular.Fixed{}, decl)
	parts := split(t, d, "\ufeff10023Mü\r\n\n   \n10024Roe")
	if len(parts) != 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, want := range []string{"emp_no=10023\nname=Mü", "emp_no=10024\nname=Roe"} {
		m, err := d.Decode(parts[i], tree.Selection{"": {"emp_no": true, "name": true}})
		if err != nil || treetest.Dump(m.Root) != want {
			t.Errorf("part %d: %v", i+1, err)
		}
	}
	if m, _ := d.Decode(parts[0], tree.Selection{"": {"name": true}}); treetest.Dump(m.Root) != "name=Mü" {
		t.Error("more than what is selected")
	}
	for _, body := range []string{strings.Repeat("x", 1<<20+1), strings.Repeat("\n", 64<<20+1)} {
		if _, err := d.(tree.Splitter).Split([]byte(body)); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%v", err)
		}
	}
}

func TestDeclarationsOfFixedWidth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want string
		d    tree.Declaration
	}{
		{"no columns", tree.Declaration{}},
		{"have no delimiter", tree.Declaration{Delimiter: ";", Columns: payroll.Columns}},
		{"a needs a start", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "text", Width: 2}}}},
		{"a needs a start", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "text", Start: 2}}}},
		{"a needs a start", tree.Declaration{Columns: []tree.Column{{Name: "a", Type: "text", Start: 1, Width: 1 << 20}}}},
		{"a and b overlap at character 3", tree.Declaration{Columns: []tree.Column{{Name: "b", Type: "text", Start: 3, Width: 2}, {Name: "a", Type: "text", Start: 1, Width: 3}}}},
	} {
		if _, err := (tabular.Fixed{}).Dialect(tt.d); err == nil || !strings.HasPrefix(err.Error(), "fixed: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

func FuzzFixed(f *testing.F) {
	for _, s := range []string{"10023Welby\n", record("1", "Müller", " 1.5 ", "A"), "\ufeff1\n\n2\xff\r\n"} {
		f.Add([]byte(s))
	}
	d := dialect(f, tabular.Fixed{}, payroll)
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		parts, err := d.(tree.Splitter).Split(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the file was changed")
		}
		if err != nil {
			return
		}
		for _, p := range parts {
			m, err := d.Decode(p, nil)
			if err != nil {
				continue
			}
			for _, k := range m.Root.Kids {
				if !strings.HasPrefix(string(p[k.Pos.Offset:]), k.Text) || k.Text == "" {
					t.Fatalf("%s does not stand at its place", k.Name)
				}
			}
		}
	})
}
