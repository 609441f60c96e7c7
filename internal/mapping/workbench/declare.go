package workbench

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

const (
	maxDeclared      = 500 // names that are declared from one message
	maxDeclaredDepth = 16  // of objects
)

// guessed declares what a message shows that only a mapping can declare: the
// header of a CSV file, the names of an object. What each of them may reveal
// nobody knows, so each may reveal the most; ids and times of the envelope of
// an Odoo record are the format's own.
func guessed(format string, body []byte) (tree.Declaration, error) {
	var d tree.Declaration
	text := bytes.TrimPrefix(body, []byte("\ufeff"))
	switch format {
	case "csv":
		line, _, _ := bytes.Cut(text, []byte("\n"))
		comma := ','
		for _, c := range ";|\t" {
			if bytes.ContainsRune(line, c) && bytes.Count(line, []byte(string(c))) > bytes.Count(line, []byte(string(comma))) {
				comma = c
			}
		}
		if comma != ',' {
			d.Delimiter = string(comma)
		}
		r := csv.NewReader(bytes.NewReader(text))
		r.Comma = comma
		names, err := r.Read()
		if err != nil {
			return d, fmt.Errorf("the header: %w", err)
		}
		for _, n := range names {
			d.Columns = append(d.Columns, tree.Column{Name: n, Type: "text", Labels: tree.Sensitive})
		}
	case "json", "odoo":
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return d, errors.New("it does not begin with a JSON object")
		}
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		object, ok := v.(map[string]any)
		if !ok {
			return d, errors.New("it does not begin with a JSON object")
		}
		if format == "odoo" {
			for _, own := range []string{"_model", "_change", "_version", "id", "write_date"} {
				delete(object, own)
			}
		}
		d.Columns = attributes(object, 1)
	default:
		return d, errors.New("format " + format + " is not guessed")
	}
	if n := len(d.Columns); n == 0 || n > maxDeclared {
		return d, fmt.Errorf("it names %d columns or attributes; 1 to %d can be declared", n, maxDeclared)
	}
	return d, nil
}

// attributes declares the names of an object, in their order: those of an array
// by its first item.
func attributes(object map[string]any, depth int) []tree.Column {
	var out []tree.Column
	for _, name := range slices.Sorted(maps.Keys(object)) {
		c := tree.Column{Name: name, Labels: tree.Sensitive}
		v := object[name]
		if list, ok := v.([]any); ok {
			if c.Repeats = true; len(list) == 0 {
				continue
			}
			v = list[0]
		}
		switch x := v.(type) {
		case json.Number:
			c.Type = "decimal"
		case bool:
			c.Type = "bool"
		case map[string]any:
			c.Type, c.Labels = "object", 0
			if depth < maxDeclaredDepth {
				c.Parts = attributes(x, depth+1)
			}
			if len(c.Parts) == 0 {
				continue
			}
		case []any:
			continue // an array of arrays
		default:
			c.Type = "text"
		}
		out = append(out, c)
	}
	return out
}

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// declaration writes a declaration as the source of a mapping has it.
func declaration(d tree.Declaration, word string, w io.Writer) {
	if len(d.Columns) == 0 {
		return
	}
	if d.Delimiter != "" {
		fmt.Fprintf(w, "  delimiter: %s\n", quoted(d.Delimiter))
	}
	fmt.Fprintf(w, "  %s:   # say of each what it holds and what it may reveal: nobody knows yet\n", word)
	columns(d.Columns, "    ", w)
}

func columns(list []tree.Column, indent string, w io.Writer) {
	for _, c := range list {
		name, repeats := c.Name, ""
		if !plainKey.MatchString(name) || slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(name)) {
			name = quoted(name)
		}
		if c.Repeats {
			repeats = ", repeats: true"
		}
		if c.Parts == nil {
			fmt.Fprintf(w, "%s%s: { type: %s, phi: %s%s }\n", indent, name, c.Type, strings.Join(c.Labels.Names(), ", "), repeats)
			continue
		}
		fmt.Fprintf(w, "%s%s:\n%s  type: object\n", indent, name, indent)
		if c.Repeats {
			fmt.Fprintf(w, "%s  repeats: true\n", indent)
		}
		fmt.Fprintf(w, "%s  parts:\n", indent)
		columns(c.Parts, indent+"    ", w)
	}
}
