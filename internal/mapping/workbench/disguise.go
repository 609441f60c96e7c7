package workbench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A disguise makes the replacements of one message.
type disguise struct {
	key     []byte
	secrets []string
	body    []byte
	try     int // another one moves dates further
}

// A stream is bytes that a key and a value decide.
type stream struct {
	key, seed []byte
	block     [sha256.Size]byte
	used      int
	n         byte
}

func newStream(key []byte, seed ...string) *stream {
	s := &stream{key: key, used: sha256.Size}
	for _, part := range seed {
		s.seed = binary.BigEndian.AppendUint64(s.seed, uint64(len(part)))
		s.seed = append(s.seed, part...)
	}
	return s
}

// below returns a number from 0 to n-1.
func (s *stream) below(n int) int {
	if s.used+4 > len(s.block) {
		mac := hmac.New(sha256.New, s.key)
		mac.Write(append(s.seed, s.n))
		mac.Sum(s.block[:0])
		s.n++
		s.used = 0
	}
	v := binary.BigEndian.Uint32(s.block[s.used:])
	s.used += 4
	return int(uint64(v) * uint64(n) >> 32)
}

// words replaces letters by letters of the same case, digits by digits, and
// leaves the rest: the shape of a name, a number, an address stays. A leading
// zero stays and no other digit becomes one there.
func (d *disguise) words(text string) string {
	var out string
	for attempt := range 20 {
		s := newStream(d.key, "text", text, string(rune('a'+attempt)))
		var b strings.Builder
		number := false // within digits that have begun with one above 0
		for _, r := range text {
			b.WriteRune(replaced(s, r, &number))
		}
		if out = b.String(); !d.tells(out) && (out != text || !tells(text)) {
			break
		}
	}
	return out
}

const (
	lowerAccents = "àáâãäåçèéêëìíîïñòóôõöùúûü"
	upperAccents = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜ"
)

func replaced(s *stream, r rune, number *bool) rune {
	if r >= '0' && r <= '9' {
		if !*number && r == '0' {
			return r
		}
		low := 0
		if !*number {
			low = 1
		}
		*number = true
		return rune('0' + low + s.below(10-low))
	}
	*number = false
	switch {
	case r >= 'a' && r <= 'z':
		return rune('a' + s.below(26))
	case r >= 'A' && r <= 'Z':
		return rune('A' + s.below(26))
	case r < utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r):
		return r
	case unicode.IsUpper(r):
		return []rune(upperAccents)[s.below(utf8.RuneCountInString(upperAccents))]
	case unicode.IsLower(r):
		return []rune(lowerAccents)[s.below(utf8.RuneCountInString(lowerAccents))]
	}
	return rune(0x4E00 + s.below(0x5000)) // CJK unified ideographs, for scripts without case
}

// tells says whether a text holds one of the message's own values.
func (d *disguise) tells(text string) bool {
	return slices.ContainsFunc(d.secrets, func(s string) bool { return found(text, s) >= 0 })
}

// without replaces, in a value that stays, what is a value that goes
// elsewhere: a facility's name that is an assigning authority too.
func (d *disguise) without(text string) string {
	for _, s := range d.secrets {
		for range 100 {
			i := found(text, s)
			if i < 0 {
				break
			}
			text = text[:i] + d.words(s) + text[i+len(s):]
		}
	}
	return text
}

// pick replaces a code by one of its table, which may be the same.
func (d *disguise) pick(l leaf) string {
	return l.family[newStream(d.key, "code", l.text, l.place, string(d.body)).below(len(l.family))]
}

// families are codes of tables whose values are few and known to everybody,
// and which a code table of a mapping therefore holds.
var families = []struct {
	tables []string
	codes  []string
}{
	{[]string{"HL70001"}, []string{"F", "M", "O", "U"}},
	{[]string{"HL70002"}, []string{"D", "M", "S", "W"}},
	{[]string{"HL70136"}, []string{"N", "Y"}},
	{[]string{"HL70005"}, []string{"1002-5", "2028-9", "2054-5", "2076-8", "2106-3", "2131-1"}},
	{[]string{"HL70189"}, []string{"H", "N", "U"}},
	{[]string{"HL70063"}, []string{"BRO", "CHD", "FTH", "MTH", "SIB", "SIS", "SPO"}},
	{nil, []string{"female", "male", "other", "unknown"}},
	{nil, []string{"true", "false"}},
}

func familyOf(table, text string) []string {
	for _, f := range families {
		if slices.Contains(f.codes, text) && (f.tables == nil || slices.Contains(f.tables, table)) {
			return f.codes
		}
	}
	return nil
}

var (
	compactDate = regexp.MustCompile(`^(\d{4})(\d\d)?(\d\d)?(\d*.*)$`)
	dashedDate  = regexp.MustCompile(`^(\d{4})-(\d\d)(?:-(\d\d))?(.*)$`)
	yearOnly    = regexp.MustCompile(`^\d{4}$`)
)

// date moves a date by a number of days that is the same for the whole message,
// between one year and five into the past, and keeps its precision and time of
// day. What is no date is replaced like other text.
func (d *disguise) date(l leaf) string {
	days := -(366 + newStream(d.key, "days", string(d.body), string(rune('a'+d.try))).below(4*365))
	text := l.text
	if l.layout != "" {
		if layout := goLayout(l.layout); layout != "" {
			if t, err := time.Parse(layout, text); err == nil {
				return t.AddDate(0, 0, days).Format(layout)
			}
		}
		return d.words(text)
	}
	for _, form := range []struct {
		re  *regexp.Regexp
		sep string
	}{{dashedDate, "-"}, {compactDate, ""}} {
		m := form.re.FindStringSubmatch(text)
		if m == nil || form.sep == "-" && yearOnly.MatchString(text) {
			continue
		}
		digits := m[1]
		layout := "2006"
		for i, part := range []string{"01", "02"} {
			if m[i+2] == "" {
				break
			}
			layout, digits = layout+"-"+part, digits+"-"+m[i+2]
		}
		t, err := time.Parse(layout, digits)
		if err != nil {
			return d.words(text)
		}
		return strings.ReplaceAll(t.AddDate(0, 0, days).Format(layout), "-", form.sep) + m[4]
	}
	return d.words(text)
}

// goLayout turns "MM/DD/YYYY" into a layout of package time.
func goLayout(layout string) string {
	return strings.NewReplacer("YYYY", "2006", "YY", "06", "MM", "01", "DD", "02", "HH", "15", "mm", "04", "SS", "05", "ss", "05", "M", "1", "D", "2").Replace(layout)
}
