package tabular_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

var staff = tree.Declaration{Delimiter: ";", Columns: []tree.Column{
	{Name: "emp_no", Type: "text", Labels: tree.Staff},
	{Name: "name", Type: "text", Labels: tree.Staff},
	{Name: "salary", Type: "decimal", Labels: tree.Secret},
	{Name: "hired", Type: "date", Labels: tree.Staff},
}}

func receiver(t testing.TB, conf tabular.Config, decls ...tree.Declaration) *tabular.Receiver {
	t.Helper()
	var format tree.Format = tabular.CSV{}
	if conf.FormatName() == "fixed" {
		format = tabular.Fixed{}
	}
	var ds []tree.Dialect
	for _, d := range decls {
		ds = append(ds, dialect(t, format, d))
	}
	r, err := tabular.NewReceiver(broker.Origin{Tenant: "main", Site: "north", Feed: "staff"}, conf, func() []tree.Dialect { return ds })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A taken is what a receiver had accepted.
type taken struct {
	ms     []*broker.Message
	calls  int
	reject func(*broker.Message) error
}

func (k *taken) accept(_ context.Context, ms ...*broker.Message) error {
	k.calls++
	for _, m := range ms {
		if k.reject != nil {
			if err := k.reject(m); err != nil {
				return err
			}
		}
	}
	k.ms = append(k.ms, ms...)
	return nil
}

// file returns a file of staff, and receive what becomes of it.
func receive(t *testing.T, r broker.Receiver, k *taken, name string, body []byte) (broker.Receipt, tabular.Summary, error) {
	t.Helper()
	receipt, err := r.Receive(t.Context(), broker.Delivery{Name: name, At: time.Now(), Body: body}, k.accept)
	var s tabular.Summary
	if receipt.Ext == "summary.json" {
		if err := json.Unmarshal(receipt.Answer, &s); err != nil {
			t.Fatal(err)
		}
	}
	return receipt, s, err
}

const head = "emp_no;name;salary;hired\n"

func TestEachRowIsAMessage(t *testing.T) {
	t.Parallel()
	k := &taken{}
	r := receiver(t, tabular.Config{Kind: "employee"}, staff)
	file := "\ufeff" + head + "1;\"Jane\nDoe\";10.5;2026-01-02\n\n;;;\n2;Müller;;\n"
	receipt, s, err := receive(t, r, k, "staff.csv", []byte(file))
	if err != nil || receipt.Accepted != 2 || receipt.Refused != 0 || s.Accepted != 2 || k.calls != 1 {
		t.Fatalf("%+v %+v %v, %d calls", receipt, s, err, k.calls)
	}
	m := k.ms[1]
	if m.Format != "csv" || m.Kind != "employee" || !strings.HasSuffix(m.SenderID, "/2") || m.Group.Index != 1 || m.Group.Count != 2 || m.Group.ID != k.ms[0].Group.ID || m.ReceivedAt.IsZero() {
		t.Errorf("%+v", m)
	}
	if d, err := dialect(t, tabular.CSV{}, staff).Decode(m.Body, nil); err != nil || treetest.Dump(d.Root) != "emp_no=2\nname=Müller" {
		t.Errorf("%v %s", err, string(m.Body))
	}
}

func TestAFileThatComesAgainIsTheSameMessages(t *testing.T) {
	t.Parallel()
	ids := func(conf tabular.Config, name, body string) (out []string) {
		k := &taken{}
		if _, _, err := receive(t, receiver(t, conf, staff), k, name, []byte(body)); err != nil {
			t.Fatal(err)
		}
		for _, m := range k.ms {
			out = append(out, m.ID)
		}
		return out
	}
	monday := head + "1;Doe;;\n1;Doe;;\n"
	byContent, byName := tabular.Config{}, tabular.Config{Identity: "name"}
	first := ids(byContent, "monday.csv", monday)
	if first[0] == first[1] {
		t.Error("two equal rows are one message")
	}
	if !slices.Equal(first, ids(byContent, "again.csv", monday)) {
		t.Error("the same file is other messages")
	}
	if second := ids(byContent, "tuesday.csv", head+"1;Doe;;\n2;Roe;;\n"); second[0] == first[0] {
		t.Error("a row of another file is the same message: what goes back to what it was before would be lost")
	}
	if !slices.Equal(ids(byName, "monday.csv", monday), ids(byName, "monday.csv", monday)) || slices.Equal(ids(byName, "monday.csv", monday), ids(byName, "friday.csv", monday)) {
		t.Error("with identity: name the name does not count")
	}
}

func TestAWrongRowIsThatRowsErrorOnly(t *testing.T) {
	t.Parallel()
	refusal := func(row, line, column int, code string) tabular.Refusal {
		return tabular.Refusal{Row: row, Line: line, Column: column, Code: code}
	}
	for _, tt := range []struct {
		name, file string
		conf       tabular.Config
		decl       tree.Declaration
		accepted   int
		want       []tabular.Refusal
		reason     string
	}{
		{"cells that are missing", head + "1;Doe;;\n2;Roe\n3;Poe;;\n", tabular.Config{}, staff, 2, []tabular.Refusal{refusal(2, 3, 3, "csv.ragged")}, "salary and what follows is missing"},
		{"a cell too many, after a row of two lines", head + "1;\"D\noe\";;\n2;R;oe;;\n", tabular.Config{}, staff, 1, []tabular.Refusal{refusal(2, 4, 5, "csv.ragged")}, "5 cells"},
		{"a stray quote", head + "1;D\"oe;;\n2;Roe;;\n", tabular.Config{}, staff, 1, []tabular.Refusal{refusal(1, 2, 2, "csv.quote")}, "double it"},
		{"a byte that is no UTF-8", head + "1;D\xfce;;\n2;Roe;;\n", tabular.Config{}, staff, 1, []tabular.Refusal{refusal(1, 2, 2, "csv.charset")}, "name has a byte"},
		{"fixed width", "10023WelbyMarcusX  310000A\n10024Roe\n", tabular.Config{Format: "fixed"}, payroll, 1, []tabular.Refusal{refusal(1, 1, 15, "fixed.layout")}, "characters 15 to 15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &taken{}
			receipt, s, err := receive(t, receiver(t, tt.conf, tt.decl), k, "x", []byte(tt.file))
			if err != nil || receipt.Accepted != tt.accepted || len(k.ms) != tt.accepted || receipt.Refused != len(tt.want) || len(s.Rows) != len(tt.want) {
				t.Fatalf("%v %+v %+v", err, receipt, s)
			}
			for i, w := range tt.want {
				got := s.Rows[i]
				if !strings.Contains(got.Reason, tt.reason) || strings.Contains(got.Reason, "oe") {
					t.Errorf("the reason is %q", got.Reason)
				}
				if got.Reason = ""; got != w {
					t.Errorf("%+v, want %+v", got, w)
				}
			}
		})
	}
}

