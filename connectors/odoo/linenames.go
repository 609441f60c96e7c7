package odoo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
)

// lineModule holds the external ids of lines.
const lineModule = "vagus_line."

// lineNames are the two external ids that a line can have, the first of them
// the one that it gets: by what names the record before it exists, and by its
// database id, as the addon names them.
func lineNames(owner string, r record, field, key string) []string {
	var names []string
	quoted := sha256.Sum256(pythonJSON(key))
	digest := hex.EncodeToString(quoted[:12])
	if owner != "" {
		of := sha256.Sum256([]byte(owner))
		names = append(names, lineModule+hex.EncodeToString(of[:12])+"_"+field+"_"+digest)
	}
	if r.id != 0 {
		names = append(names, fmt.Sprintf("%s%s_%d_%s_%s", lineModule, strings.ReplaceAll(r.model, ".", "_"), r.id, field, digest))
	}
	return names
}

// pythonJSON is a text as Python's json.dumps writes it.
func pythonJSON(s string) []byte {
	b := []byte{'"'}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c >= ' ' && c <= '~' || c == 0x7f:
			b = append(b, byte(c))
		default:
			for _, u := range utf16.AppendRune(nil, c) {
				b = fmt.Appendf(b, `\u%04x`, u)
			}
		}
	}
	return append(b, '"')
}
