package ops

import (
	"testing"
	"time"
)

func TestTheVerdictSaysInPlainWordsHowALaneDoes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 12, 3, 24, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		facts facts
		level Level
		text  string
	}{
		"a lane that applied a moment ago flows": {
			facts{LastApplied: ago(time.Second)}, Fine, "flowing"},
		"a worker that shares a target says what its backlog is of": {
			facts{Backlog: 12300, Oldest: ago(3 * time.Minute), Rate: 50, Counted: 22, Partitions: 64}, Fine, "behind: 12,300 to go in 22 of 64 partitions, about 4 min"},
		"young backlog is what flowing looks like": {
			facts{Backlog: 70, Oldest: ago(2 * time.Second), LastApplied: ago(time.Second)}, Fine, "flowing"},
		"quiet hours are not a fault": {
			facts{LastApplied: ago(12 * time.Minute)}, Fine, "idle since 03:12"},
		"yesterday's idleness has its date": {
			facts{LastApplied: ago(30 * time.Hour)}, Fine, "idle since 10 Mar 21:24"},
		"a new lane has done nothing": {
			facts{}, Fine, "nothing applied yet"},
		"an open breaker says who, since when and how many": {
			facts{Breaker: "open", BreakerSince: ago(12 * time.Minute), Backlog: 300, Parked: 40, Dead: 1}, Broken, "waiting: odoo does not answer since 12 min, 340 wait"},
		"an open breaker says why, if it is known": {
			facts{Breaker: "open", BreakerSince: ago(40 * time.Second), Problem: "odoo.access_denied", Backlog: 1}, Broken, "waiting: odoo does not answer since 40 s (odoo.access_denied), 1 waits"},
		"a half-open breaker is being tried": {
			facts{Breaker: "half-open", Backlog: 5, Oldest: ago(time.Minute)}, Attention, "waiting: odoo is being tried again, 5 wait"},
		"one patient waits for a person": {
			facts{Dead: 1, Held: 1, Noun: "patient", LastApplied: ago(time.Second)}, Attention, "1 patient waits for a person: see vagus dead ls"},
		"of a feed the list is narrowed to it": {
			facts{Feed: "adt", Dead: 3, Held: 2, Noun: "record", Parked: 1200}, Attention, "2 records wait for a person, 1,200 parked: see vagus dead ls --feed adt"},
		"dead letters that hold nobody need a person all the same": {
			facts{Dead: 1}, Attention, "1 dead letter needs a person: see vagus dead ls"},
		"several dead letters": {
			facts{Dead: 12}, Attention, "12 dead letters need a person: see vagus dead ls"},
		"a backlog that clears soon is fine": {
			facts{Backlog: 12300, Oldest: ago(3 * time.Minute), Rate: 50, LastApplied: ago(time.Second)}, Fine, "behind: 12,300 to go, about 4 min"},
		"a backlog that clears late needs a look": {
			facts{Backlog: 1234567, Oldest: ago(3 * time.Minute), Rate: 50}, Attention, "behind: 1,234,567 to go, about 6 h"},
		"a feed's backlog is its target's": {
			facts{Feed: "adt", Backlog: 100, Oldest: ago(time.Minute), Rate: 50}, Fine, "behind: 100 to go at odoo, about 2 s"},
		"without a rate the oldest tells": {
			facts{Backlog: 7, Oldest: ago(3 * time.Minute), LastApplied: ago(4 * time.Minute)}, Attention, "behind: 7 to go, the oldest waits 3 min"},
		"backlog of unknown age flows while something is applied": {
			facts{Backlog: 7, LastApplied: ago(3 * time.Second)}, Fine, "flowing"},
		"backlog of unknown age dates from the last success": {
			facts{Backlog: 7, LastApplied: ago(3 * time.Hour)}, Attention, "behind: 7 to go, nothing applied since 00:24"},
		"a worker that has just begun is not stuck": {
			facts{Backlog: 7}, Attention, "behind: 7 to go"},
		"backlog and nothing applied is stuck": {
			facts{Backlog: 340, Oldest: ago(20 * time.Minute), LastApplied: ago(24 * time.Minute)}, Broken, "stuck: nothing was applied since 03:00, 340 wait: see the worker's log"},
		"backlog that was never begun is stuck": {
			facts{Backlog: 2, Oldest: ago(20 * time.Minute)}, Broken, "stuck: nothing was applied, 2 wait: see the worker's log"},
		"partitions without a worker stand": {
			facts{Backlog: 9, Unowned: 64, Oldest: ago(time.Minute)}, Broken, "standing: 64 partitions of odoo have no worker, 9 wait: start one"},
		"one partition without a worker and nothing to do is no news": {
			facts{Unowned: 1, LastApplied: ago(time.Second)}, Fine, "flowing"},
		"a few retries are daily life": {
			facts{Parked: 4, OldestParked: ago(2 * time.Minute), LastApplied: ago(time.Second)}, Fine, "flowing, 4 to be tried again"},
		"what waits for another record is no fault, however long": {
			facts{Parked: 5, Waiting: 2, WaitingSince: ago(2 * time.Hour), LastApplied: ago(time.Second)}, Fine, "flowing, 2 wait for a record that is to come since 01:24, 3 behind"},
		"what waits for another record does not hide a retry": {
			facts{Parked: 3, Waiting: 2, WaitingSince: ago(2 * time.Hour), OldestParked: ago(time.Hour)}, Attention, "1 is tried again since 02:24: see vagus messages ls --status parked"},
		"long retries are a person's business": {
			facts{Parked: 1, OldestParked: ago(2 * time.Hour), LastApplied: ago(time.Second)}, Attention, "1 is tried again since 01:24: see vagus messages ls --status parked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.facts.Target = "odoo"
			if got := judge(now, c.facts); got != (Verdict{c.level, c.text}) {
				t.Errorf("got  %v %q\nwant %v %q", got.Level, got.Text, c.level, c.text)
			}
		})
	}
}