func TestAFileOfAnotherShapeIsRefusedWhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		conf       tabular.Config
		code, want string
	}{
		{"a column that is missing", "emp_no;name;salary\n1;Doe;\n", tabular.Config{}, "csv.malformed", "column hired is missing"},
		{"a column that nobody declared", "emp_no;name;salary;hired;ssn\n1;Doe;;;\n", tabular.Config{}, "csv.malformed", "column ssn is not declared"},
		{"a column that is there twice", "emp_no;name;name;salary;hired\n1;Doe;;;\n", tabular.Config{}, "csv.malformed", "column name is there twice"},
		{"another delimiter", "emp_no,name,salary,hired\n1,Doe,,\n", tabular.Config{}, "csv.malformed", "the delimiter another"},
		{"rows without a header", "1;Doe;10;2026-01-02\n", tabular.Config{}, "csv.malformed", "is the header missing"},
		{"nothing", "", tabular.Config{}, "csv.malformed", "the header is missing"},
		{"a header alone", head, tabular.Config{}, "csv.empty", "no row"},
		{"a quote that is never closed", head + "1;\"Doe;;\n2;Roe;;\n", tabular.Config{}, "csv.malformed", "never closed"},
		{"a trailer that is missing", head + "1;Doe;;\n", tabular.Config{Trailer: &tabular.Trailer{Begins: "END", Cell: 2}}, "csv.trailer", "cut off"},
		{"a trailer that counts more", head + "1;Doe;;\nEND;2\n", tabular.Config{Trailer: &tabular.Trailer{Begins: "END", Cell: 2}}, "csv.trailer", "counts 2, and it should count 1"},
		{"a trailer that counts nothing", head + "1;Doe;;\nEND;x\n", tabular.Config{Trailer: &tabular.Trailer{Begins: "END", Cell: 2}}, "csv.trailer", "no number"},
		{"half a character", "\xff\xfee\x00m", tabular.Config{}, "csv.malformed", "cut off"},
		{"half of a pair", "\xff\xfe\x00\xd8a\x00", tabular.Config{}, "csv.malformed", "byte 0 is half"},
		{"no workbook", "PK\x03\x04", tabular.Config{Format: "xlsx"}, "xlsx.malformed", "no workbook"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &taken{}
			receipt, s, err := receive(t, receiver(t, tt.conf, staff), k, "x", []byte(tt.file))
			var reject *broker.RejectError
			if !errors.As(err, &reject) || reject.Code != tt.code || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Doe") {
				t.Fatalf("%v", err)
			}
			if len(k.ms) != 0 || len(s.Rows) != 1 || s.Rows[0].Code != tt.code || receipt.Accepted != 0 {
				t.Errorf("%d accepted, %+v", len(k.ms), s)
			}
		})
	}
}

func TestATrailerCountsTheRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conf tabular.Config
		decl tree.Declaration
		file string
	}{
		"CSV":                     {tabular.Config{Trailer: &tabular.Trailer{Begins: "END", Cell: 2}}, staff, head + "1;Doe;;\n\n2;Roe;;\nEND;2\r\n\x1a"},
		"with header and trailer": {tabular.Config{Trailer: &tabular.Trailer{Begins: "END", Cell: 2, Plus: 2}}, staff, head + "1;Doe;;\n2;Roe;;\nEND;4"},
		"fixed width":             {tabular.Config{Format: "fixed", Trailer: &tabular.Trailer{Begins: "T", Start: 2, Width: 6}}, payroll, "10023Welby\n10024Roe\nT000002\n"},
	} {
		k := &taken{}
		if receipt, _, err := receive(t, receiver(t, c.conf, c.decl), k, "x", []byte(c.file)); err != nil || receipt.Accepted != 2 {
			t.Errorf("%s: %+v %v", name, receipt, err)
		}
	}
}

func TestAFileInUTF16IsRead(t *testing.T) {
	t.Parallel()
	encode := func(s string, big bool) (out []byte) {
		for _, u := range utf16.Encode([]rune(s)) {
			if big {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	}
	file := head + "1;Müller 𝄞;;\n"
	west := staff
	west.Charset = "windows-1252" // the mark is right, whatever is declared
	for name, c := range map[string]struct {
		conf tabular.Config
		body []byte
	}{
		"with a mark":                 {tabular.Config{}, encode("\ufeff"+file, false)},
		"with a mark, the other way":  {tabular.Config{}, encode("\ufeff"+file, true)},
		"declared":                    {tabular.Config{Charset: "utf-16le"}, encode(file, false)},
		"declared, the other way":     {tabular.Config{Charset: "utf-16be"}, encode(file, true)},
		"UTF-8 where it is 1252 else": {tabular.Config{}, []byte("\ufeff" + file)},
	} {
		k := &taken{}
		if _, _, err := receive(t, receiver(t, c.conf, west), k, "x", c.body); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d, err := dialect(t, tabular.CSV{}, west).Decode(k.ms[0].Body, nil); err != nil || treetest.Dump(d.Root) != "emp_no=1\nname=Müller 𝄞" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAMappingRejectsIsNamedInTheSummary(t *testing.T) {
	t.Parallel()
	k := &taken{reject: func(m *broker.Message) error {
		if strings.Contains(string(m.Body), "bad") {
			return &broker.RejectError{Code: "mapping.required", Err: errors.New("salary is absent")}
		}
		return nil
	}}
	var file strings.Builder
	file.WriteString(head)
	for i := range 1000 {
		fmt.Fprintf(&file, "%d;%s;;\n", i, map[bool]string{true: "bad", false: "good"}[i == 3 || i == 700])
	}
	receipt, s, err := receive(t, receiver(t, tabular.Config{}, staff), k, "x", []byte(file.String()))
	if err != nil || receipt.Accepted != 998 || receipt.Refused != 2 || len(k.ms) != 998 || k.calls > 50 {
		t.Fatalf("%v %+v, %d calls", err, receipt, k.calls)
	}
	if s.Rows[0] != (tabular.Refusal{Row: 4, Line: 5, Code: "mapping.required", Reason: "salary is absent"}) || s.Rows[1].Row != 701 {
		t.Errorf("%+v", s.Rows)
	}
	if !slices.IsSortedFunc(k.ms, func(a, b *broker.Message) int { return a.Group.Index - b.Group.Index }) {
		t.Error("the rows are not in order")
	}
	k.reject = func(*broker.Message) error { return broker.ErrFull }
	if _, err := receiver(t, tabular.Config{}, staff).Receive(t.Context(), broker.Delivery{Body: broker.PHI(file.String())}, k.accept); !errors.Is(err, broker.ErrFull) {
		t.Errorf("%v", err)
	}
}

func TestMappingsThatReadAFileDifferently(t *testing.T) {
	t.Parallel()
	comma := staff
	comma.Delimiter = ","
	fewer := tree.Declaration{Delimiter: ";", Columns: staff.Columns[:3]}
	file := []byte(head + "1;Doe;;\n")
	for want, decls := range map[string][]tree.Declaration{"": {staff, staff}, "csv.malformed": {staff, fewer}, "none of the declared columns": {staff, comma}, "no mapping is in force": nil} {
		_, _, err := receive(t, receiver(t, tabular.Config{}, decls...), &taken{}, "x", file)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func workbook(t testing.TB, fill func(f *excelize.File)) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	fill(f)
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rowOf(t testing.TB, f *excelize.File, cell string, values ...any) {
	t.Helper()
	if err := f.SetSheetRow("Sheet1", cell, &values); err != nil {
		t.Fatal(err)
	}
}

func TestAWorkbookIsReadByTheSameMapping(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	body := workbook(t, func(f *excelize.File) {
		rowOf(t, f, "A2", "emp_no", "name", "salary", "hired") // a blank row before
		rowOf(t, f, "A3", 42, "Doe; \"Jane\"\nII", 310000.125, day)
		rowOf(t, f, "A5", "x", "Roe", 0.1+0.2, "2026-01-02")
		rowOf(t, f, "A6", "y", "Poe")
		rowOf(t, f, "A7", "z", "Loe", "", "", "more")
		rowOf(t, f, "A8", "w", "#N/A")
		padded, err := f.NewStyle(&excelize.Style{CustomNumFmt: ptr("00000")})
		thousands, err2 := f.NewStyle(&excelize.Style{NumFmt: 3})
		if err := errors.Join(err, err2, f.SetCellStyle("Sheet1", "A3", "A3", padded), f.SetCellStyle("Sheet1", "C3", "C3", thousands)); err != nil {
			t.Fatal(err)
		}
	})
	k := &taken{}
	receipt, s, err := receive(t, receiver(t, tabular.Config{Format: "xlsx"}, staff), k, "x.xlsx", body)
	if err != nil || receipt.Accepted != 3 || receipt.Refused != 2 {
		t.Fatalf("%v %+v %+v", err, receipt, s)
	}
	d := dialect(t, tabular.CSV{}, staff)
	for i, want := range []string{"emp_no=00042\nname=Doe; \"Jane\"\nII\nsalary=310000.125\nhired=2026-03-14", "emp_no=x\nname=Roe\nsalary=0.3\nhired=2026-01-02", "emp_no=y\nname=Poe"} {
		m, err := d.Decode(k.ms[i].Body, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := treetest.Dump(m.Root); got != want {
			t.Errorf("row %d:\n%s\nwant\n%s", i+1, got, want)
		}
	}
	if a, b := s.Rows[0], s.Rows[1]; a.Line != 7 || a.Column != 5 || a.Code != "xlsx.ragged" || b.Line != 8 || b.Column != 2 || b.Code != "xlsx.formula" {
		t.Errorf("%+v", s.Rows)
	}
}

func TestADateIsAsExcelShowsItWhereItsNotationIsDeclared(t *testing.T) {
	t.Parallel()
	decl := tree.Declaration{Columns: []tree.Column{
		{Name: "shown", Type: "date", Layout: "DD.MM.YYYY", Labels: tree.Staff}, {Name: "at", Type: "datetime", Labels: tree.Staff}, {Name: "time", Type: "time", Labels: tree.Staff},
	}}
	at := time.Date(2026, 3, 14, 9, 15, 22, 0, time.UTC)
	body := workbook(t, func(f *excelize.File) {
		rowOf(t, f, "A1", "shown", "at", "time")
		rowOf(t, f, "A2", at, at, 0.5)
		style, err := f.NewStyle(&excelize.Style{CustomNumFmt: ptr("dd.mm.yyyy")})
		if err := errors.Join(err, f.SetCellStyle("Sheet1", "A2", "A2", style)); err != nil {
			t.Fatal(err)
		}
	})
	k := &taken{}
	if _, _, err := receive(t, receiver(t, tabular.Config{Format: "xlsx"}, decl), k, "x.xlsx", body); err != nil {
		t.Fatal(err)
	}
	if m, err := dialect(t, tabular.CSV{}, decl).Decode(k.ms[0].Body, nil); err != nil || treetest.Dump(m.Root) != "shown=14.03.2026\nat=2026-03-14T09:15:22\ntime=12:00:00" {
		t.Errorf("%v %s", err, treetest.Dump(m.Root))
	}
}

func ptr[T any](v T) *T { return &v }

func TestAWorkbookOfAnotherShapeIsRefused(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		conf tabular.Config
		fill func(*excelize.File)
	}{
		"column hired is missing":   {tabular.Config{}, func(f *excelize.File) { rowOf(t, f, "A1", "emp_no", "name", "salary") }},
		"the sheet is empty":        {tabular.Config{}, func(*excelize.File) {}},
		`there is no sheet "Staff"`: {tabular.Config{Sheet: "Staff"}, func(*excelize.File) {}},
		"over 1000 columns":         {tabular.Config{}, func(f *excelize.File) { rowOf(t, f, "XFD1", "far") }},
		"over 10000 blank rows":     {tabular.Config{}, func(f *excelize.File) { rowOf(t, f, "A1048576", "far") }},
	} {
		c.conf.Format = "xlsx"
		_, _, err := receive(t, receiver(t, c.conf, staff), &taken{}, "x", workbook(t, c.fill))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestASummaryMayBeATable(t *testing.T) {
	t.Parallel()
	receipt, _, err := receive(t, receiver(t, tabular.Config{Summary: "csv"}, staff), &taken{}, "x", []byte(head+"1;Doe;;\n2;Roe\n"))
	const want = "row,line,column,code,reason\n2,3,3,csv.ragged,2 cells where the header has 4 columns: salary and what follows is missing\n,,,summary,\"1 accepted, 1 refused\"\n"
	if err != nil || string(receipt.Answer) != want || receipt.Ext != "summary.csv" {
		t.Errorf("%v %s", err, string(receipt.Answer))
	}
}

func TestSettingsOfTables(t *testing.T) {
	t.Parallel()
	for want, conf := range map[string]tabular.Config{
		"format: use csv or fixed or xlsx": {Format: "tsv"},
		"identity: use content or name":    {Identity: "key"},
		"charset: use utf-16le":            {Charset: "utf-8"},
		"kind: use a word":                 {Kind: "a b"},
		"trailer, charset: a workbook":     {Format: "xlsx", Trailer: &tabular.Trailer{Begins: "T"}},
		"sheet: only a workbook":           {Sheet: "x"},
		"trailer.begins":                   {Trailer: &tabular.Trailer{Cell: 1}},
		"trailer: give the cell":           {Trailer: &tabular.Trailer{Begins: "T"}},
		"trailer: give start and width":    {Format: "fixed", Trailer: &tabular.Trailer{Begins: "T", Cell: 1}},
		"summary: use json or csv":         {Summary: "xml"},
	} {
		if _, err := tabular.NewReceiver(broker.Origin{}, conf, nil); err == nil || !strings.HasPrefix(err.Error(), "tabular: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	for _, s := range []string{head + "1;Doe;;\n2;Roe\n", "\xff\xfee\x00", "\ufeff" + head + "1;\"D\n\"\"oe\";;\nEND;1", "END;0"} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Add(workbook(f, func(w *excelize.File) {
		rowOf(f, w, "A1", "emp_no", "name", "salary", "hired")
		rowOf(f, w, "A2", 1, "Doe", 1.5, 45000)
	}), false)
	plain := receiver(f, tabular.Config{}, staff)
	counted := receiver(f, tabular.Config{Trailer: &tabular.Trailer{Begins: "END", Cell: 2}}, staff)
	sheet := receiver(f, tabular.Config{Format: "xlsx"}, staff)
	d := dialect(f, tabular.CSV{}, staff)
	f.Fuzz(func(t *testing.T, body []byte, trailer bool) {
		r := plain
		switch {
		case bytes.HasPrefix(body, []byte("PK")):
			r = sheet
		case trailer:
			r = counted
		}
		k := &taken{}
		receipt, err := r.Receive(context.Background(), broker.Delivery{Body: body}, k.accept)
		if err == nil && (receipt.Accepted != len(k.ms) || receipt.Answer == nil) {
			t.Fatalf("%+v for %d messages", receipt, len(k.ms))
		}
		for _, m := range k.ms {
			if _, err := d.Decode(m.Body, nil); err != nil {
				t.Fatalf("a row was accepted that can not be read: %v", err)
			}
		}
	})
}

func BenchmarkRows(b *testing.B) {
	var file bytes.Buffer
	file.WriteString(head)
	for i := range 10_000 {
		fmt.Fprintf(&file, "%d;\"Doe, Jane %d\";%d.50;2026-01-02\n", i, i, i)
	}
	r := receiver(b, tabular.Config{}, staff)
	accept := func(context.Context, ...*broker.Message) error { return nil }
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		if _, err := r.Receive(context.Background(), broker.Delivery{Body: file.Bytes()}, accept); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "rows/s")
}
