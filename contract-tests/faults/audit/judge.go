package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The rules, as the verdict names them.
const (
	RuleKept    = "acknowledged is kept"          // delivered, a dead letter, or held
	RuleOnce    = "one message, one unit"         // however often it is sent
	RuleOutcome = "each message has its outcome"  // sound ones are applied, the others are held, dead or refused
	RuleOrder   = "order per key"                 // no change takes a thing back
	RuleState   = "the target has the last state" // of each thing
	RuleEffect  = "each effect once"              // no thing twice, no change twice
	RuleUnasked = "nothing that nobody asked for" // no record and no unit without a message
	RuleLedger  = "the ledger says what is"       // applied: the records are there and the change was made
	RuleAccepts = "the site accepts meanwhile"    // faults behind it are not its senders' concern
)

// Rules lists them in the order they are printed.
var Rules = []string{RuleKept, RuleOnce, RuleOutcome, RuleOrder, RuleState, RuleEffect, RuleUnasked, RuleLedger, RuleAccepts}

// A Violation is one sentence of what is wrong.
type Violation struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// A Verdict is what a history shows.
type Verdict struct {
	Seed         uint64        `json:"seed"`
	Command      string        `json:"command"`
	Faults       []string      `json:"faults,omitempty"`
	Offered      int           `json:"offered"`
	Acknowledged int           `json:"acknowledged"`
	Answers      int           `json:"answers"` // positive ones: messages are sent again
	Applied      int           `json:"applied"`
	Held         int           `json:"held"`
	Dead         int           `json:"dead"`
	Changes      int           `json:"changes"`  // committed at the target
	Repeated     int           `json:"repeated"` // of them, near a fault: see Run.Exactly
	Pause        time.Duration `json:"pause"`    // longest time without an acknowledgement
	PauseAt      time.Duration `json:"pause_at"`
	Length       time.Duration `json:"length"`
	Violations   []Violation   `json:"violations"`
}

// Sound says that no rule is violated and something was judged.
func (v *Verdict) Sound() bool { return len(v.Violations) == 0 && v.Acknowledged > 0 }

// A message is an offer and what became of it.
type message struct {
	Offer
	acked bool
	unit  *Unit
}

// A judge is one judgement.
type judge struct {
	v        Verdict
	run      Run
	messages map[string]*message
	sender   map[[2]string][]*message // by feed and sender's id
	asked    map[string][]*message    // by thing
	also     map[string]bool
	units    []*Unit
	records  map[Ref]*Record
	effects  []Line
	faults   []Line
	acks     []time.Duration
	things   things
	done     map[string]map[int]int // changes by thing and version
}

// Judge judges a history. The error says that it is not one.
func Judge(lines []Line) (*Verdict, error) {
	j := &judge{messages: map[string]*message{}, sender: map[[2]string][]*message{}, asked: map[string][]*message{}, also: map[string]bool{},
		records: map[Ref]*Record{}, things: things{map[Ref]map[string]any{}}, done: map[string]map[int]int{}}
	if err := j.take(lines); err != nil {
		return nil, err
	}
	j.judgeEffects()
	j.match()
	j.judgeMessages()
	j.judgeRecords()
	j.judgeFaults()
	for _, m := range j.messages {
		if m.acked {
			j.v.Acknowledged++
		}
	}
	j.v.Offered = len(j.messages)
	return &j.v, nil
}

func (j *judge) wrong(rule, format string, args ...any) {
	j.v.Violations = append(j.v.Violations, Violation{rule, fmt.Sprintf(format, args...)})
}

// take sorts the lines.
func (j *judge) take(lines []Line) error {
	for n, l := range lines {
		j.v.Length = max(j.v.Length, l.At)
		switch {
		case l.Run != nil:
			j.run, j.v.Seed, j.v.Command = *l.Run, l.Run.Seed, l.Run.Command
		case l.Offer != nil:
			o := *l.Offer
			if j.messages[o.Message] != nil {
				return fmt.Errorf("history, line %d: message %s is offered twice", n+1, o.Message)
			}
			m := &message{Offer: o}
			j.messages[o.Message] = m
			id := [2]string{o.Feed, o.SenderID}
			j.sender[id] = append(j.sender[id], m)
			if o.Thing != "" {
				j.asked[o.Thing] = append(j.asked[o.Thing], m)
			}
			for _, thing := range o.Also {
				j.also[thing] = true
			}
		case l.Answer != nil:
			for _, id := range l.Answer.Messages {
				m := j.messages[id]
				if m == nil {
					return fmt.Errorf("history, line %d: message %s is answered and was not offered", n+1, id)
				}
				m.acked = m.acked || l.Answer.OK
			}
			if l.Answer.OK {
				j.v.Answers++
				j.acks = append(j.acks, l.At)
			}
		case l.Fault != nil:
			j.faults = append(j.faults, l)
			if !l.Fault.End {
				j.v.Faults = append(j.v.Faults, l.Fault.Name)
			}
		case l.Unit != nil:
			j.units = append(j.units, l.Unit)
		case l.Record != nil:
			j.records[l.Record.Ref] = l.Record
			j.things.learn(l.Record.Ref, l.Record.Values)
		case l.Effect != nil:
			j.effects = append(j.effects, l)
			j.things.learn(l.Effect.Ref, l.Effect.Values)
		default:
			return fmt.Errorf("history, line %d says nothing", n+1)
		}
	}
	return nil
}

