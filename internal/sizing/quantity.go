package sizing

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseRate reads messages a second from "50", "50/s", "3000/min", "100k/h" or "100M/day".
func ParseRate(s string) (float64, error) {
	number, per, _ := strings.Cut(strings.TrimSpace(s), "/")
	seconds, ok := map[string]float64{"": 1, "s": 1, "min": 60, "h": 3600, "day": 86400, "d": 86400}[per]
	n, err := parse(number, map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9})
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is no rate: give 50/s, 3000/min, 100k/h or 100M/day", s)
	}
	return n / seconds, nil
}

// ParseBytes reads "1200", "1.2KB", "64GB" or "2TB", by thousands as disks are sold.
func ParseBytes(s string) (int64, error) {
	n, err := parse(strings.TrimSpace(s), map[string]float64{"": 1, "B": 1, "KB": 1e3, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12})
	if err != nil {
		return 0, fmt.Errorf("%q is no size: give 1200, 1.2KB, 64GB or 2TB", s)
	}
	return int64(n), nil
}

// ParseKeep reads a duration, in days as well: "14d", "336h".
func ParseKeep(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 36500 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	} else if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is no time: give 14d or 336h", s)
}

// parse reads a number with one of these units behind it.
func parse(s string, units map[string]float64) (float64, error) {
	i := strings.LastIndexAny(s, "0123456789.") + 1
	n, err := strconv.ParseFloat(s[:i], 64)
	unit, ok := units[strings.TrimSpace(s[i:])]
	if err != nil || !ok || n < 0 || n > 1e15 {
		return 0, strconv.ErrSyntax
	}
	return n * unit, nil
}

// Bytes is a size for people.
func Bytes(n int64) string { return short(float64(n), "B") }

// Count is a number for people.
func Count(n float64) string { return strings.TrimSuffix(short(n, ""), " ") }

func short(n float64, unit string) string {
	for i, prefix := range []string{"", "k", "M", "G", "T", "P"} {
		if n < 999.5 || i == 5 {
			digits := 0
			if n < 9.95 && i > 0 {
				digits = 1
			}
			return fmt.Sprintf("%.*f %s%s", digits, n, prefix, unit)
		}
		n /= 1000
	}
	return ""
}
