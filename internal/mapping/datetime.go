package mapping

import (
	"errors"
	"fmt"
	"time"
)

// A precision is how much of a point in time was said. What was not said is
// never made up.
type precision uint8

const (
	toYear precision = iota
	toMonth
	toDay
	toHour
	toMinute
	toSecond
)

func (p precision) String() string {
	return [...]string{"year", "month", "day", "hour", "minute", "second"}[p]
}

// A moment is a point in time as it was written.
type moment struct {
	t      time.Time // in its own offset, or UTC when it has none
	prec   precision
	offset bool // an offset was written
}

var errNotADate = errors.New("is not a date")

// parseMoment reads HL7's YYYY[MM[DD[HH[MM[SS[.S…]]]]]][±ZZZZ] (chapter 2A.21,
// 2A.22) and ISO 8601's YYYY[-MM[-DD[THH:MM[:SS[.S…]][Z|±ZZ:ZZ]]]] (FHIR
// dateTime).
func parseMoment(s string) (moment, error) {
	c := &clock{s: s}
	y := c.number(4)
	m := moment{prec: toYear}
	mo, d, h, mi, sec := 1, 1, 0, 0, 0
	iso := c.peek('-') && len(s) >= 7 && !(len(s) == 9 && digits(s[5:]))
	if iso {
		parts := []struct {
			sep  byte
			into *int
			prec precision
		}{{'-', &mo, toMonth}, {'-', &d, toDay}, {'T', &h, toHour}, {':', &mi, toMinute}, {':', &sec, toSecond}}
		for _, p := range parts {
			if !c.take(p.sep) {
				break
			}
			*p.into, m.prec = c.number(2), p.prec
		}
	} else {
		for _, p := range []struct {
			into *int
			prec precision
		}{{&mo, toMonth}, {&d, toDay}, {&h, toHour}, {&mi, toMinute}, {&sec, toSecond}} {
			if !c.digit() {
				break
			}
			*p.into, m.prec = c.number(2), p.prec
		}
	}
	nanos := 0
	if m.prec == toSecond && c.take('.') {
		nanos = c.fraction()
	}
	zone := time.UTC
	if c.peek('Z') || c.peek('+') || c.peek('-') {
		zone, m.offset = c.offset(), true
	}
	if c.bad || c.i != len(s) || h > 23 || mi > 59 || sec > 59 {
		return m, errNotADate
	}
	m.t = time.Date(y, time.Month(mo), d, h, mi, sec, nanos, zone)
	if m.t.Year() != y || m.t.Month() != time.Month(mo) || m.t.Day() != d || y == 0 {
		return m, errNotADate
	}
	return m, nil
}

// A clock reads the parts of a date.
type clock struct {
	s   string
	i   int
	bad bool
}

func (c *clock) digit() bool { return c.i < len(c.s) && c.s[c.i] >= '0' && c.s[c.i] <= '9' }

func (c *clock) peek(b byte) bool { return c.i < len(c.s) && c.s[c.i] == b }

func (c *clock) take(b byte) bool {
	if c.peek(b) {
		c.i++
		return true
	}
	return false
}

func (c *clock) number(n int) (v int) {
	for range n {
		if !c.digit() {
			c.bad = true
			return v
		}
		v = v*10 + int(c.s[c.i]-'0')
		c.i++
	}
	return v
}

func (c *clock) fraction() (nanos int) {
	for scale := 100_000_000; c.digit(); scale /= 10 {
		nanos += int(c.s[c.i]-'0') * scale
		c.i++
	}
	return nanos
}

func (c *clock) offset() *time.Location {
	if c.take('Z') {
		return time.UTC
	}
	sign := 1
	if c.take('-') {
		sign = -1
	} else {
		c.i++
	}
	h := c.number(2)
	c.take(':')
	m := c.number(2)
	if h > 14 || m > 59 {
		c.bad = true
	}
	return time.FixedZone("", sign*(h*3600+m*60))
}

// date returns YYYY-MM-DD as written, in the sender's own calendar.
func (m moment) date() (string, error) {
	if m.prec < toDay {
		return "", fmt.Errorf("is precise to the %s only", m.prec)
	}
	return m.t.Format(time.DateOnly), nil
}

// instant returns the point in time; without an offset it is in zone. Seconds
// that were not written are 0: HL7 and FHIR let a minute stand for its start.
func (m moment) instant(zone *time.Location) (time.Time, error) {
	if m.prec < toMinute {
		return time.Time{}, fmt.Errorf("is precise to the %s only", m.prec)
	}
	if m.offset {
		return m.t, nil
	}
	if zone == nil {
		return time.Time{}, errors.New("has no offset, and the mapping has no source.zone")
	}
	t := m.t
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone), nil
}

const odooDatetime = "2006-01-02 15:04:05"

// A layout is the FORMAT of `as: {date: MM/DD/YYYY}`: YYYY MM DD HH MI SS and
// literal characters.
type layout string

// newLayout checks a FORMAT.
func newLayout(format string, withTime bool) (layout, error) {
	var out []byte
	seen := map[string]bool{}
	for i := 0; i < len(format); {
		token, goes := "", ""
		for _, t := range [...][2]string{{"YYYY", "2006"}, {"MM", "01"}, {"DD", "02"}, {"HH", "15"}, {"MI", "04"}, {"SS", "05"}} {
			if len(format)-i >= len(t[0]) && format[i:i+len(t[0])] == t[0] {
				token, goes = t[0], t[1]
				break
			}
		}
		if token == "" {
			if c := format[i]; c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' && c != 'T' {
				return "", fmt.Errorf("a date format is made of YYYY MM DD HH MI SS and separators, not %q", format[i:])
			}
			out = append(out, format[i])
			i++
			continue
		}
		seen[token] = true
		out = append(out, goes...)
		i += len(token)
	}
	if !seen["YYYY"] || !seen["MM"] || !seen["DD"] || (withTime && (!seen["HH"] || !seen["MI"])) {
		return "", errors.New("a date format names YYYY, MM and DD; a datetime format HH and MI too")
	}
	return layout(out), nil
}

func (l layout) parse(s string) (moment, error) {
	t, err := time.Parse(string(l), s)
	if err != nil {
		return moment{}, errNotADate
	}
	return moment{t: t, prec: toSecond}, nil
}
