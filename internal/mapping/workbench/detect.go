package workbench

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

// A Source says how messages are read: as a mapping declares them, or in a
// format and version, or, when nothing is said, as the message shows.
type Source struct {
	Mapping string // a mapping's file
	Format  string
	Version string
}

// Open returns how a message is read, and the name and version of the format.
func (b Bench) Open(s Source, body []byte) (d tree.Dialect, format, version string, err error) {
	if s.Mapping != "" {
		m, err := b.load(s.Mapping)
		if err != nil {
			return nil, "", "", err
		}
		return m.Dialect, m.Format, m.Source.Version, nil
	}
	format, version = detect(body)
	if s.Format != "" && s.Format != format {
		format, version = s.Format, ""
	}
	if s.Version != "" {
		version = s.Version
	}
	if format == "" {
		return nil, "", "", fmt.Errorf("this is no message of a format that shows: name its --format; %s", declared)
	}
	if d, err = b.Dialect(format, version); err != nil && format == "hl7v2" && s.Version == "" {
		version = "2.5.1" // senders write versions that never were
		d, err = b.Dialect(format, version)
	}
	if err != nil && (format == "csv" || format == "fixed" || format == "json" || format == "odoo") {
		err = fmt.Errorf("%w; %s", err, declared)
	}
	return d, format, version, err
}

// declared is what to do about a format that does not say what it holds.
const declared = "what CSV, fixed width, JSON and Odoo records hold, a mapping declares: vagus mapping new begins one of all but fixed width; mappings/examples/north/07-hr has one"

// detect tells the format and version of a message by its beginning.
func detect(body []byte) (format, version string) {
	text := bytes.TrimLeft(body, " \t\r\n\v\ufeff")
	switch {
	case bytes.HasPrefix(text, []byte("MSH")) && len(text) > 8:
		line, _, _ := strings.Cut(string(text[:min(len(text), 4096)]), "\r")
		line, _, _ = strings.Cut(line, "\n")
		fields := strings.Split(line, string(text[3]))
		if len(fields) > 11 {
			version, _, _ = strings.Cut(fields[11], string(text[4]))
		}
		return "hl7v2", version
	case bytes.HasPrefix(text, []byte("ISA")) && len(text) > 106:
		_, gs, _ := strings.Cut(string(text[:min(len(text), 4096)]), string(text[105]))
		gs, _, _ = strings.Cut(strings.TrimLeft(gs, "\r\n"), string(text[105]))
		if fields := strings.Split(gs, string(text[3])); len(fields) > 8 {
			version = fields[8]
		}
		return "x12", version
	case bytes.HasPrefix(text, []byte("{")) && bytes.Contains(text, []byte(`"resourceType"`)):
		return "fhir", "4.0.1"
	case bytes.HasPrefix(text, []byte("{")) && bytes.Contains(text, []byte("urn:ietf:params:scim:schemas:core:2.0")):
		return "scim", ""
	}
	return "", ""
}

// guessFormat tells the format of what only a mapping can declare: an object, a
// record of Odoo, a table with a header; "" when it looks like none.
func guessFormat(body []byte) string {
	text := bytes.TrimLeft(body, " \t\r\n\ufeff")
	line, _, more := bytes.Cut(text, []byte("\n"))
	switch {
	case bytes.HasPrefix(text, []byte("{")) && bytes.Contains(text, []byte(`"_model"`)) && bytes.Contains(text, []byte(`"_change"`)):
		return "odoo"
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return "json"
	case more && utf8.Valid(text) && bytes.ContainsAny(line, ",;|\t") && !bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' }):
		return "csv"
	}
	return ""
}

// schemaOf returns the type that describes a message: that of its structure,
// or of any where the structure has none.
func schemaOf(d tree.Dialect, msg *tree.Message) (*tree.Type, error) {
	structure := msg.Type
	if parts := strings.Split(structure, "^"); len(parts) > 2 { // "ADT^A08^ADT_A01"
		structure = parts[0] + "^" + parts[1]
	}
	if t, err := d.Schema(structure); err == nil {
		return t, nil
	}
	return d.Schema("")
}
