package ops

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Level says how much a verdict matters.
type Level int

const (
	Fine      Level = iota // nothing to do
	Attention              // a person should look, today
	Broken                 // something stands still: now
)

var levelNames = [...]string{"fine", "attention", "broken"}

// String returns "fine", "attention" or "broken".
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return "level(" + strconv.Itoa(int(l)) + ")"
	}
	return levelNames[l]
}

// MarshalText implements [encoding.TextMarshaler].
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote; what it does not know is Broken.
func (l *Level) UnmarshalText(b []byte) error {
	*l = Broken
	for i, n := range levelNames {
		if n == string(b) {
			*l = Level(i)
		}
	}
	return nil
}

// A Verdict is a state in plain words.
type Verdict struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// facts are what a verdict about one lane (a target, or one feed at a target)
// is made of.
type facts struct {
	Target       string // for the words
	Feed         string // "" for the target as a whole
	Breaker      string // "closed" (also ""), "half-open", "open"
	BreakerSince time.Time
	Problem      string    // why the breaker is open: a class or a sentence
	Unowned      int       // partitions that no worker holds
	Backlog      int       // not settled yet, in the stream
	Oldest       time.Time // of the backlog; zero = not known
	Rate         float64   // settled a second, lately; 0 = not known
	Counted      int       // partitions, of all Partitions, that these three are of; 0 = all
	Partitions   int
	Parked       int
	OldestParked time.Time // of those that are to be tried again
	Waiting      int       // of Parked, those that wait for what another unit is to bring
	WaitingSince time.Time
	Dead         int
	Held         int    // keys that wait behind a dead letter
	Noun         string // what a key is: "patient" or "record"
	LastApplied  time.Time
}

const (
	lateAfter   = 30 * time.Second // younger backlog is what flowing looks like
	stuckAfter  = 5 * time.Minute  // backlog and nothing settled for so long: something is wrong here, not there
	retryAlert  = 15 * time.Minute // a unit that has been retried for so long is a person's business
	behindAlert = 10 * time.Minute // a backlog that takes longer than this to clear
	idleAfter   = 5 * time.Minute
	// certificateAlert is how long before its end a certificate is a person's business: it should have been renewed by itself.
	certificateAlert = 30 * 24 * time.Hour
)

// judge says in one sentence how a lane does at now, the worst first. Times in
// the sentence are in now's zone.
func judge(now time.Time, f facts) Verdict {
	waiting := f.Backlog + f.Parked
	lsFlags := ""
	if f.Feed != "" {
		lsFlags = " --feed " + f.Feed
	}
	switch {
	case f.Breaker == "open":
		t := "waiting: " + f.Target + " does not answer"
		if !f.BreakerSince.IsZero() {
			t += " since " + span(now.Sub(f.BreakerSince))
		}
		if f.Problem != "" {
			t += " (" + f.Problem + ")"
		}
		return Verdict{Broken, t + wait(waiting)}
	case f.Unowned > 0 && f.Backlog > 0:
		return Verdict{Broken, fmt.Sprintf("standing: %s of %s have no worker%s: start one", count(f.Unowned, "partition"), f.Target, wait(waiting))}
	case f.Backlog > 0 && !f.Oldest.IsZero() && older(now, f.Oldest, stuckAfter) && older(now, f.LastApplied, stuckAfter) && f.Rate <= 0:
		t := "stuck: nothing was applied"
		if !f.LastApplied.IsZero() {
			t += " since " + clock(now, f.LastApplied)
		}
		return Verdict{Broken, t + wait(waiting) + ": see the worker's log"}
	case f.Held > 0:
		verb := "waits"
		if f.Held > 1 {
			verb = "wait"
		}
		t := fmt.Sprintf("%s %s for a person", count(f.Held, f.Noun), verb)
		if f.Parked > 0 {
			t += fmt.Sprintf(", %s parked", number(f.Parked))
		}
		return Verdict{Attention, t + ": see vagus dead ls" + lsFlags}
	case f.Dead > 0:
		verb := "needs"
		if f.Dead > 1 {
			verb = "need"
		}
		return Verdict{Attention, fmt.Sprintf("%s %s a person: see vagus dead ls%s", count(f.Dead, "dead letter"), verb, lsFlags)}
	case f.Breaker == "half-open":
		return Verdict{Attention, "waiting: " + f.Target + " is being tried again" + wait(waiting)}
	case f.Backlog > 0 && older(now, backlogSince(f.Oldest, f.LastApplied), lateAfter):
		t := "behind: " + number(f.Backlog) + " to go"
		if f.Feed != "" {
			t += " at " + f.Target
		}
		if f.Counted > 0 && f.Counted < f.Partitions {
			t += fmt.Sprintf(" in %d of %d partitions", f.Counted, f.Partitions)
		}
		switch {
		case f.Rate > 0:
		case !f.Oldest.IsZero():
			return Verdict{Attention, t + ", the oldest waits " + span(now.Sub(f.Oldest))}
		case !f.LastApplied.IsZero():
			return Verdict{Attention, t + ", nothing applied since " + clock(now, f.LastApplied)}
		default:
			return Verdict{Attention, t}
		}
		left := time.Duration(float64(f.Backlog) / f.Rate * float64(time.Second))
		v := Verdict{Fine, t + ", about " + span(left)}
		if left > behindAlert {
			v.Level = Attention
		}
		return v
	case f.Parked > 0:
		tried := f.Parked - f.Waiting
		switch {
		case f.Waiting > 0 && f.OldestParked.IsZero():
			t := fmt.Sprintf("flowing, %s for a record that is to come since %s", waits(f.Waiting), clock(now, f.WaitingSince))
			if tried > 0 {
				t += ", " + number(tried) + " behind"
			}
			return Verdict{Fine, t}
		case older(now, f.OldestParked, retryAlert) && !f.OldestParked.IsZero():
			return Verdict{Attention, fmt.Sprintf("%s tried again since %s: see vagus messages ls --status parked%s", are(tried), clock(now, f.OldestParked), lsFlags)}
		}
		return Verdict{Fine, "flowing, " + number(tried) + " to be tried again"}
	case f.LastApplied.IsZero() && f.Backlog == 0:
		return Verdict{Fine, "nothing applied yet"}
	case f.Backlog == 0 && older(now, f.LastApplied, idleAfter):
		return Verdict{Fine, "idle since " + clock(now, f.LastApplied)}
	}
	return Verdict{Fine, "flowing"}
}

