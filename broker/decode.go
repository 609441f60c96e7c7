package broker

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// A decoder reads what an encoder wrote, without reflection. It gives up
// (bad) at all that an encoder does not write: malformed input, names that it
// does not know, members that stand twice. encoding/json reads those, and
// makes the errors. Texts of operations are cut from one string.
type decoder struct {
	text string
	at   int
	bad  bool
}

// decodeFast returns the unit in data; ok is false where encoding/json has to
// look.
func decodeFast(data []byte) (u *Unit, ok bool) {
	if !utf8.Valid(data) {
		return nil, false
	}
	d := &decoder{text: string(data)}
	u = &Unit{}
	d.unit(u)
	return u, !d.bad && d.at == len(d.text)
}

func (d *decoder) unit(u *Unit) {
	for more := d.enter('{', '}'); more; more = d.next('}') {
		switch d.name() {
		case "id":
			d.own(&u.ID)
		case "message_id":
			d.own(&u.MessageID)
		case "tenant":
			d.own(&u.Tenant)
		case "site":
			d.own(&u.Site)
		case "feed":
			d.own(&u.Feed)
		case "target":
			d.own(&u.Target)
		case "lane":
			d.own(&u.Lane)
		case "kind":
			d.own(&u.Kind)
		case "sender_id":
			d.own(&u.SenderID)
		case "mapping":
			d.own(&u.Mapping)
		case "key":
			d.own(&u.Key)
		case "other_keys":
			d.bad = d.bad || u.OtherKeys != nil
			u.OtherKeys = make([]string, 0, 1)
			for more := d.enter('[', ']'); more; more = d.next(']') {
				u.OtherKeys = append(u.OtherKeys, strings.Clone(d.string()))
			}
		case "idempotency":
			d.own(&u.Idempotency)
		case "verdict":
			d.own((*string)(&u.Verdict))
		case "class":
			d.own(&u.Class)
		case "reason":
			d.own(&u.Reason)
		case "on_dead_letter":
			d.own(&u.OnDeadLetter)
		case "atomic":
			d.literal("true", nil) // never written when it is false
			u.Atomic = !d.bad
		case "received_at":
			d.time(&u.ReceivedAt)
		case "mapped_at":
			d.time(&u.MappedAt)
		case "trace":
			d.own(&u.Trace)
		case "ops":
			d.bad = d.bad || u.Ops != nil
			u.Ops = make([]Operation, 0, 4)
			for more := d.enter('[', ']'); more; more = d.next(']') {
				u.Ops = append(u.Ops, Operation{})
				d.operation(&u.Ops[len(u.Ops)-1])
			}
		default:
			d.bad = true
		}
	}
}

func (d *decoder) operation(o *Operation) {
	for more := d.enter('{', '}'); more; more = d.next('}') {
		switch d.name() {
		case "op":
			o.ID = d.string()
		case "model":
			o.Model = d.string()
		case "do":
			o.Do = d.string()
		case "xid":
			o.XID = d.string()
		case "by":
			d.values(&o.By)
		case "vals":
			d.values(&o.Vals)
		case "on_create":
			d.values(&o.OnCreate)
		case "on_update":
			d.values(&o.OnUpdate)
		case "on":
			o.On = d.string()
		case "on_none":
			o.OnNone = d.string()
		case "method":
			o.Method = d.string()
		case "args":
			d.values(&o.Args)
		case "only_if":
			d.values(&o.OnlyIf)
		case "unchanged_since":
			o.UnchangedSince = d.string()
		case "context":
			d.values(&o.Context)
		case "format":
			o.Format = d.string()
		case "document":
			o.Document = d.document()
		default:
			d.bad = true
		}
	}
}

// take consumes c.
func (d *decoder) take(c byte) bool {
	if d.at < len(d.text) && d.text[d.at] == c {
		d.at++
		return true
	}
	return false
}

// expect consumes c, and nothing else is right.
func (d *decoder) expect(c byte) {
	if !d.take(c) {
		d.bad = true
	}
}

// enter begins an object or a list and says whether it has an item.
func (d *decoder) enter(open, end byte) bool {
	d.expect(open)
	return !d.bad && !d.take(end)
}

// next says whether another item follows.
func (d *decoder) next(end byte) bool {
	if d.bad || d.take(end) {
		return false
	}
	d.expect(',')
	return !d.bad
}

func (d *decoder) name() string {
	s := d.string()
	d.expect(':')
	return s
}

// own reads a text that does not keep the whole unit in memory.
func (d *decoder) own(s *string) { *s = strings.Clone(d.string()) }

func (d *decoder) string() string {
	raw, escaped := d.quoted()
	if d.bad {
		return ""
	}
	if !escaped {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal([]byte(raw), &s) != nil {
		d.bad = true
	}
	return s
}

func (d *decoder) document() Document {
	doc, err := base64.StdEncoding.DecodeString(d.string())
	d.bad = d.bad || err != nil
	return doc
}

// quoted returns a text as it stands, with its quotes, and whether it has
// escapes.
func (d *decoder) quoted() (raw string, escaped bool) {
	start := d.at
	d.expect('"')
	for d.at < len(d.text) {
		switch c := d.text[d.at]; {
		case c == '"':
			d.at++
			return d.text[start:d.at], escaped
		case c == '\\':
			escaped = true
			d.at++ // the next one may be a quote
		case c < ' ':
			d.bad = true
		}
		d.at++
	}
	d.bad = true
	return "", false
}

func (d *decoder) time(t *time.Time) {
	if raw, _ := d.quoted(); !d.bad && t.UnmarshalJSON([]byte(raw)) != nil {
		d.bad = true
	}
}

func (d *decoder) values(v *Values) {
	d.bad = d.bad || *v != nil
	*v = d.object(0)
}

func (d *decoder) object(depth int) map[string]any {
	m := map[string]any{}
	for more := d.enter('{', '}'); more; more = d.next('}') {
		name := d.name()
		m[name] = d.value(depth + 1)
	}
	return m
}

func (d *decoder) value(depth int) any {
	if d.bad || d.at >= len(d.text) || depth > 100 {
		d.bad = true
		return nil
	}
	rest := d.text[d.at:]
	switch rest[0] {
	case '"':
		return d.string()
	case '{':
		return d.object(depth)
	case '[':
		list := []any{}
		for more := d.enter('[', ']'); more; more = d.next(']') {
			list = append(list, d.value(depth+1))
		}
		return list
	case 't':
		return d.literal("true", true)
	case 'f':
		return d.literal("false", false)
	case 'n':
		return d.literal("null", nil)
	}
	n := numberLen(rest)
	d.bad = d.bad || n == 0
	d.at += n
	return json.Number(rest[:n])
}

func (d *decoder) literal(text string, v any) any {
	if !strings.HasPrefix(d.text[d.at:], text) {
		d.bad = true
	}
	d.at += len(text)
	return v
}
