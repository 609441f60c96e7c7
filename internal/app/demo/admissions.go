package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Admissions is a made-up hospital: it admits, registers and updates invented
// patients, a message at a time. The same seed gives the same messages. A
// message is about 1,200 bytes, as ADT is in the field. Not safe for
// concurrent use.
type Admissions struct {
	rnd      *rand.Rand
	patients []patient
	sent     int
	clock    time.Time
}

type patient struct {
	mrn, family, given, middle, sex, birth     string
	street, flat, city, state, zip, area, line string
	version                                    int
}

// An Admission is one message and what a test or a person wants to know of it.
type Admission struct {
	ControlID string // MSH-10
	Event     string // A01, A04 or A08
	MRN       string // the patient's record number: PHI, were the patient real
	Version   int    // how many messages of this patient came before, plus one; also the last part of the street, so that order shows at the target
	Body      []byte
}

var (
	families = []string{"Okafor", "Lindqvist", "Marchetti", "Nakagawa", "Petrov", "Haddad", "Silva", "Novak", "O'Brien", "Castellanos", "Achterberg", "Mbeki"}
	givens   = []string{"Amara", "Björn", "Chiara", "Daichi", "Elena", "Farid", "Gabriela", "Hana", "Ian", "Julia", "Kees", "Lerato"}
	streets  = []string{"Harbor Blvd", "Pine St", "Elm Ave", "Shattuck Ave", "Market St", "Ocean View Dr"}
	cities   = [][3]string{{"Oakland", "CA", "94607"}, {"Berkeley", "CA", "94702"}, {"Portland", "OR", "97205"}, {"Albany", "NY", "12207"}, {"Austin", "TX", "73301"}}
)

// NewAdmissions returns a hospital with this many patients.
func NewAdmissions(seed uint64, patients int) *Admissions {
	a := &Admissions{rnd: rand.New(rand.NewPCG(seed, 0x7661677573)), clock: time.Date(2026, 3, 14, 8, 0, 0, 0, time.UTC)}
	for i := range patients {
		city := pick(a.rnd, cities)
		a.patients = append(a.patients, patient{
			mrn:    fmt.Sprintf("%d%05d", 40+seed%50, i+1),
			family: pick(a.rnd, families), given: pick(a.rnd, givens), middle: string(rune('A' + a.rnd.IntN(26))),
			sex: pick(a.rnd, []string{"F", "M", "U"}), birth: fmt.Sprintf("%d%02d%02d", 1930+a.rnd.IntN(90), 1+a.rnd.IntN(12), 1+a.rnd.IntN(28)),
			street: fmt.Sprintf("%d %s", 1+a.rnd.IntN(2000), pick(a.rnd, streets)), flat: fmt.Sprintf("Apt %d", 1+a.rnd.IntN(40)),
			city: city[0], state: city[1], zip: city[2], area: fmt.Sprint(200 + a.rnd.IntN(700)), line: fmt.Sprintf("555%04d", a.rnd.IntN(10000)),
		})
	}
	return a
}

// Next returns the next message, of a patient chosen at random: a patient's
// first is an admission (A01) or a registration (A04), all later ones are
// updates (A08).
func (a *Admissions) Next() Admission { return a.Of(a.rnd.IntN(len(a.patients))) }

// Of returns the next message of the i-th patient, counting from 0.
func (a *Admissions) Of(i int) Admission {
	p := &a.patients[i]
	p.version++
	a.sent++
	a.clock = a.clock.Add(7 * time.Second)
	event := "A08"
	if p.version == 1 {
		event = pick(a.rnd, []string{"A01", "A04"})
	}
	m := Admission{ControlID: fmt.Sprintf("ADT%07d", a.sent), Event: event, MRN: p.mrn, Version: p.version}
	now := a.clock.Format("20060102150405") + "+0000"
	structure := "ADT_A01"
	lines := []string{
		fmt.Sprintf(`MSH|^~\&|EPIC|NORTH|VAGUS|CLOUD|%s||ADT^%s^%s|%s|P|2.5.1|||AL|NE||UNICODE UTF-8`, now, event, structure, m.ControlID),
		fmt.Sprintf("EVN|%s|%s||||%s", event, now, now),
		fmt.Sprintf("PID|1||%s^^^NORTH^MR~9%s33^^^SSA^SS||%s^%s^%s^^^^L||%s|%s||2106-3^White^CDCREC|%s^%s v%d^%s^%s^%s^USA^H~PO BOX %d^^%s^%s^%s^USA^M||^PRN^PH^^1^%s^%s~^PRN^CP^^1^%s^%s~^NET^Internet^%s@example.org|^WPN^PH^^1^415^5550000|en^English^ISO639|M^Married^HL70002||ACC%s^^^NORTH^AN|||||||||||N",
			p.mrn, p.mrn, p.family, p.given, p.middle, p.birth, p.sex, p.street, p.flat, p.version, p.city, p.state, p.zip, 10+a.sent%90, p.city, p.state, p.zip,
			p.area, p.line, p.area, p.line, strings.ToLower(strings.Trim(p.given, "ö"))+"."+p.mrn, p.mrn),
		"PD1|||North General Hospital^^4471^^^NORTH^XX|10023^Welby^Marcus^^^Dr.^MD^^NORTH^L^^^NPI",
		fmt.Sprintf("NK1|1|%s^Robin^^^^^L|SPO^Spouse^HL70063|%s^%s^%s^%s^%s^USA^H|^PRN^PH^^1^%s^%s||C^Emergency Contact^HL70131|20260101", p.family, p.street, p.flat, p.city, p.state, p.zip, p.area, p.line),
		fmt.Sprintf("PV1|1|I|4W^412^A^NORTH^^^^^Main Building||||10023^Welby^Marcus^^^Dr.^MD|10041^Cuddy^Lisa^^^Dr.^MD||MED||||7|||10023^Welby^Marcus^^^Dr.^MD|INP|V%s%02d^^^NORTH^VN|||||||||||||||||||||||||%s", p.mrn, p.version%100, now),
		"PV2|||^Observation after elective admission^L||||||||||||||||||||||N",
		"IN1|1|PPO2^Preferred Provider Organisation^L|7001^^^NAIC|Acme Health Insurance|PO BOX 9000^^Springfield^IL^62701^USA||^WPN^PH^^1^800^5550100|G-44120|||||||||1^Self^HL70063",
	}
	m.Body = []byte(strings.Join(lines, "\r") + "\r")
	return m
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
