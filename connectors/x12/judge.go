package x12

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// A judged is one interchange and what is to become of it.
type judged struct {
	env      *envelope
	body     []byte   // of the delivery
	partner  *Partner // nil: unknown
	from, to party
	hash     string
	verdict  verdict
	faults   []fault // of the interchange, those first for which it is refused
	groups   []judgedGroup
	messages []*judgedMessage // TA1s
}

type judgedGroup struct {
	env     *groupEnvelope
	verdict verdict
	faults  []fault
	sets    []judgedSet
}

type judgedSet struct {
	env      *setEnvelope
	verdict  verdict
	faults   []fault
	messages []judgedMessage
}

// A judgedMessage is a message that is to be accepted, and what came of it.
type judgedMessage struct {
	msg     *broker.Message // nil: refused for its faults
	claim   *claim          // nil: the whole set
	refused bool            // by accept
}

// places says, of the set as a whole, that some of its segments are at fault: by the standard (5), by the guide (I5).
func (t *judgedSet) places() (all []fault) {
	for _, code := range []string{"5", "I5"} {
		if slices.ContainsFunc(t.faults, func(f fault) bool { return f.segment > 0 && (f.code[0] == 'I') == (code == "I5") }) {
			all = append(all, fault{code: code})
		}
	}
	return all
}

// claimAt returns CLM-01 of the claim whose own segments a place is in.
func (t *judgedSet) claimAt(position int) []byte {
	i := sort.Search(len(t.messages), func(i int) bool {
		c := t.messages[i].claim
		return c == nil || c.parts[len(c.parts)-1].last >= position
	})
	if i == len(t.messages) || t.messages[i].claim == nil || t.messages[i].claim.parts[len(t.messages[i].claim.parts)-1].first > position {
		return nil
	}
	return t.messages[i].claim.id
}

func (j *judged) usage() string {
	if j.partner != nil && j.partner.Usage != "" {
		return j.partner.Usage
	}
	if string(j.env.isa.element(15)) == "T" {
		return "T"
	}
	return "P"
}

// saysTA1 says whether the interchange itself is answered.
func (j *judged) saysTA1() bool {
	policy := TA1Auto
	if j.partner != nil {
		policy = j.partner.TA1
	}
	switch policy {
	case TA1None:
		return false
	case TA1Always:
		return true
	}
	return j.verdict != accepted || string(j.env.isa.element(14)) == "1"
}

// A judge makes the messages of a feed's interchanges.
type judge struct {
	origin broker.Origin
	conf   *Config
	body   []byte
	d      broker.Delivery
	left   int // bytes that claims may still have, all together: each repeats what it shares
}

// interchange compares one interchange with what was agreed upon with its partner.
func (g *judge) interchange(env *envelope) *judged {
	isa := &env.isa
	j := &judged{env: env, body: g.body, from: partyOf(isa, 5), to: partyOf(isa, 7), verdict: accepted}
	sum := sha256.Sum256(g.body[env.start:env.end])
	j.hash = hex.EncodeToString(sum[:20])
	var code string
	j.partner, code = g.conf.partnerOf(j.from, j.to)
	if _, err := readParty(j.to.String()); err != nil && j.partner != nil && j.partner.ID != Anyone {
		code, j.to = "007", j.partner.own // there is no other way to answer
		if len(rawElement(isa, 7)) == 2 {
			code = "008"
		}
	}
	if code != "" {
		env.faults = append([]fault{{code: code, class: never}}, env.faults...)
	}
	if j.partner == nil {
		j.settle(env.faults)
		return j
	}
	env.checkISA()
	if usage := string(isa.element(15)); j.partner.Usage != "" && usage != j.partner.Usage {
		env.note("020", never)
	}
	if len(env.groups) == 0 && len(env.acks) == 0 {
		env.note("024", never)
	}
	seen := map[string]bool{}
	for i := range env.groups {
		e := &env.groups[i]
		if e.gs.raw == nil {
			continue
		}
		switch id := e.gs.element(1); {
		case len(id) != 2 || string(id) != must(id, 2) || !allDigits(e.gs.element(6)) || len(e.gs.element(6)) > 9:
			env.note("024", never) // it could not be acknowledged
		case e.headerFault():
			env.note("024", headers)
		}
		number := strings.TrimLeft(string(e.gs.element(6)), "0")
		if seen[number] {
			e.note("19", never)
		}
		seen[number] = true
	}
	j.settle(env.faults)
	if j.verdict == refused {
		return j
	}
	for i := range env.acks {
		ta1 := &env.acks[i]
		body := make([]byte, 0, isa.end-isa.start+len(ta1.raw)+64)
		body = append(append(body, g.body[isa.start:isa.end]...), ta1.raw...)
		body = append(body, isa.d.terminator...)
		j.messages = append(j.messages, &judgedMessage{msg: g.message(acknowledgment.set, join(isa.element(13), []byte(acknowledgment.set), strconv.AppendInt(nil, int64(i+1), 10)), body)})
	}
	for i := range env.groups {
		j.groups = append(j.groups, g.group(j, &env.groups[i]))
	}
	return j
}

