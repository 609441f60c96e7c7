package x12

import (
	"bytes"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// forms are those that a guide may ask of an element, and the code that says it has another (data element 621).
var forms = map[string]struct {
	is   func([]byte) bool
	code string
	class
}{
	"state":    {func(v []byte) bool { return contains(states, string(v)) }, "7", codes},
	"country":  {isCountry, "7", codes},
	"currency": {isCurrency, "7", codes},
	"zip":      {func(v []byte) bool { return isShortZIP(v) || len(v) == 9 && allDigits(v) }, "I12", codes},
	"zip+4":    {func(v []byte) bool { return !isShortZIP(v) }, "I12", zip}, // what is no ZIP at all is told by zip
	"postal":   {isCanadian, "I12", codes},
}

func isShortZIP(v []byte) bool { return len(v) == 5 && allDigits(v) }

// states are those of the United States with their territories and military addresses, and the provinces of Canada
// (code source 22).
var states = []string{
	"AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT",
	"NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
	"AS", "FM", "GU", "MH", "MP", "PR", "PW", "UM", "VI", "AA", "AE", "AP",
	"AB", "BC", "MB", "NB", "NF", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT",
}

// isCountry: two letters of ISO 3166-1.
func isCountry(v []byte) bool {
	r, err := language.ParseRegion(string(v))
	return err == nil && len(v) == 2 && r.IsCountry() && r.String() == string(v)
}

// isCurrency: ISO 4217.
func isCurrency(v []byte) bool {
	u, err := currency.ParseISO(string(v))
	return err == nil && u.String() == string(v)
}

// isCanadian: A1A1A1, with a space in its middle or without.
func isCanadian(v []byte) bool {
	v = bytes.Replace(v, []byte(" "), nil, 1)
	for i, c := range v {
		if letter := c >= 'A' && c <= 'Z'; letter != (i%2 == 0) || !letter && (c < '0' || c > '9') {
			return false
		}
	}
	return len(v) == 6
}

// The data elements that say, one beside the other, how a date or time is written, and which it is.
const (
	periodFormat = 1250
	period       = 1251
)

// periodFault compares a date or time with the format that stands before it, as far as that is one
// of those in use here, and returns the code for what is wrong, or "".
func periodFault(format, v []byte) string {
	date := func(v []byte) bool { return len(v) == 8 && isDate(v) }
	ok, code := true, "8"
	switch string(format) {
	case "D8":
		ok = date(v)
	case "RD8":
		from, to, two := bytes.Cut(v, []byte("-"))
		ok = two && date(from) && date(to)
	case "DT":
		ok = len(v) == 12 && date(v[:8]) && isTime(v[8:])
	case "TM":
		ok, code = len(v) == 4 && isTime(v), "9"
	}
	if ok {
		return ""
	}
	return code
}
