// Package stream names the cloud's streams, subjects and headers, creates the
// streams when a cloud is provisioned, and on every normal start checks them
// and refuses unsafe settings with the fix in the error.
//
//	UNITS   unit.<site>.<target>.<partition>.<feed>.<lane>  from sites to workers
//	DOWN    down.<site>.<kind>.<mid>                        from the cloud to a site
//	EVENTS  event.<site>.<feed>.<what>                      outcomes for other programs to read
//	-       answer.<site>.<token>                           what a site says of a document that it was given
//
// The partition is a number from 0 to 63, or 64 (broker.Everywhere) for a unit
// with several ordering keys: the workers of all partitions read it, each at its
// place among the units of its own.
//
// The target stands in the subject so that each target has its own lane: one
// whose breaker is open stops its own units and nobody else's. The lane is one
// of broker.Lanes. mid is broker.ShortID of the unit's id. No token holds PHI.
//
// No unit has a subject of its own: a server holds an entry for each subject of
// a stream in memory (460 bytes resident for each unit, measured, when the last token was an
// id), and to find one unit the ledger is asked. Units of older sites, whose last token is an id, are read as well.
package stream

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// Names of the streams.
const (
	Units  = "UNITS"
	Down   = "DOWN"
	Events = "EVENTS"
)

// Headers of a message in UNITS, beside nats.MsgIdHdr (the unit's id, or
// "<unit id>:<request id>" when a site maps a message again because somebody asked).
const (
	HeaderUnit       = "Vagus-Unit"        // unit id
	HeaderMessage    = "Vagus-Message"     // message id
	HeaderJournalSeq = "Vagus-Journal-Seq" // the message's position in the site's journal; a hint for resuming, never identity
	HeaderPart       = "Vagus-Part"        // "2/3": second of the three units that its message made
	HeaderRemap      = "Vagus-Remap"       // id of the request that asked for this unit again, absent otherwise
	HeaderResume     = "Vagus-Resume"      // beside HeaderRemap: "<journal seq> <message id> <unit id>" of the lane's last ordinary unit, "" if none, so that the last message of a lane always tells where to go on
	HeaderTrace      = "traceparent"       // W3C
)

// Kinds of message in DOWN.
const (
	DownRemap = "remap" // body: JSON {"message":"<message id>","feed":"<feed>","request":"<id>"}: map this message again and send its units
	DownEmit  = "emit"  // body: a unit with a document for a sink of the site
	DownCheck = "check" // no body: ask a sink of the site whether it is well
)

// Headers of DownEmit and DownCheck, beside HeaderUnit.
const (
	HeaderSink   = "Vagus-Sink"   // name of the sink at the site
	HeaderAnswer = "Vagus-Answer" // token of the subject that the answers go to
	HeaderWithin = "Vagus-Within" // how long who asks waits for the outcome, "55s": after that the site does nothing more
	HeaderTTL    = "Nats-TTL"     // as long the hub keeps the message: what nobody waits for is not delivered late
)

// An Answer is what a site says of a DownEmit or DownCheck, as JSON. It says
// Taken at once, and then either Done or Failed. It holds nothing of the document.
type Answer struct {
	State   string          `json:"state"`
	Unit    string          `json:"unit,omitempty"`
	Outcome *broker.Outcome `json:"outcome,omitempty"` // of Done: what the sink said of the unit
	Error   string          `json:"error,omitempty"`   // of Failed: the sink as a whole is unwell, and nothing is known of the unit
}

// AnswerBegan is the token under which a site says, with no body, that its agent began
// anew: what it had taken before and not answered is forgotten.
const AnswerBegan = "began"

// States of an Answer.
const (
	AnswerTaken  = "taken"
	AnswerDone   = "done"
	AnswerFailed = "failed"
)

// UnitSubject returns the subject that a unit travels on.
func UnitSubject(u *broker.Unit) string {
	return "unit." + u.Site + "." + u.Target + "." + strconv.Itoa(u.Partition()) + "." + u.Feed + "." + cmp.Or(u.Lane, broker.Lanes[0])
}

// PartitionFilter selects one partition of a target, or what is for all of them
// (broker.Everywhere), from all sites and feeds.
func PartitionFilter(target string, partition int) string {
	return "unit.*." + target + "." + strconv.Itoa(partition) + ".>"
}

// FeedFilter selects everything that a site's feed sent.
func FeedFilter(site, feed string) string { return "unit." + site + ".*.*." + feed + ".>" }

// DownSubject returns the subject of a message to a site.
func DownSubject(site, kind, mid string) string { return "down." + site + "." + kind + "." + mid }

// AnswerSubject returns the subject of the answers to one request. It is not
// of a stream: who asked listens, or asks again.
func AnswerSubject(site, token string) string { return "answer." + site + "." + token }

// Remaps and Documents name a site's consumers in DOWN. Remaps are acknowledged.
// Documents are not: who gave one waits for its outcome and gives it again, so
// that none is delivered behind one that was given later.
func Remaps(site string) string    { return site }
func Documents(site string) string { return site + "_emit" } // no site's name has a _

// AgentEvent is the subject of what a site's agent tells of itself, such as
// "mappings.taken": five tokens, so that it is never that of a feed's outcome.
func AgentEvent(site, what string) string { return "event." + site + ".agent." + what }

// CheckToken says whether a configured name (site, feed, target) may stand in
// a subject, a stream's name and a file name: 1 to 32 of a-z, 0-9 and "-",
// not beginning with "-".
func CheckToken(what, name string) error {
	ok := name != "" && len(name) <= 32 && name[0] != '-'
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%s %q: use 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit", what, name)
	}
	return nil
}

// ParseUnitSubject splits a subject of the UNITS stream. The last token is
// not read: what a unit's lane is, the unit says.
func ParseUnitSubject(subject string) (site, target string, partition int, feed string, err error) {
	t := strings.Split(subject, ".")
	if len(t) != 6 || t[0] != "unit" {
		return "", "", 0, "", fmt.Errorf("subject %q is not unit.<site>.<target>.<partition>.<feed>.<lane>", subject)
	}
	partition, err = strconv.Atoi(t[3])
	if err != nil {
		return "", "", 0, "", fmt.Errorf("subject %q: partition is not a number", subject)
	}
	return t[1], t[2], partition, t[4], nil
}
