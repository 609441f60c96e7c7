package hl7

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// A charset is what MSH-18 declares (HL7 table 0211). The zero charset is
// ASCII, UTF-8 or not declared: bytes that are not valid UTF-8 are read as
// Windows-1252, because that is what senders that declare nothing send.
type charset struct {
	enc encoding.Encoding
	bom []byte // UTF-16 only: the mark that the message began with
}

// singleByte maps table 0211 to encodings in which no character hides a
// delimiter, so that a value can be decoded alone. ISO 8859-1 is read as
// Windows-1252, which differs only in bytes that 8859-1 has no characters for.
var singleByte = map[string]charset{
	"8859/1":     {enc: charmap.Windows1252},
	"8859/2":     {enc: charmap.ISO8859_2},
	"8859/3":     {enc: charmap.ISO8859_3},
	"8859/4":     {enc: charmap.ISO8859_4},
	"8859/5":     {enc: charmap.ISO8859_5},
	"8859/6":     {enc: charmap.ISO8859_6},
	"8859/7":     {enc: charmap.ISO8859_7},
	"8859/8":     {enc: charmap.ISO8859_8},
	"8859/9":     {enc: charmap.ISO8859_9},
	"8859/15":    {enc: charmap.ISO8859_15},
	"KS X 1001":  {enc: korean.EUCKR},
	"ISO-8859-1": {enc: charmap.Windows1252},
	"CP1252":     {enc: charmap.Windows1252},
}

var (
	utf16LE  = charset{enc: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)}
	utf16BE  = charset{enc: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)}
	gb18030  = charset{enc: simplifiedchinese.GB18030}
	big5     = charset{enc: traditionalchinese.Big5}
	bomLE    = []byte{0xff, 0xfe}
	bomBE    = []byte{0xfe, 0xff}
	win1252  = charset{enc: charmap.Windows1252}
	headerLE = []byte("M\x00S\x00H\x00")
	headerBE = []byte("\x00M\x00S\x00H")
)

func charsetNamed(msh18 []byte) charset {
	if len(msh18) == 0 {
		return charset{}
	}
	return singleByte[strings.ToUpper(strings.TrimSpace(string(msh18)))]
}

// wideCharset recognises the character sets in which the bytes of MSH-1 and
// MSH-2 also occur inside other characters: the whole message has to become
// UTF-8 before it can be split. UTF-16 shows in the first bytes; GB 18030 and
// Big5 are declared in MSH-18.
func wideCharset(b []byte) (charset, bool) {
	if cs, ok := utf16Of(b); ok {
		return cs, true
	}
	start, d, err := readDelimiters(b)
	if err != nil {
		return charset{}, false
	}
	line := b[start:]
	if i := bytes.IndexAny(line[:min(len(line), 4096)], "\r\n"); i >= 0 {
		line = line[:i]
	}
	name := nth(nth(line, d.field, 18), d.repetition, 1)
	return multiByte(name)
}

// multiByte returns the character set of this name in table 0211 if bytes of
// its characters may be delimiters and it is not UTF-16.
func multiByte(name []byte) (charset, bool) {
	switch {
	case bytes.HasPrefix(name, []byte("GB 18030")):
		return gb18030, true
	case bytes.EqualFold(name, []byte("BIG-5")):
		return big5, true
	}
	return charset{}, false
}

// utf16Of recognises UTF-16 by its mark, or by the zeros in "MSH".
func utf16Of(b []byte) (cs charset, ok bool) {
	switch {
	case bytes.HasPrefix(b, bomLE):
		return charset{utf16LE.enc, bomLE}, true
	case bytes.HasPrefix(b, bomBE):
		return charset{utf16BE.enc, bomBE}, true
	case bytes.HasPrefix(b, headerLE):
		return utf16LE, true
	case bytes.HasPrefix(b, headerBE):
		return utf16BE, true
	}
	return charset{}, false
}

func isUTF16(b []byte) bool {
	_, ok := utf16Of(b)
	return ok
}

// decodeAll returns the UTF-8 form of bytes of the character set, without its
// byte order mark.
func (c charset) decodeAll(b []byte) ([]byte, error) {
	return c.enc.NewDecoder().Bytes(bytes.TrimPrefix(b, c.bom))
}

// encodeAll is the inverse of decodeAll, for answers.
func (c charset) encodeAll(b []byte) ([]byte, error) {
	out, err := c.enc.NewEncoder().Bytes(b)
	return append(bytes.Clone(c.bom), out...), err
}

// utf8 returns a value's text. Bytes that the declared character set does not
// have become U+FFFD.
func (m *Message) utf8(raw []byte) string {
	switch {
	case m.wide || isASCII(raw):
		return string(raw)
	case m.chars.enc == nil && utf8.Valid(raw):
		return string(raw)
	}
	cs := m.chars
	if cs.enc == nil {
		cs = win1252
	}
	out, err := cs.decodeAll(raw)
	if err != nil {
		return strings.ToValidUTF8(string(raw), "\ufffd")
	}
	return string(out)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
