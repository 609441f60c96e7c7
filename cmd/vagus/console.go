package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/ops"
)

// A console is where a command reads and writes. Answers go to out; questions,
// progress and advice go to err, so that out can be piped.
type console struct {
	ctx    context.Context // done at ctrl-C
	out    io.Writer
	err    io.Writer
	in     io.Reader
	width  int  // of out in characters; 0 = no limit: not a terminal
	color  bool // out takes colours
	ask    bool // in and err are a terminal: a person can be asked
	live   bool // err is a terminal: a line may be drawn again
	now    func() time.Time
	loc    *time.Location
	getenv func(string) string
	poll   time.Duration // between questions about something that goes on
}

// newConsole returns the console of this process.
func newConsole(ctx context.Context) *console {
	c := &console{ctx: ctx, out: os.Stdout, err: os.Stderr, in: os.Stdin, now: time.Now, loc: time.Local, getenv: os.Getenv, poll: 500 * time.Millisecond}
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	if tty(os.Stdout) {
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			c.width = w
		}
		if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
			c.width = n
		}
		c.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	c.live = tty(os.Stderr) && os.Getenv("TERM") != "dumb"
	c.ask = tty(os.Stdin) && tty(os.Stderr)
	return c
}

// An exitError ends a command that has said all there is to say with a code
// other than 0.
type exitError int

func (e exitError) Error() string { return "exit " + strconv.Itoa(int(e)) }

// ExitCode is what the process exits with.
func (e exitError) ExitCode() int { return int(e) }

// interrupted is the exit code after ctrl-C, as shells have it.
const interrupted exitError = 130

// fail prints why a command ended, and the fix on a line of its own, and
// returns the exit code: 0 without an error.
func (c *console) fail(err error) int {
	var exit exitError
	var e *ops.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.Is(err, context.Canceled):
		return int(interrupted)
	case errors.As(err, &e) && err.Error() == e.Error(): // else its wrapping says more
		c.note("vagus: %s", e.Message)
		if e.Fix != "" {
			c.note("  %s", e.Fix)
		}
	default:
		c.note("vagus: %v", err)
	}
	return 1
}

// note writes a line to err.
func (c *console) note(format string, args ...any) {
	fmt.Fprintln(c.err, clean(fmt.Sprintf(format, args...)))
}

// say writes a line to out.
func (c *console) say(format string, args ...any) {
	fmt.Fprintln(c.out, clean(fmt.Sprintf(format, args...)))
}

// printJSON writes v to out, indented.
func (c *console) printJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// confirm asks a person. Anything but yes is no.
func (c *console) confirm(question string) bool {
	fmt.Fprint(c.err, clean(question), " [y/N] ")
	answer := make(chan string, 1)
	go func() { // reading a terminal can not be interrupted; the process ends soon after
		line, _ := bufio.NewReader(io.LimitReader(c.in, 100)).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		return a == "y" || a == "yes"
	case <-c.ctx.Done():
		fmt.Fprintln(c.err)
		return false
	}
}

