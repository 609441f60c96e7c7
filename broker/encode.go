package broker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth bounds how deep values may be nested on the wire: encoding/json
// reads no more.
const maxDepth = 10_000

// An encoder appends what encoding/json writes of a unit, without reflection:
// every message pays for it once at its site. The first error stays.
type encoder struct {
	buf []byte
	err error
}

func (e *encoder) unit(u *Unit) {
	e.first("id", u.ID)
	e.text("message_id", u.MessageID)
	e.text("tenant", u.Tenant)
	e.text("site", u.Site)
	e.text("feed", u.Feed)
	e.text("target", u.Target)
	e.textIf("lane", u.Lane)
	e.text("kind", u.Kind)
	e.text("sender_id", u.SenderID)
	e.text("mapping", u.Mapping)
	e.textIf("key", u.Key)
	if len(u.OtherKeys) > 0 {
		e.name("other_keys")
		for i, k := range u.OtherKeys {
			e.open('[', i)
			e.buf = appendString(e.buf, k)
		}
		e.buf = append(e.buf, ']')
	}
	e.textIf("idempotency", u.Idempotency)
	e.text("verdict", string(u.Verdict))
	e.textIf("class", u.Class)
	e.textIf("reason", u.Reason)
	e.textIf("on_dead_letter", u.OnDeadLetter)
	if u.Atomic {
		e.name("atomic")
		e.buf = append(e.buf, "true"...)
	}
	e.time("received_at", u.ReceivedAt)
	e.time("mapped_at", u.MappedAt)
	e.textIf("trace", u.Trace)
	if len(u.Ops) > 0 {
		e.name("ops")
		for i := range u.Ops {
			e.open('[', i)
			e.operation(&u.Ops[i])
		}
		e.buf = append(e.buf, ']')
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) operation(o *Operation) {
	e.first("op", o.ID)
	e.text("model", o.Model)
	e.text("do", o.Do)
	e.textIf("xid", o.XID)
	e.valuesIf("by", o.By)
	e.valuesIf("vals", o.Vals)
	e.valuesIf("on_create", o.OnCreate)
	e.valuesIf("on_update", o.OnUpdate)
	e.textIf("on", o.On)
	e.textIf("on_none", o.OnNone)
	e.textIf("method", o.Method)
	e.valuesIf("args", o.Args)
	e.valuesIf("only_if", o.OnlyIf)
	e.textIf("unchanged_since", o.UnchangedSince)
	e.valuesIf("context", o.Context)
	e.textIf("format", o.Format)
	if len(o.Document) > 0 {
		e.name("document")
		e.buf = append(base64.StdEncoding.AppendEncode(append(e.buf, '"'), o.Document), '"')
	}
	e.buf = append(e.buf, '}')
}

// open appends what comes before the i-th item of a list or an object.
func (e *encoder) open(bracket byte, i int) {
	if i > 0 {
		bracket = ','
	}
	e.buf = append(e.buf, bracket)
}

// name appends the name of a member that is not the first.
func (e *encoder) name(name string) {
	e.buf = append(append(append(e.buf, `,"`...), name...), `":`...)
}

func (e *encoder) first(name, s string) {
	e.buf = append(append(append(e.buf, `{"`...), name...), `":`...)
	e.buf = appendString(e.buf, s)
}

func (e *encoder) text(name, s string) {
	e.name(name)
	e.buf = appendString(e.buf, s)
}

func (e *encoder) textIf(name, s string) {
	if s != "" {
		e.text(name, s)
	}
}

func (e *encoder) time(name string, t time.Time) {
	e.name(name)
	var err error
	e.buf = append(e.buf, '"')
	if e.buf, err = t.AppendText(e.buf); err != nil {
		e.err = err
	}
	e.buf = append(e.buf, '"')
}

func (e *encoder) valuesIf(name string, v Values) {
	if len(v) > 0 {
		e.name(name)
		e.object(v, 0)
	}
}

func (e *encoder) object(m map[string]any, depth int) {
	if len(m) == 0 {
		e.buf = append(e.buf, "{}"...)
		return
	}
	var room [32]string
	names := slices.AppendSeq(room[:0], maps.Keys(m))
	slices.Sort(names)
	for i, name := range names {
		e.open('{', i)
		e.buf = append(appendString(e.buf, name), ':')
		e.value(m[name], depth+1)
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) value(v any, depth int) {
	if depth > maxDepth {
		e.err = errors.New("the values are nested too deep")
		return
	}
	switch v := v.(type) {
	case nil:
		e.buf = append(e.buf, "null"...)
	case string:
		e.buf = appendString(e.buf, v)
	case bool:
		if v {
			e.buf = append(e.buf, "true"...)
		} else {
			e.buf = append(e.buf, "false"...)
		}
	case json.Number:
		if !isNumber(string(v)) {
			e.other(v)
			return
		}
		e.buf = append(e.buf, v...)
	case map[string]any:
		if v == nil {
			e.buf = append(e.buf, "null"...)
			return
		}
		e.object(v, depth)
	case []any:
		if v == nil {
			e.buf = append(e.buf, "null"...)
			return
		}
		if len(v) == 0 {
			e.buf = append(e.buf, '[')
		}
		for i, item := range v {
			e.open('[', i)
			e.value(item, depth+1)
		}
		e.buf = append(e.buf, ']')
	default:
		e.other(v)
	}
}

// other leaves the types that mappings do not make to encoding/json.
func (e *encoder) other(v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		e.err = err
	}
	e.buf = append(e.buf, bytes.TrimRight(b.Bytes(), "\n")...)
}

// appendString appends s in quotes, with the escapes of encoding/json: the
// named ones, \u for other control characters and for U+2028 and U+2029, and
// \ufffd for what is not UTF-8.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	plain := 0 // s[plain:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size, escape := 1, ""
		if c < utf8.RuneSelf {
			if n := strings.IndexByte("\"\\\b\f\n\r\t", c); n >= 0 {
				escape = `\"\\\b\f\n\r\t`[2*n : 2*n+2]
			}
		} else {
			var r rune
			switch r, size = utf8.DecodeRuneInString(s[i:]); {
			case r == utf8.RuneError && size == 1:
				escape = `\ufffd`
			case r == '\u2028':
				escape = `\u2028`
			case r == '\u2029':
				escape = `\u2029`
			default:
				i += size
				continue
			}
		}
		dst = append(dst, s[plain:i]...)
		if escape == "" {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		dst = append(dst, escape...)
		i += size
		plain = i
	}
	return append(append(dst, s[plain:]...), '"')
}

// isNumber says whether s is a number of JSON (RFC 8259 section 6).
func isNumber(s string) bool { return len(s) > 0 && numberLen(s) == len(s) }

// numberLen returns the length of the number that s begins with, 0 if there is
// none.
func numberLen(s string) int {
	digits := func(i int) int {
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	end := digits(i)
	if end == i {
		return 0
	}
	if s[i] == '0' {
		end = i + 1
	}
	if i = end; i < len(s) && s[i] == '.' {
		if end = digits(i + 1); end == i+1 {
			return 0
		}
	}
	if i = end; i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if end = digits(i); end == i {
			return 0
		}
	}
	return end
}
