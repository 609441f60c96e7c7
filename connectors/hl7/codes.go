package hl7

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// codesText holds the code tables; its head explains its form.
//
//go:embed codes.txt
var codesText string

// A codeTable is where a table stands in the file.
type codeTable struct {
	closed bool
	body   string
}

// codeTables finds the tables by number when the first one is asked for.
var codeTables = sync.OnceValue(func() map[string]codeTable {
	tables := make(map[string]codeTable, 512)
	const start = "\ntable "
	_, rest, _ := strings.Cut(codesText, start)
	for rest != "" {
		var block string
		block, rest, _ = strings.Cut(rest, start)
		head, body, _ := strings.Cut(block, "\n")
		number, _, _ := strings.Cut(head, " ")
		number, closed := strings.CutSuffix(number, "!")
		tables[number] = codeTable{closed, strings.TrimSuffix(body, "\n")}
	}
	return tables
})

// Codes returns the values of a code table ("HL70001"), nil for one that is not
// known. closed says that the standard defines them: no others may be sent.
func (d dialect) Codes(table string) (codes []tree.TableValue, closed bool) {
	t, ok := codeTables()[strings.TrimPrefix(table, "HL7")]
	if !ok {
		return nil, false
	}
	for line := range strings.SplitSeq(t.body, "\n") {
		value, title, _ := strings.Cut(line, " ")
		codes = append(codes, tree.TableValue{Value: value, Title: title})
	}
	return codes, t.closed
}

// Versions says which versions have an element that this one has not: "since
// 2.7", "until 2.6", "in 2.4 and 2.5"; "" where none has. typ and element are
// names as in a schema: PID and 40, CX and 11, "" and PRT for a segment.
func (d dialect) Versions(typ, element string) string {
	n, _ := strconv.Atoi(element)
	name := typ
	if n == 0 {
		name = element
	}
	var has [len(versions)]bool
	line := 0
	in, segment := false, false
	var spanned [len(versions)]bool
	for text := range strings.Lines(dictionaryText) {
		text = strings.TrimRight(text, "\n")
		word, rest, _ := strings.Cut(text, " ")
		if word == "type" || word == "segment" {
			block, span, _ := strings.Cut(rest, " ")
			in, segment, line = block == name, word == "segment", 0
			for v := range spanned {
				spanned[v] = true
				if !segment {
					spanned[v], _ = inSpan(span, version(v))
				}
			}
			continue
		}
		if !in || text == "" {
			continue
		}
		if line++; n != 0 && line != n || n == 0 && !segment {
			continue
		}
		for v := range has {
			_, ok, _ := fieldOf(text, version(v))
			has[v] = has[v] || ok && spanned[v]
		}
	}
	return span(has[:], d.version)
}

// span puts versions into words; "" if there are none, or if v is one of them.
func span(has []bool, v version) string {
	first, last, n := -1, -1, 0
	for i, ok := range has {
		if ok {
			if first < 0 {
				first = i
			}
			last, n = i, n+1
		}
	}
	switch {
	case n == 0 || has[v]:
		return ""
	case last == len(has)-1:
		return "since " + versions[first]
	case first == 0:
		return "until " + versions[last]
	case n == 1:
		return "in " + versions[first]
	}
	return "from " + versions[first] + " to " + versions[last]
}