// settle sets the verdict of the interchange: a fault that the partner's settings do not tolerate refuses it.
func (j *judged) settle(faults []fault) {
	j.faults, j.verdict = sieve(j.partner, faults)
}

// sieve puts faults for which something is refused first, and says what they
// come to.
func sieve(p *Partner, faults []fault) ([]fault, verdict) {
	var hard, soft []fault
	for _, f := range faults {
		if p != nil && p.tolerates(f.class) {
			soft = append(soft, f)
		} else {
			hard = append(hard, f)
		}
	}
	v := accepted
	switch {
	case len(hard) > 0:
		v = refused
	case len(soft) > 0:
		v = noted
	}
	return append(hard, soft...), v
}

// partyOf reads a qualifier and id, also where a line ends inside of them: then they
// are at fault, and it is still clear whose.
func partyOf(isa *segment, n int) party {
	text := func(v []byte) string {
		return strings.TrimRight(strings.NewReplacer("\r", "", "\n", "").Replace(string(v)), " ")
	}
	return party{text(isa.element(n)), text(isa.element(n + 1))}
}

func (g *judge) group(j *judged, e *groupEnvelope) judgedGroup {
	out := judgedGroup{env: e}
	function, version := string(e.gs.element(1)), string(e.gs.element(8))
	if len(j.partner.Groups) > 0 && !contains(j.partner.Groups, function) {
		e.note("1", never)
	} else if !j.partner.takes(version) {
		e.note("2", never)
	}
	out.faults, out.verdict = sieve(j.partner, e.faults)
	seen := map[string]bool{}
	for i := range e.sets {
		t := &e.sets[i]
		if out.verdict == refused {
			out.sets = append(out.sets, judgedSet{env: t, verdict: refused})
			continue
		}
		control := string(t.st.element(2))
		switch {
		case len(control) == 0 || len(control) > 9:
			t.faults = append(t.faults, fault{code: "7", class: never})
		case seen[control]:
			t.faults = append(t.faults, fault{code: "23", class: never})
		}
		switch set := t.st.element(1); {
		case len(set) != 3 || !allDigits(set):
			t.faults = append(t.faults, fault{code: "6", class: never})
		case !belongs(string(set), function):
			t.faults = append(t.faults, fault{code: "18", class: never})
		}
		if st03 := string(t.st.element(3)); isConvention(st03) && isConvention(version) && baseVersion(st03) != baseVersion(version) {
			t.faults = append(t.faults, fault{code: "19", class: never})
		}
		seen[control] = true
		out.sets = append(out.sets, g.set(j, e, t))
	}
	return out
}

// foreign says whether a set is none that its group may hold.
func (t *setEnvelope) foreign() bool {
	return slices.ContainsFunc(t.faults, func(f fault) bool { return f.code == "6" || f.code == "18" || f.code == "19" })
}

// set makes the messages of a transaction set, one or one for each claim.
func (g *judge) set(j *judged, e *groupEnvelope, t *setEnvelope) judgedSet {
	out := judgedSet{env: t}
	isa, kind := &j.env.isa, string(t.st.element(1))
	guide := guideFor(kind, string(t.st.element(3)), string(e.gs.element(8)))
	var whole verdict
	out.faults, whole = sieve(j.partner, t.faults)
	if t.se.raw == nil || t.foreign() { // where it ends is not known, or what it is to be compared with
		out.messages = []judgedMessage{{}}
		return out
	}
	places := checkSet(g.body, isa, t, guide, string(e.gs.element(8)))
	if kind == "835" {
		places = append(places, checkBalance(g.body, isa, t)...)
		sortFaults(places)
	}
	out.faults = append(out.faults, places...)
	b := barsOf(j.partner, places)
	sender := func(more ...[]byte) string {
		return join(append([][]byte{isa.element(13), e.gs.element(6), t.st.element(2)}, more...)...)
	}
	name := kindOfSet(kind, guide)
	if kind == "837" && g.conf.Split == SplitClaim {
		claims := claimsOf(g.body, isa, t)
		if g.left -= sizeOf(claims); g.left < 0 {
			claims = nil // they stay together
		}
		for i := range claims {
			c := &claims[i]
			m := judgedMessage{claim: c}
			if whole != refused && !b.claim(c) {
				m.msg = g.message(name, sender(strconv.AppendInt(nil, int64(i+1), 10)), reduced(g.body, j.env, e, t, c.parts))
			}
			out.messages = append(out.messages, m)
		}
	}
	if len(out.messages) == 0 {
		m := judgedMessage{}
		if whole != refused && !b.set() {
			all := stretch{from: t.start, to: t.se.start, first: 1, last: t.segments - 1}
			m.msg = g.message(name, sender(), reduced(g.body, j.env, e, t, []stretch{all}))
		}
		out.messages = []judgedMessage{m}
	}
	return out
}

