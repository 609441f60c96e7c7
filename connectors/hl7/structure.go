package hl7

import (
	"slices"
	"strings"
)

// A message's tree shows each segment once for each way in which mappings look
// for it; the nodes are the same.
//
// At the root, and in the two groups that own their segments, as flat as
// can be, so that PID-3 is PID-3 in every message and whatever the sender made
// of the structure:
//
//	the root  every segment that no group owns
//	ORDER     an order with all that belongs to it (ORC, OBR, OBX, NTE, …), and
//	          the PID, PD1, PV1 and PV2 of its patient
//	PATIENT   of the merges and moves A39 to A44: PID, PD1, MRG, PV1
//	          (and PRIOR_RESULT in OML and OMG: results of earlier orders)
//
// and, as views, the groups INSURANCE, PROCEDURE and OBSERVATION.
//
// Beside these, all groups of the standard's message structure, nested and
// exact: PATIENT_RESULT[1].ORDER_OBSERVATION[2].NTE are the notes of that
// order, and those of its results stand in its OBSERVATION (standard.go). Where
// the standard has ORDER at the root, its inner groups are in that ORDER. What
// the standard calls like one of the groups above inside another group is the
// standard's.
//
// Segments that the dictionary does not know stand at the root as well
// as in the ORDER that they follow.

// A rule makes one kind of group.
type rule struct {
	name  string
	start string   // the segment that begins one
	holds []string // what may follow in it; nil: everything
	in    []string // "BAR" or "MFN^M02"; nil: every message
}

func (r *rule) has(name string) bool {
	return name == r.start || r.holds == nil || slices.Contains(r.holds, name)
}

func (r *rule) matches(code, event string) bool {
	for _, k := range r.in {
		c, e, one := strings.Cut(k, "^")
		if c == code && (!one || e == event) {
			return true
		}
	}
	return r.in == nil
}

// part returns the group as a part of a structure.
func (r *rule) part() *part {
	p := &part{name: r.name, many: true, kids: []*part{{name: r.start, must: true}}}
	for _, name := range r.holds {
		p.kids = append(p.kids, &part{name: name, many: !strings.Contains(onlyOnce, name)})
	}
	return newGroup(p)
}

var rootViews = []rule{
	{name: "INSURANCE", start: "IN1", holds: []string{"IN2", "IN3"}},
	{name: "PROCEDURE", start: "PR1", holds: []string{"ROL"}},
	{name: "OBSERVATION", start: "OBX", holds: []string{"NTE", "PRT"}},
}

var orderViews = []rule{
	{name: "OBSERVATION", start: "OBX", holds: []string{"NTE", "PRT"}},
	{name: "SPECIMEN", start: "SPM", holds: []string{"OBX", "SAC"}},
}

const (
	orderGroup   = "ORDER"
	patientGroup = "PATIENT"
	priorGroup   = "PRIOR_RESULT"
)

var (
	mergePatient = rule{name: patientGroup, start: "PID", holds: []string{"PD1", "MRG", "PV1", "ARV"}, in: []string{"ADT^A39", "ADT^A40", "ADT^A41", "ADT^A42", "ADT^A43", "ADT^A44"}}
	priorResult  = rule{name: priorGroup, start: "PID", in: []string{"OML^O21", "OML^O33", "OML^O35", "OMG^O19"}}

	// orderStarts begin an order, and the rest of orderOnly stands in one unless a
	// structure has it elsewhere.
	orderStarts = []string{"ORC", "OBR", "RXO", "RXE", "RXD", "RXG", "RXA", "ODS", "ODT", "RQD", "BPO", "BPX"}
	orderOnly   = append([]string{"TQ1", "TQ2", "RXR", "RXC", "IPC", "RQ1", "BTX"}, orderStarts...)
	// ofPatient are shared with every order of the patient.
	ofPatient = []string{"PID", "PD1", "PV1", "PV2"}
)

// endsOrder says after which segments an order does not go on: those of a
// patient, and those of the whole message.
func endsOrder(name string) bool {
	switch name {
	case "PID", "PD1", "PV1", "PV2", "MRG", "PRB", "GOL", "PTH", "DSC", "NK1",
		"MSH", "MSA", "ERR", "EVN", "SFT", "UAC", "FHS", "FTS", "BHS", "BTS", "QAK", "QPD", "QRD", "QRF", "QID", "RCP", "MFI", "MFE", "SCH", "RGS":
		return true
	}
	return false
}

// A layout is how the messages of one type are grouped.
type layout struct {
	standard  *part // the standard's structure, nil when it is not known
	views     []*rule
	ownPID    bool     // PATIENT owns what it holds
	prior     bool     // PRIOR_RESULT may follow an order
	orderLead string   // the segment that always begins an order
	orderEnds []string // in addition to those of all messages
}

// layoutOf returns the layout of a message; empty names give that of one that
// nothing is known of.
func (d *dictionary) layoutOf(t messageType) layout {
	l := layout{standard: d.structures().of(t.code, t.event, t.structure), orderLead: "ORC", ownPID: mergePatient.matches(t.code, t.event), prior: priorResult.matches(t.code, t.event)}
	l.views = make([]*rule, 0, len(rootViews))
	for i := range rootViews {
		if r := &rootViews[i]; l.standard.group(r.name) == nil {
			l.views = append(l.views, r)
		}
	}
	switch t.code {
	case "OUL":
		l.orderLead, l.orderEnds = "OBR", []string{"SPM"}
		switch t.event {
		case "R23": // an order is of a container
			l.orderEnds = []string{"SPM", "SAC"}
		case "R24": // a specimen is of an order
			l.orderEnds = nil
		}
	case "MDM":
		l.orderEnds = []string{"TXA"}
	case "DFT":
		l.orderEnds = []string{"FT1", "DG1", "DRG", "GT1", "IN1", "ACC"}
	}
	return l
}

// A messageType is MSH-9.
type messageType struct{ code, event, structure string }

// typeNamed reads "ADT_A01", "ADT^A08" or "ADT^A08^ADT_A01".
func typeNamed(s string) (t messageType) {
	if code, rest, ok := strings.Cut(s, "^"); ok {
		t.code = code
		t.event, t.structure, _ = strings.Cut(rest, "^")
	} else {
		t.structure = s
	}
	return t.complete()
}

// complete takes the code and the event from the structure's name where the
// sender left them out.
func (t messageType) complete() messageType {
	code, event, _ := strings.Cut(t.structure, "_")
	if t.code == "" {
		t.code = code
	}
	if t.event == "" && t.code == code {
		t.event = event
	}
	return t
}

// String returns "ADT^A08^ADT_A01".
func (t messageType) String() string {
	return strings.TrimRight(t.code+"^"+t.event+"^"+t.structure, "^")
}