// learn keeps what is said last of each field.
func (t things) learn(r Ref, values map[string]any) {
	if t.values[r] == nil {
		t.values[r] = map[string]any{}
	}
	maps.Copy(t.values[r], values)
}

// judgeEffects walks the changes in the order of their commits.
func (j *judge) judgeEffects() {
	at, made := map[string]int{}, map[string]int{}
	for _, l := range j.effects {
		e := l.Effect
		thing, part := j.things.of(e.Ref)
		if thing == "" {
			continue
		}
		j.v.Changes++
		if !part && e.Kind == "unlink" {
			j.wrong(RuleUnasked, "%s was deleted at %v", thing, l.At)
		}
		if !part && e.Kind == "create" {
			if made[thing]++; made[thing] == 2 {
				j.wrong(RuleEffect, "%s was made twice, again at %v", thing, l.At)
			}
		}
		v := versionOf(e.Model, e.Values)
		if v == 0 || e.Kind == "unlink" {
			continue
		}
		if v < at[thing] {
			j.wrong(RuleOrder, "%s went back from version %d to %d at %v", thing, at[thing], v, l.At)
		}
		at[thing] = v
		if j.done[thing] == nil {
			j.done[thing] = map[int]int{}
		}
		if j.done[thing][v]++; j.done[thing][v] > 1 {
			if j.run.Exactly || !j.excused(l.At) {
				j.wrong(RuleEffect, "version %d of %s was brought about %d times, again at %v", v, thing, j.done[thing][v], l.At)
			} else {
				j.v.Repeated++
			}
		}
	}
}

// excused says whether a fault was there at this moment, or shortly before.
func (j *judge) excused(at time.Duration) bool {
	open := map[string]bool{}
	for _, l := range j.faults {
		if l.At > at {
			break
		}
		open[l.Fault.Name] = !l.Fault.End
		if l.Fault.End && at-l.At <= j.run.Grace {
			return true
		}
	}
	return slices.Contains(slices.Collect(maps.Values(open)), true)
}

// match finds the message of each unit. Of messages with the same sender's id it is that whose
// thing the unit's records are; of those that made no records, the first that has none yet.
func (j *judge) match() {
	slices.SortStableFunc(j.units, func(a, b *Unit) int { return len(b.Records) - len(a.Records) })
	for _, u := range j.units {
		of := j.sender[[2]string{u.Feed, u.SenderID}]
		if len(of) == 0 {
			j.wrong(RuleUnasked, "unit %.13s of feed %s, sender's id %s: no such message was offered", u.ID, u.Feed, u.SenderID)
			continue
		}
		var free []*message
		for _, m := range of {
			if m.unit == nil {
				free = append(free, m)
			}
		}
		if len(free) == 0 {
			j.wrong(RuleOnce, "message %s of feed %s is in the ledger more often than it has contents: unit %.13s (%s) is too much", u.SenderID, u.Feed, u.ID, u.Status)
			continue
		}
		pick := slices.IndexFunc(free, func(m *message) bool {
			return slices.ContainsFunc(u.Records, func(r Ref) bool { thing, _ := j.things.of(r); return thing == m.Thing })
		})
		free[max(pick, 0)].unit = u
	}
}

// judgeMessages holds each message against its unit.
func (j *judge) judgeMessages() {
	for _, id := range slices.Sorted(maps.Keys(j.messages)) {
		m := j.messages[id]
		switch u := m.unit; {
		case m.Want == Refused && m.acked:
			j.wrong(RuleOutcome, "message %s is not what its feed takes, and was acknowledged", id)
		case m.Want == Refused && u != nil:
			j.wrong(RuleUnasked, "message %s was refused to its sender, and is %s in the ledger", id, u.Status)
		case u == nil && m.acked:
			j.wrong(RuleKept, "message %s was acknowledged and is lost", id)
		case u == nil:
		case u.Status == "applied":
			j.v.Applied++
			j.judgeApplied(m)
		case u.Status == "parked":
			j.v.Held++
			if m.Want != Held {
				j.wrong(RuleOutcome, "message %s still waits (%s: %s), and nothing is in its way", id, u.Class, u.Reason)
			}
		case u.Status == "dead":
			j.v.Dead++
			if m.Want == Applied {
				j.wrong(RuleOutcome, "message %s is a dead letter (%s: %s), and nothing is wrong with it", id, u.Class, u.Reason)
			}
		default:
			j.wrong(RuleOutcome, "message %s ended as %q", id, u.Status)
		}
	}
}