// judgeLink says how a site's link does. Intake goes on without it for as long
// as its journals have room.
func judgeLink(now time.Time, s SiteStatus) Verdict {
	waiting, full, oldest := 0, 0.0, time.Time{}
	for _, f := range s.Feeds {
		waiting += f.Waiting
		full = max(full, f.full())
		if oldest.IsZero() || !f.OldestWaiting.IsZero() && f.OldestWaiting.Before(oldest) {
			oldest = f.OldestWaiting
		}
	}
	switch {
	case full >= 0.9:
		return Verdict{Broken, fmt.Sprintf("a journal is %.0f%% full: its senders are refused at 100%%", full*100)}
	case !s.CertificateUntil.IsZero() && now.After(s.CertificateUntil):
		return Verdict{Broken, "its certificate ran out at " + clock(now, s.CertificateUntil) + ", the hub lets it in no more" + wait(waiting) + ", intake goes on: " + renewing(s.Site)}
	case !s.LinkUp:
		t := "link down"
		if !s.LinkSince.IsZero() {
			t += " since " + clock(now, s.LinkSince)
		}
		if s.Problem != "" {
			t += " (" + s.Problem + ")"
		}
		return Verdict{Attention, t + wait(waiting) + ", intake goes on"}
	case s.Mappings.Problem != "":
		return Verdict{Attention, fmt.Sprintf("new mappings refused since %s, those of %s stay in force: %s", clock(now, s.Mappings.ProblemAt), clock(now, s.Mappings.Loaded), s.Mappings.Problem)}
	case !s.CertificateUntil.IsZero() && now.After(s.CertificateUntil.Add(-certificateAlert)):
		return Verdict{Attention, "its certificate runs out in " + span(s.CertificateUntil.Sub(now)) + " and was not renewed over the link, the agent's log says why: " + renewing(s.Site)}
	case waiting > 0 && older(now, oldest, lateAfter):
		return Verdict{Fine, "catching up: " + number(waiting) + " to send"}
	}
	return Verdict{Fine, "connected"}
}

// renewing says how people renew a site's certificate.
func renewing(site string) string {
	return "run vagus site renew " + site + " at the hub and put its files into the site's bundle"
}

// judgeIntake says how a feed receives.
func judgeIntake(now time.Time, f FeedStatus) Verdict {
	switch {
	case !f.Listening:
		t := "not listening"
		if f.Reads != "" {
			t = "cannot read " + f.Reads
		}
		if f.Problem != "" {
			t += ": " + f.Problem
		}
		return Verdict{Broken, t}
	case f.full() >= 1:
		return Verdict{Broken, "its journal is full: senders are refused until the cloud has what waits"}
	case !f.JournalDamaged.IsZero():
		return Verdict{Attention, "its journal has lost messages, found at " + clock(now, f.JournalDamaged) + ": the agent's log says since which one; have its senders send again, check the disk, then start the agent again"}
	case f.LastReceived.IsZero() && f.Reads != "":
		return Verdict{Fine, "reading " + f.Reads + ", nothing yet"}
	case f.LastReceived.IsZero():
		return Verdict{Fine, "listening, nothing yet"}
	case older(now, f.LastReceived, idleAfter):
		return Verdict{Fine, "idle since " + clock(now, f.LastReceived)}
	}
	return Verdict{Fine, "receiving"}
}

// backlogSince dates a backlog: by its oldest unit or, while the worker has none
// of it in hand and can not know, by the last success.
func backlogSince(oldest, lastApplied time.Time) time.Time {
	if oldest.IsZero() {
		return lastApplied
	}
	return oldest
}

// older says whether t is unknown or longer ago than d.
func older(now, t time.Time, d time.Duration) bool { return now.Sub(t) > d }

func wait(n int) string {
	if n == 0 {
		return ""
	}
	return ", " + waits(n)
}

func waits(n int) string {
	if n == 1 {
		return "1 waits"
	}
	return number(n) + " wait"
}

func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return number(n) + " are"
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return number(n) + " " + noun
}

// number writes 12300 as "12,300".
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span writes a duration as people say it: "40 s", "12 min", "3 h", "2 days".
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "1 s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

// clock writes a moment as "03:12", or "12 Mar 03:12" if it was not in the last
// 20 hours.
func clock(now, t time.Time) string {
	t = t.In(now.Location())
	if now.Sub(t) < 20*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}

// clip shortens s to n bytes at most, on a rune's edge.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
