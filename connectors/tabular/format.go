// Package tabular reads files of rows: CSV and columns of fixed width, as the
// formats "csv" and "fixed", whose columns a mapping declares. A message is one
// row; Split cuts a file into them.
package tabular

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vagus-health/vagus/internal/tree"
)

const (
	maxRowBytes  = 1 << 20   // one row, and a header
	maxFileBytes = 64 << 20  // one file
	maxRows      = 250_000   // of one file
	maxRowsBytes = 256 << 20 // of its messages, each of which has the header
)

var errTooMany = fmt.Errorf("over %d rows, or over %d bytes of rows with their header: split the file", maxRows, maxRowsBytes)

// A row of a file, as the message that it becomes.
type row struct {
	line  int // of the file, from 1
	body  []byte
	fault *fault // nil: it can be read
}

// A fault is what is wrong with a row, without a value of it.
type fault struct {
	code   string
	column int // of a CSV or a sheet the cell, of fixed width the character, from 1; 0: the whole row
	reason string
}

func bodies(rows []row) [][]byte {
	var out [][]byte
	for _, r := range rows {
		out = append(out, r.body)
	}
	return out
}

// A rower is a dialect that cuts files into rows. Its error is the whole file's.
type rower interface {
	tree.Dialect
	rows(file []byte) ([]row, error)
}

// columnsType returns the type of a row. Columns are simple values: a row has
// no objects and nothing in it repeats.
func columnsType(columns []tree.Column) (*tree.Type, error) {
	plain := make([]tree.Column, len(columns))
	for i, c := range columns {
		if c.Type == "object" || len(c.Parts) > 0 {
			return nil, fmt.Errorf("%s is an object, and a cell is a simple value", c.Name)
		}
		if c.Repeats {
			return nil, fmt.Errorf("%s repeats, and a row has one cell of a column", c.Name)
		}
		c.Start, c.Width = 0, 0
		plain[i] = c
	}
	if len(columns) == 0 {
		return nil, errors.New("no columns are declared")
	}
	return tree.Declared("", nil, plain, false)
}

// A table is what both formats have.
type table struct {
	root    *tree.Type
	charset charset
}

func newTable(format string, d tree.Declaration) (table, error) {
	if d.Version != "" || len(d.Segments) > 0 {
		return table{}, fmt.Errorf("%s has columns, and no version or segments", format)
	}
	root, err := columnsType(d.Columns)
	if err != nil {
		return table{}, fmt.Errorf("%s: %w", format, err)
	}
	cs, err := charsetOf(d.Charset)
	if err != nil {
		return table{}, fmt.Errorf("%s: %w", format, err)
	}
	return table{root, cs}, nil
}

// Schema returns the type of a row, whatever the structure.
func (t table) Schema(string) (*tree.Type, error) { return t.root, nil }

// Structures returns "": every row has all columns.
func (t table) Structures(map[string][]string) []string { return []string{""} }

// selected says whether a column is read.
func (t table) selected(only tree.Selection, name string) bool {
	return only == nil || only[t.root.Name][name]
}

// text returns a message as text, and how many bytes of it were a mark.
func (t table) text(body []byte) (text string, mark int, err error) {
	rest := unmarked(body)
	mark = len(body) - len(rest)
	if mark > 0 {
		text, err = charsets[0].text(rest)
	} else {
		text, err = t.charset.text(rest)
	}
	return text, mark, err
}

const byteOrderMark = "\ufeff"

// unmarked returns a file without the mark that some programs put before it,
// which says that it is UTF-8 whatever was declared. The parts of a file keep it.
func unmarked(body []byte) []byte { return bytes.TrimPrefix(body, []byte(byteOrderMark)) }
