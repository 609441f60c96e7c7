package mapping

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
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
// What is coarser than least is an error.
func (m moment) instant(zone *time.Location, least precision) (time.Time, error) {
	if m.prec < least {
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

// A layout is a notation of dates: YYYY MM DD HH MI SS and literal characters.
type layout struct {
	format string // as the file has it: "MM/DD/YYYY"
	goes   string // for package time
	prec   precision
}

var layoutTokens = [...]struct {
	token, goes string
	prec        precision
}{{"YYYY", "2006", toYear}, {"MM", "01", toMonth}, {"DD", "02", toDay}, {"HH", "15", toHour}, {"MI", "04", toMinute}, {"SS", "05", toSecond}}

// newLayout checks a notation.
func newLayout(format string, withTime bool) (layout, error) {
	l := layout{format: format}
	seen := map[precision]bool{}
next:
	for i := 0; i < len(format); {
		for _, t := range layoutTokens {
			if strings.HasPrefix(format[i:], t.token) {
				if seen[t.prec] {
					return l, fmt.Errorf("%s stands twice in a date format", t.token)
				}
				seen[t.prec] = true
				l.prec = max(l.prec, t.prec)
				l.goes += t.goes
				i += len(t.token)
				continue next
			}
		}
		if c := format[i]; c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' && c != 'T' || c >= 'a' && c <= 'z' || c >= utf8.RuneSelf {
			return l, fmt.Errorf("a date format is made of YYYY MM DD HH MI SS and separators, not %q", format[i:])
		}
		l.goes += format[i : i+1]
		i++
	}
	if !seen[toYear] || !seen[toMonth] || !seen[toDay] || withTime && (!seen[toHour] || !seen[toMinute]) {
		return l, errors.New("a date format names YYYY, MM and DD; a datetime format HH and MI too")
	}
	return l, nil
}

func (l *layout) parse(s string) (moment, error) {
	t, err := time.Parse(l.goes, s)
	if err != nil {
		return moment{}, errors.New("does not fit " + l.format)
	}
	return moment{t: t, prec: l.prec}, nil
}

// moment reads a date in its declared notation, or in that of HL7 and ISO 8601.
func (l *layout) moment(s string) (moment, error) {
	if l == nil {
		return parseMoment(s)
	}
	return l.parse(s)
}
