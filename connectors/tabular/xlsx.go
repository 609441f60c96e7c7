package tabular

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/vagus-health/vagus/internal/tree"
)

const (
	maxSheetBytes   = 256 << 20 // of a workbook, unpacked
	maxSheetColumns = 1000
	maxBlankRows    = 10_000 // one after the other: a sheet that goes on with nothing
)

// sheetErrors are what a cell shows whose formula failed.
var sheetErrors = []string{"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!"}

// sheet reads the rows of a workbook's sheet, "" being the first, as rows of CSV in UTF-8.
//
// A text is as Excel shows it; a decimal has all its digits, whatever is shown; a date or a time
// is ISO 8601, save where the mapping declares a notation: that is what Excel shows then. Formulas count
// with the value that was stored with them.
func (d *csvDialect) sheet(body []byte, name string) (rows []row, err error) {
	// A library that reads what anybody may have written.
	defer func() {
		if recover() != nil {
			rows, err = nil, errors.New("the workbook is damaged")
		}
	}()
	f, err := excelize.OpenReader(bytes.NewReader(body), excelize.Options{UnzipSizeLimit: maxSheetBytes, UnzipXMLSizeLimit: maxSheetBytes}) // equal: nothing is unpacked to a disk
	if err != nil {
		return nil, errors.New("it is no workbook of Excel (.xlsx), it has a password, or it is too large")
	}
	defer f.Close()
	if name == "" {
		name = f.GetSheetName(0)
	} else if i, err := f.GetSheetIndex(name); err != nil || i < 0 {
		return nil, fmt.Errorf("there is no sheet %q", name)
	}
	era := false // dates count from 1904
	if props, err := f.GetWorkbookProps(); err == nil && props.Date1904 != nil {
		era = *props.Date1904
	}
	shown, err := f.Rows(name)
	if err != nil {
		return nil, errors.New("the sheet can not be read")
	}
	defer shown.Close()
	stored, err := f.Rows(name)
	if err != nil {
		return nil, errors.New("the sheet can not be read")
	}
	defer stored.Close()

	var h *header
	var head []byte
	size, blanks := 0, 0
	for line := 1; shown.Next() && stored.Next(); line++ {
		cells, err := shown.Columns()
		if err != nil {
			return nil, fmt.Errorf("row %d can not be read", line)
		}
		raw, err := stored.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return nil, fmt.Errorf("row %d can not be read", line)
		}
		if len(cells) > maxSheetColumns {
			return nil, fmt.Errorf("row %d has over %d columns", line, maxSheetColumns)
		}
		if !slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
			if blanks++; blanks > maxBlankRows {
				return nil, fmt.Errorf("over %d blank rows before row %d: delete them", maxBlankRows, line)
			}
			continue
		}
		blanks = 0
		if h == nil {
			for cells[len(cells)-1] == "" {
				cells = cells[:len(cells)-1]
			}
			if h, err = d.header(cells); err != nil {
				return nil, err
			}
			if head, err = d.line(h.names); err != nil {
				return nil, err
			}
			continue
		}
		next := row{line: line}
		next.fault = h.values(cells, raw, era)
		for len(cells) < len(h.names) {
			cells = append(cells, "")
		}
		text, err := d.line(cells)
		if err != nil {
			return nil, err
		}
		if len(text) > maxRowBytes {
			return nil, fmt.Errorf("row %d has over %d bytes", line, maxRowBytes)
		}
		next.body = slices.Concat([]byte(byteOrderMark), head, text)
		rows = append(rows, next)
		if size += len(next.body); len(rows) > maxRows || size > maxRowsBytes {
			return nil, errTooMany
		}
	}
	if err := errors.Join(shown.Error(), stored.Error()); err != nil {
		return nil, errors.New("the sheet is damaged")
	}
	if h == nil {
		return nil, errors.New("the header is missing: the sheet is empty")
	}
	return rows, nil
}

// values makes of what a row's cells show what the columns' types ask for.
func (h *header) values(shown, raw []string, era bool) *fault {
	for i, c := range shown {
		switch {
		case c == "":
			continue
		case i >= len(h.elements):
			return &fault{"xlsx.ragged", i + 1, fmt.Sprintf("a cell behind the last of the %d columns", len(h.elements))}
		case slices.Contains(sheetErrors, c):
			return &fault{"xlsx.formula", i + 1, fmt.Sprintf("%s is an error of a formula", h.names[i])}
		}
		if i >= len(raw) {
			continue
		}
		e := h.elements[i]
		n, err := strconv.ParseFloat(raw[i], 64)
		switch k := e.Type.Kind; {
		case err != nil: // a text in the workbook, too
		case k == tree.Number:
			shown[i] = digits(n, raw[i])
		case e.Layout != "":
		case k == tree.Date, k == tree.DateTime, k == tree.Time:
			at, err := excelize.ExcelDateToTime(n, era)
			if err != nil {
				return &fault{"xlsx.date", i + 1, fmt.Sprintf("%s is no date of Excel's", h.names[i])}
			}
			shown[i] = at.Round(time.Second).Format(map[tree.Kind]string{tree.Date: time.DateOnly, tree.DateTime: "2006-01-02T15:04:05", tree.Time: time.TimeOnly}[k])
		}
	}
	return nil
}

// digits writes a number with the 15 digits that Excel counts with: 0.1+0.2 is stored as
// 0.30000000000000004.
func digits(n float64, raw string) string {
	if strings.ContainsAny(raw, "eE") || len(raw) > 15 {
		n, _ = strconv.ParseFloat(strconv.FormatFloat(n, 'g', 15, 64), 64)
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return raw
}

// line writes cells as a line of CSV.
func (d *csvDialect) line(cells []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(io.Writer(&b))
	w.Comma = d.comma
	if err := w.Write(cells); err != nil {
		return nil, fmt.Errorf("write a row: %w", err)
	}
	w.Flush()
	return b.Bytes(), nil
}
