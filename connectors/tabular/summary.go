package tabular

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strconv"
)

// maxRefusals bounds the rows that a summary names; it counts them all.
const maxRefusals = 10_000

// A Summary says what became of the rows of a file. It names places and no values.
type Summary struct {
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused"`
	Rows     []Refusal `json:"rows,omitempty"` // those refused; one without a row is the whole file's
}

// A Refusal says why a row was not taken.
type Refusal struct {
	Row    int    `json:"row,omitempty"`    // among the rows with content, from 1
	Line   int    `json:"line,omitempty"`   // of the file, from 1; of a workbook the sheet's row
	Column int    `json:"column,omitempty"` // the cell, from 1, of fixed width the character; none: the row as a whole
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// answer returns a summary as a document, how its file ends and its media type.
func (r *Receiver) answer(s Summary) (document []byte, ext, mediaType string) {
	if r.conf.Summary == summaryCSV {
		return s.csv(), "summary.csv", "text/csv; charset=utf-8"
	}
	document, _ = json.MarshalIndent(s, "", "  ") // numbers and texts
	return append(document, '\n'), "summary.json", "application/json"
}

// csv writes a summary as a table: one line that counts, and one for each row refused.
func (s Summary) csv() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	lines := [][]string{{"row", "line", "column", "code", "reason"}}
	for _, r := range s.Rows {
		lines = append(lines, []string{number(r.Row), number(r.Line), number(r.Column), r.Code, r.Reason})
	}
	lines = append(lines, []string{"", "", "", "summary", strconv.Itoa(s.Accepted) + " accepted, " + strconv.Itoa(s.Refused) + " refused"})
	_ = w.WriteAll(lines) // to memory
	return b.Bytes()
}
