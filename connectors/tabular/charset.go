package tabular

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// A charset is how a file writes characters: UTF-8, or one byte each with
// ASCII at its usual place, so that rows and cells are cut before it matters.
type charset struct {
	name  string
	bytes *charmap.Charmap // nil: UTF-8
}

// charsets are the names of IANA's registry that charset: takes. A file of
// Windows-1252 that calls itself ISO 8859-1 reads right as either.
var charsets = []charset{
	{"utf-8", nil},
	{"windows-1250", charmap.Windows1250},
	{"windows-1251", charmap.Windows1251},
	{"windows-1252", charmap.Windows1252},
	{"iso-8859-1", charmap.Windows1252},
	{"iso-8859-2", charmap.ISO8859_2},
	{"iso-8859-15", charmap.ISO8859_15},
}

// What [Config.Charset] names: a file in it is read as UTF-8 from there on.
const (
	utf16le = "utf-16le"
	utf16be = "utf-16be"
)

func charsetOf(name string) (charset, error) {
	if name == "" {
		return charsets[0], nil
	}
	i := slices.IndexFunc(charsets, func(c charset) bool { return strings.EqualFold(c.name, name) })
	if i < 0 {
		var names []string
		for _, c := range charsets {
			names = append(names, c.name)
		}
		return charset{}, fmt.Errorf("no charset %q; there are: %s", name, strings.Join(names, ", "))
	}
	return charsets[i], nil
}

// text returns bytes as text.
func (c charset) text(b []byte) (string, error) {
	if c.bytes == nil {
		if at := notUTF8(b); at >= 0 {
			return "", fmt.Errorf("byte %d is not UTF-8: the mapping may say another charset", at)
		}
		return string(b), nil
	}
	if !slices.ContainsFunc(b, func(x byte) bool { return x >= utf8.RuneSelf }) {
		return string(b), nil
	}
	out := make([]byte, 0, len(b)+len(b)/8)
	for i, x := range b {
		char := c.bytes.DecodeByte(x)
		if char == utf8.RuneError {
			return "", fmt.Errorf("byte %d is no character of %s", i, c.name)
		}
		out = utf8.AppendRune(out, char)
	}
	return string(out), nil
}

// valid says whether a cell's bytes are characters.
func (c charset) valid(cell string) bool {
	if c.bytes == nil {
		return utf8.ValidString(cell)
	}
	for i := range len(cell) {
		if cell[i] >= utf8.RuneSelf && c.bytes.DecodeByte(cell[i]) == utf8.RuneError {
			return false
		}
	}
	return true
}

// fromUTF16 returns a file in UTF-16 as UTF-8 with a mark before it, which says so whatever
// was declared, or the file itself when neither its own mark nor what is declared says
// UTF-16.
func fromUTF16(b []byte, declared string) ([]byte, error) {
	order := binary.ByteOrder(binary.LittleEndian)
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		b = b[2:]
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		b, order = b[2:], binary.BigEndian
	case declared == utf16be:
		order = binary.BigEndian
	case declared != utf16le:
		return b, nil
	}
	if len(b)%2 != 0 {
		return nil, errors.New("UTF-16 with half a character at its end: the file was cut off")
	}
	out := make([]byte, 0, len(byteOrderMark)+len(b))
	out = append(out, byteOrderMark...)
	for i := 0; i < len(b); i += 2 {
		char := rune(order.Uint16(b[i:]))
		if utf16.IsSurrogate(char) {
			low := rune(0)
			if i+4 <= len(b) {
				low = rune(order.Uint16(b[i+2:]))
			}
			if char = utf16.DecodeRune(char, low); char == utf8.RuneError {
				return nil, fmt.Errorf("byte %d is half of a character of UTF-16", i)
			}
			i += 2
		}
		out = utf8.AppendRune(out, char)
	}
	return out, nil
}

// notUTF8 returns the offset of the first byte that is no UTF-8, or -1.
func notUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		char, n := utf8.DecodeRune(b[i:])
		if char == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
