package mapping

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A table turns codes into other codes. Rows of a file are code, result, note;
// the code * takes whatever no row names; a blank result means that the
// field is left alone.
type table struct {
	name   string
	file   string // "": it stands in the mapping
	rows   map[string]string
	other  string // the result of *
	catch  bool   // there is a *
	at     place
	onMiss string   // of rules that do not say: error, skip, keep, default; "" is error
	used   bool     // by a rule
	turned bool     // it is another one, read from right to left
	fed    []string // codes of the standard that its rules put through it
	fedBy  []string // the standard's names of their tables
	open   bool     // something else is put through it, too
}

const maxTableRows = 100_000

// readTable reads a CSV file; line is where its error stands.
func readTable(name string, data []byte) (t *table, line int, err error) {
	t = &table{name: name, rows: map[string]string{}}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	for first := true; ; first = false {
		row, err := r.Read()
		if err == io.EOF {
			return t, 0, nil
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			return nil, broken.Line, broken.Err
		}
		if err != nil {
			return nil, 1, err
		}
		line, _ := r.FieldPos(0)
		if first {
			if len(row) < 2 || strings.TrimSpace(row[0]) != "code" {
				return nil, line, errors.New("the first line names the columns: code, what it becomes, note")
			}
			continue
		}
		if len(row) < 2 {
			return nil, line, errors.New("a row has a code and what it becomes")
		}
		if err := t.put(strings.Clone(row[0]), strings.Clone(row[1])); err != nil {
			return nil, line, err
		}
		if len(t.rows) > maxTableRows {
			return nil, line, fmt.Errorf("a table has at most %d rows", maxTableRows)
		}
	}
}

func (t *table) put(code, result string) error {
	if code == "*" {
		if t.catch {
			return fmt.Errorf("the code * stands twice")
		}
		t.catch, t.other = true, result
		return nil
	}
	if _, twice := t.rows[code]; twice {
		return fmt.Errorf("the code %q stands twice", code)
	}
	t.rows[code] = result
	return nil
}

// lookup returns what a code becomes; ok is false when no row names it.
func (t *table) lookup(code string) (result string, ok bool) {
	if r, ok := t.rows[code]; ok {
		return r, true
	}
	return t.other, t.catch
}

// results calls yield for each different result.
func (t *table) results(yield func(string) bool) {
	for _, r := range t.rows {
		if !isBlank(r) && !yield(r) {
			return
		}
	}
	if t.catch && !isBlank(t.other) {
		yield(t.other)
	}
}

// reversed is the table from results to codes. No two codes may have one
// result, and nothing says which code a catch-all stands for.
func (t *table) reversed() (*table, error) {
	out := &table{turned: true, name: t.name, file: t.file, at: t.at, onMiss: t.onMiss, rows: make(map[string]string, len(t.rows))}
	if t.catch {
		return out, fmt.Errorf("table %q cannot be reversed: * has no code of its own", t.name)
	}
	for _, code := range slices.Sorted(maps.Keys(t.rows)) {
		result := t.rows[code]
		if other, twice := out.rows[result]; twice && result != "" {
			return out, fmt.Errorf("table %q cannot be reversed: %s and %s both give %s", t.name, other, code, result)
		}
		if result != "" {
			out.rows[result] = code
		}
	}
	return out, nil
}