// judgeApplied holds a message that is applied, as the ledger says, against the target.
func (j *judge) judgeApplied(m *message) {
	if m.Want != Applied {
		j.wrong(RuleOutcome, "message %s is applied, and the target or its mapping refuses it", m.Message)
		return
	}
	if len(m.unit.Records) == 0 {
		j.wrong(RuleLedger, "message %s is applied and names no record", m.Message)
	}
	right := false
	for _, r := range m.unit.Records {
		thing, _ := j.things.of(r)
		right = right || thing == m.Thing
		if j.records[r] == nil {
			j.wrong(RuleLedger, "message %s is applied to %s(%d), and the target has no such record", m.Message, r.Model, r.ID)
		}
	}
	if !right && len(m.unit.Records) > 0 {
		j.wrong(RuleLedger, "message %s is applied to records that are not %s", m.Message, m.Thing)
	}
	if len(j.effects) > 0 && j.done[m.Thing][m.Version] == 0 {
		j.wrong(RuleLedger, "message %s is applied, and version %d of %s never came to the target", m.Message, m.Version, m.Thing)
	}
}

// judgeRecords holds what the target has against what was asked for.
func (j *judge) judgeRecords() {
	named := map[Ref]bool{}
	for _, u := range j.units {
		if u.Status == "applied" {
			for _, r := range u.Records {
				named[r] = true
			}
		}
	}
	found, at := map[string]int{}, map[string]int{}
	for _, ref := range slices.SortedFunc(maps.Keys(j.records), func(a, b Ref) int { return int(a.ID - b.ID) }) {
		r := j.records[ref]
		thing, part := j.things.of(ref)
		if thing != "" {
			at[thing] = max(at[thing], versionOf(ref.Model, r.Values))
		}
		if r.Before || part {
			continue
		}
		if thing == "" {
			if ref.Model == "res.partner" || ref.Model == "sale.order" || ref.Model == "account.move" {
				j.wrong(RuleUnasked, "%s(%d) is nothing that a message asks for", ref.Model, ref.ID)
			}
			continue
		}
		if found[thing]++; found[thing] == 2 {
			j.wrong(RuleEffect, "%s is there twice: also as %s(%d)", thing, ref.Model, ref.ID)
		}
		owner, kin := strings.CutPrefix(thing, "kin of ")
		if !j.also[owner] && !slices.ContainsFunc(j.asked[owner], func(m *message) bool { return m.Want == Applied }) {
			j.wrong(RuleUnasked, "the target has %s, and no message asks for it", thing)
		} else if !kin && !j.also[thing] && !named[ref] {
			j.wrong(RuleLedger, "%s is at the target, and no applied unit names %s(%d)", thing, ref.Model, ref.ID)
		}
	}
	for _, thing := range slices.Sorted(maps.Keys(j.asked)) {
		acked, offered := 0, map[int]bool{}
		for _, m := range j.asked[thing] {
			if m.Want != Applied {
				continue
			}
			offered[m.Version] = true
			if m.acked {
				acked = max(acked, m.Version)
			}
		}
		switch is := at[thing]; {
		case is != 0 && !offered[is]:
			j.wrong(RuleUnasked, "%s is at version %d, which nobody asked for", thing, is)
		case is < acked:
			j.wrong(RuleState, "%s is at version %d, its last acknowledged message is version %d", thing, is, acked)
		}
	}
	for _, thing := range slices.Sorted(maps.Keys(j.done)) {
		for v := range j.done[thing] {
			if !slices.ContainsFunc(j.asked[thing], func(m *message) bool { return m.Version == v && m.Want == Applied }) {
				j.wrong(RuleUnasked, "version %d of %s came to the target, and no message asks for it", v, thing)
			}
		}
	}
}

// long is how long a fault must last for its senders' acknowledgements to be counted: longer than a
// machine that has much else to do keeps them waiting.
const long = 8 * time.Second

// judgeFaults looks at the acknowledgements: the longest pause, and whether there were
// any during faults that are no concern of the senders.
func (j *judge) judgeFaults() {
	slices.Sort(j.acks)
	for i := 1; i < len(j.acks); i++ {
		if pause := j.acks[i] - j.acks[i-1]; pause > j.v.Pause {
			j.v.Pause, j.v.PauseAt = pause, j.acks[i-1]
		}
	}
	begun := map[string]Line{}
	hindered := func(from, to time.Duration) bool { // another fault was there that keeps the site from accepting
		open := map[string]bool{}
		for _, l := range j.faults {
			if l.At > to {
				break
			}
			if !l.Fault.Accepts {
				if l.Fault.End {
					delete(open, l.Fault.Name)
					if l.At+j.run.Grace > from {
						return true
					}
				} else {
					open[l.Fault.Name] = true
				}
			}
		}
		return len(open) > 0
	}
	for _, l := range j.faults {
		f := l.Fault
		if !f.End {
			begun[f.Name] = l
			continue
		}
		from := begun[f.Name]
		if from.Fault == nil || !from.Fault.Accepts || l.At-from.At < long || hindered(from.At, l.At) {
			continue
		}
		i, _ := slices.BinarySearch(j.acks, from.At+long/3)
		k, _ := slices.BinarySearch(j.acks, l.At)
		if k == i {
			j.wrong(RuleAccepts, "nothing was acknowledged while %q lasted (%v)", f.Name, (l.At - from.At).Round(time.Millisecond))
		}
	}
}