func TestTheVerdictOfASite(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 12, 3, 24, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	feed := func(f FeedStatus) SiteStatus { return SiteStatus{LinkUp: true, Feeds: []FeedStatus{f}} }
	for name, c := range map[string]struct {
		site SiteStatus
		link Verdict
		feed Verdict
	}{
		"all is connected": {
			feed(FeedStatus{Listening: true, LastReceived: ago(time.Second)}), Verdict{Fine, "connected"}, Verdict{Fine, "receiving"}},
		"a link that is down leaves the intake open": {
			SiteStatus{LinkSince: ago(12 * time.Minute), Problem: "connection refused", Feeds: []FeedStatus{{Listening: true, LastReceived: ago(time.Second), Waiting: 340}}},
			Verdict{Attention, "link down since 03:12 (connection refused), 340 wait, intake goes on"}, Verdict{Fine, "receiving"}},
		"a journal that fills is told before it refuses": {
			feed(FeedStatus{Listening: true, JournalBytes: 93, JournalLimit: 100}), Verdict{Broken, "a journal is 93% full: its senders are refused at 100%"}, Verdict{Fine, "listening, nothing yet"}},
		"a full journal refuses": {
			feed(FeedStatus{Listening: true, JournalBytes: 100, JournalLimit: 100}), Verdict{Broken, "a journal is 100% full: its senders are refused at 100%"},
			Verdict{Broken, "its journal is full: senders are refused until the cloud has what waits"}},
		"a journal that has lost messages is told until the agent starts again": {
			feed(FeedStatus{Listening: true, LastReceived: ago(time.Second), JournalDamaged: ago(2 * time.Minute)}), Verdict{Fine, "connected"},
			Verdict{Attention, "its journal has lost messages, found at 03:22: the agent's log says since which one; have its senders send again, check the disk, then start the agent again"}},
		"a feed that can not listen": {
			feed(FeedStatus{Problem: "port 2575 is taken"}), Verdict{Fine, "connected"}, Verdict{Broken, "not listening: port 2575 is taken"}},
		"a feed that can not read": {
			feed(FeedStatus{Reads: "Odoo", Problem: "res.partner: odoo.access_denied"}), Verdict{Fine, "connected"}, Verdict{Broken, "cannot read Odoo: res.partner: odoo.access_denied"}},
		"a feed that reads and has found nothing": {
			feed(FeedStatus{Reads: "Odoo", Listening: true}), Verdict{Fine, "connected"}, Verdict{Fine, "reading Odoo, nothing yet"}},
		"new mappings that are refused are told with their place": {
			SiteStatus{LinkUp: true, Mappings: MappingStatus{Loaded: ago(time.Hour), Problem: "/etc/adt.map.yaml:7:3: error[path]: PID has no x", ProblemAt: ago(12 * time.Minute)}, Feeds: []FeedStatus{{Listening: true, LastReceived: ago(time.Second)}}},
			Verdict{Attention, "new mappings refused since 03:12, those of 02:24 stay in force: /etc/adt.map.yaml:7:3: error[path]: PID has no x"}, Verdict{Fine, "receiving"}},
		"a certificate that ran out is told with what to do": {
			SiteStatus{Site: "st-mary", LinkSince: ago(12 * time.Minute), CertificateUntil: ago(12 * time.Minute), Feeds: []FeedStatus{{Listening: true, LastReceived: ago(time.Second), Waiting: 340}}},
			Verdict{Broken, "its certificate ran out at 03:12, the hub lets it in no more, 340 wait, intake goes on: run vagus site renew st-mary at the hub and put its files into the site's bundle"}, Verdict{Fine, "receiving"}},
		"a certificate that was not renewed is told a month before": {
			SiteStatus{Site: "st-mary", LinkUp: true, CertificateUntil: now.Add(29 * 24 * time.Hour), Feeds: []FeedStatus{{Listening: true, LastReceived: ago(time.Second)}}},
			Verdict{Attention, "its certificate runs out in 29 days and was not renewed over the link, the agent's log says why: run vagus site renew st-mary at the hub and put its files into the site's bundle"}, Verdict{Fine, "receiving"}},
		"one with more time is not spoken of": {
			SiteStatus{LinkUp: true, CertificateUntil: now.Add(31 * 24 * time.Hour), Feeds: []FeedStatus{{Listening: true, LastReceived: ago(time.Second)}}}, Verdict{Fine, "connected"}, Verdict{Fine, "receiving"}},
		"after a cut it catches up": {
			feed(FeedStatus{Listening: true, LastReceived: ago(time.Hour), Waiting: 1500, OldestWaiting: ago(time.Hour)}), Verdict{Fine, "catching up: 1,500 to send"}, Verdict{Fine, "idle since 02:24"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := judgeLink(now, c.site); got != c.link {
				t.Errorf("link: got %v, want %v", got, c.link)
			}
			if got := judgeIntake(now, c.site.Feeds[0]); got != c.feed {
				t.Errorf("feed: got %v, want %v", got, c.feed)
			}
		})
	}
}
