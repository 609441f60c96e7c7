package fhir

import (
	"bytes"
	"fmt"
)

// maxParts bounds the lines of one body: so many messages in one file.
const maxParts = 100_000

// Split returns the lines of NDJSON, one resource a line as bulk exports have
// it, so that a bad one holds up no other. A body whose first line is not a
// whole object is one message, and so is a Bundle: what stands in it belongs
// together.
func (dialect) Split(body []byte) ([][]byte, error) {
	first, rest, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	if len(rest) == 0 || !isWhole(first) {
		return [][]byte{body}, nil
	}
	parts := [][]byte{bytes.TrimSpace(first)}
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(parts) == maxParts {
			return nil, fmt.Errorf("split fhir: over %d lines in one body", maxParts)
		}
		parts = append(parts, line)
	}
	return parts, nil
}

// isWhole reports whether every brace that opens in a line is closed in it.
func isWhole(line []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	return depth == 0 && !inString
}