// connection are the flags of every command that asks the API.
type connection struct {
	API       string `name:"api" env:"VAGUS_API" default:"http://127.0.0.1:8480" placeholder:"URL" help:"Address of the worker's API (${env})."`
	TokenFile string `name:"token-file" env:"VAGUS_TOKEN_FILE" placeholder:"FILE" help:"File with the API's token (${env}); or the token itself in VAGUS_TOKEN."`
	By        string `name:"by" env:"VAGUS_BY" placeholder:"NAME" help:"Your name, for the audit log (${env}; default: the login name)."`
	Output    string `name:"output" short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (f *connection) client(c *console) (*ops.Client, error) {
	token := strings.TrimSpace(c.getenv("VAGUS_TOKEN"))
	if f.TokenFile != "" {
		file, err := os.Open(f.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the API's token: %w: correct --token-file or VAGUS_TOKEN_FILE", err)
		}
		defer file.Close()
		b, err := io.ReadAll(io.LimitReader(file, 4096))
		if err != nil {
			return nil, fmt.Errorf("read the API's token: %w", err)
		}
		if token = strings.TrimSpace(string(b)); token == "" {
			return nil, fmt.Errorf("%s is empty: put the API's token there", f.TokenFile)
		}
	}
	if token == "" {
		return nil, errors.New("no token: give the file that the worker's configuration names for its API with --token-file or VAGUS_TOKEN_FILE")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token has characters that no token has: is --token-file the right file?")
	}
	by := f.By
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if by == "" {
			by = c.getenv(name)
		}
	}
	return ops.NewClient(f.API, broker.NewSecret(token), by)
}

// when writes a moment in the console's zone with its age: "03:12:44 (2h)".
func (c *console) when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	now, t := c.now().In(c.loc), t.In(c.loc)
	layout := "2006-01-02 15:04"
	if y, m, d := now.Date(); t.Year() == y {
		layout = "2 Jan 15:04"
		if t.Month() == m && t.Day() == d {
			layout = "15:04:05"
		}
	}
	return t.Format(layout) + " (" + age(now.Sub(t)) + ")"
}

// age writes a duration in one short word: "5s", "12m", "3h", "2d".
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + age(-d)
	case d < time.Second:
		return strconv.Itoa(int(d.Milliseconds())) + "ms"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + "d"
}

// parseTime reads "2h", "3d", "15:04" (today), "2026-03-01" or RFC 3339, in the
// console's zone where none is given.
func (c *console) parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	now := c.now().In(c.loc)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100000 {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, c.loc); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", s, c.loc); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, c.loc), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 2h, 3d, 15:04, 2026-03-01 or 2026-03-01T04:00:00Z", clean(s))
}

// clean replaces what a terminal would obey: a control id that a hospital's
// system chose must not move the cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (r == utf8.RuneError || !unicode.IsPrint(r)) {
			return '·'
		}
		return r
	}, s)
}

// An ink colours a cell where colours are to be had; nothing is said by colour
// alone.
type ink string

const (
	plain  ink = ""
	green  ink = "32"
	yellow ink = "33"
	red    ink = "31"
	faint  ink = "2"
	bold   ink = "1"
)

// A column of a table. Where the table is too wide for the console, columns
// with the highest drop go first, and then the last column, which holds the
// longest words, is wrapped.
type column struct {
	head  string
	right bool
	drop  int // 0 = stays
}

type cell struct {
	text string
	ink  ink
}

// texts makes a row of plain cells.
func texts(ss ...string) []cell {
	row := make([]cell, len(ss))
	for i, s := range ss {
		row[i].text = s
	}
	return row
}

const minLast = 24 // characters for the last column before others are dropped for it

// table prints rows under the columns' heads; no heads, no head line.
func (c *console) table(cols []column, rows [][]cell) {
	widths := make([]int, len(cols))
	for i, col := range cols {
		widths[i] = len(col.head)
		for _, r := range rows {
			r[i].text = strings.ReplaceAll(clean(r[i].text), "\n", " ")
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
	}
	shown := make([]int, len(cols))
	for i := range cols {
		shown[i] = i
	}
	last := len(cols) - 1
	if c.width > 0 {
		for {
			rest := c.width
			drop := -1
			for n, i := range shown {
				if i != last {
					rest -= widths[i] + 2
				}
				if cols[i].drop > 0 && (drop < 0 || cols[i].drop > cols[shown[drop]].drop) {
					drop = n
				}
			}
			if rest >= min(widths[last], minLast) || drop < 0 {
				widths[last] = max(min(widths[last], rest), min(widths[last], minLast))
				break
			}
			shown = append(shown[:drop], shown[drop+1:]...)
		}
	}
	line := func(cells []cell) {
		var b strings.Builder
		for _, i := range shown {
			text := cells[i].text
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text)))
			if c.color && cells[i].ink != plain && text != "" {
				text = "\x1b[" + string(cells[i].ink) + "m" + text + "\x1b[0m"
			}
			if cols[i].right {
				text, pad = pad+text, ""
			}
			b.WriteString(text)
			if i != shown[len(shown)-1] {
				b.WriteString(pad + "  ")
			}
		}
		fmt.Fprintln(c.out, strings.TrimRight(b.String(), " "))
	}
	head := make([]cell, len(cols))
	any := false
	for i, col := range cols {
		head[i] = cell{col.head, faint}
		any = any || col.head != ""
	}
	if any {
		line(head)
	}
	for _, r := range rows {
		for n, part := range wrap(r[last].text, widths[last]) {
			row := make([]cell, len(cols))
			if n == 0 {
				copy(row, r)
			}
			row[last] = cell{part, r[last].ink}
			line(row)
		}
	}
}

// wrap breaks s between words into lines of width characters; a longer word
// stays whole.
func wrap(s string, width int) []string {
	if utf8.RuneCountInString(s) <= width {
		return []string{s}
	}
	var lines []string
	cur := ""
	for _, w := range strings.Fields(s) {
		if cur != "" && utf8.RuneCountInString(cur)+1+utf8.RuneCountInString(w) > width {
			lines, cur = append(lines, cur), ""
		}
		if cur != "" {
			cur += " "
		}
		cur += w
	}
	return append(lines, cur)
}