// bars are the places, in order, of the faults for which something is refused.
type bars struct {
	at   []int
	over bool // there are more than are known
}

func barsOf(p *Partner, faults []fault) bars {
	b := bars{over: len(faults) >= maxFaults}
	for i := range faults {
		if f := &faults[i]; !p.tolerates(f.class) {
			b.at = append(b.at, f.segment)
		}
	}
	return b
}

func (b *bars) set() bool { return b.over || len(b.at) > 0 }

// claim says whether one of them is in a claim, or in what it shares with others.
func (b *bars) claim(c *claim) bool {
	for _, p := range c.parts {
		if i := sort.SearchInts(b.at, p.first); i < len(b.at) && b.at[i] <= p.last {
			return true
		}
	}
	return b.over
}

func (g *judge) message(kind, sender string, body []byte) *broker.Message {
	return g.origin.Message(formatName, kind, sender, g.d.At, body)
}

// conclude sets the verdicts of sets and groups when it is known which messages were accepted.
func (j *judged) conclude() (taken, lost int) {
	for i := range j.groups {
		g := &j.groups[i]
		good, bad := 0, 0 // sets
		for k := range g.sets {
			t := &g.sets[k]
			ok := 0
			for m := range t.messages {
				if t.messages[m].msg != nil && !t.messages[m].refused {
					ok++
				}
			}
			appRefused := false
			for m := range t.messages {
				appRefused = appRefused || t.messages[m].refused
			}
			switch {
			case ok == 0:
				t.verdict = refused
			case ok < len(t.messages) || len(t.faults) > 0:
				t.verdict = noted
			default:
				t.verdict = accepted
			}
			if appRefused {
				t.faults = append([]fault{{code: "I5", class: never}}, t.faults...)
			}
			taken, lost = taken+ok, lost+max(len(t.messages), 1)-ok
			switch t.verdict {
			case refused:
				bad++
			case accepted:
				good++
			}
		}
		switch {
		case g.verdict == refused || bad == len(g.sets) && bad > 0:
			g.verdict = refused
		case bad > 0:
			g.verdict = partly
		case good < len(g.sets) || len(g.faults) > 0:
			g.verdict = noted
		default:
			g.verdict = accepted
		}
	}
	for _, m := range j.messages {
		if m.refused {
			lost++
		} else {
			taken++
		}
	}
	for i := range j.groups {
		if g := &j.groups[i]; string(g.env.gs.element(1)) == "FA" && g.verdict != accepted && j.verdict == accepted {
			j.verdict, j.faults = noted, append(j.faults, fault{code: "024", class: never}) // an acknowledgment is not acknowledged: there is no other way to say it
		}
	}
	if j.verdict == refused { // nothing of it was looked at
		for i := range j.env.groups {
			lost += len(j.env.groups[i].sets)
		}
		lost = max(lost, 1)
	}
	return taken, lost
}

// guideFor returns the guide that a set names in ST-03 or GS-08, or that of the
// release where it names none or one that we do not have; nil where there is none.
func guideFor(set string, conventions ...string) *guide {
	var plain *guide
	for _, name := range conventions {
		if len(name) < 6 {
			continue
		}
		for _, g := range guides() {
			if g.set != set {
				continue
			}
			if baseVersion(g.version) == baseVersion(name) {
				return g
			}
			if g.version == name[:6] {
				plain = g
			}
		}
	}
	return plain
}

// kindOfSet names a transaction set as people do: of an 837 whether it is
// professional (P), institutional (I) or dental (D), of a 277 that it is an acknowledgment.
func kindOfSet(set string, g *guide) string {
	if g != nil {
		switch baseVersion(g.version) {
		case "005010X222", "004010X098":
			return "837P"
		case "005010X223", "004010X096":
			return "837I"
		case "005010X224", "004010X097":
			return "837D"
		case "005010X214":
			return "277CA"
		}
	}
	if len(set) > 3 || !isPlain(set) {
		return formatName
	}
	return set
}

// join makes a sender's id of control numbers.
func join(parts ...[]byte) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		if isPlain(string(p)) && len(p) <= 15 {
			b.Write(p)
		}
	}
	return b.String()
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
