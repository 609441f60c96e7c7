package hl7

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// The tree is flatter than the standard's message structures: a segment is a
// kid of the root, wherever in the message it stood, so that PID-3 is PID-3 in
// every message. Two groups are exceptions, because their segments mean
// nothing without each other, and own them:
//
//	ORDER    an order with all that belongs to it (ORC, OBR, OBX, NTE, …), and
//	         the PID, PD1, PV1 and PV2 of its patient
//	PATIENT  of the merges and moves A39 to A44: PID, PD1, MRG, PV1
//	         (and PRIOR_RESULT in OML and OMG: results of earlier orders)
//
// All other groups are views: the group is there with its segments, and they
// are kids of its parent as well, the same nodes. FT1[*] and
// FINANCIAL[*].FT1 find the same transactions.

// A rule makes one kind of group.
type rule struct {
	name  string
	start string   // the segment, or the group ORDER, that begins one
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

var rootViews = []rule{
	{name: "PATIENT_RESULT", start: "PID", in: []string{"ORU"}},
	{name: "PATIENT", start: "PID", holds: []string{"PD1", "PV1", "PV2", "NTE", "OBX", "DG1"}, in: []string{"SIU", "SRM", "SRR"}},
	{name: "INSURANCE", start: "IN1", holds: []string{"IN2", "IN3"}},
	{name: "PROCEDURE", start: "PR1", holds: []string{"ROL"}},
	{name: "OBSERVATION", start: "OBX", holds: []string{"NTE", "PRT"}},
	{name: "FINANCIAL", start: "FT1", holds: []string{"NTE", "PR1", "ROL"}, in: []string{"DFT"}},
	{name: "VISIT", start: "PV1", holds: []string{"PV2", "ROL", "DB1", "OBX", "AL1", "DG1", "DRG", "PR1", "GT1", "NK1", "IN1", "IN2", "IN3", "ACC", "UB1", "UB2"}, in: []string{"BAR"}},
	{name: "RESOURCES", start: "RGS", holds: []string{"AIS", "AIG", "AIL", "AIP", "NTE"}, in: []string{"SIU", "SRM", "SRR"}},
	{name: "SPECIMEN", start: "SPM", holds: []string{"OBX", "NTE", "SAC", "INV", orderGroup}, in: []string{"OUL"}},
	{name: "MF", start: "MFE", in: []string{"MFN^M01", "MFN^M13", "MFN^M14"}},
	{name: "MF_STAFF", start: "MFE", in: []string{"MFN^M02"}},
	{name: "MF_TEST", start: "MFE", in: []string{"MFN^M03"}},
	{name: "MF_CDM", start: "MFE", in: []string{"MFN^M04"}},
	{name: "MF_LOCATION", start: "MFE", in: []string{"MFN^M05"}},
	{name: "MF_CLIN_STUDY", start: "MFE", in: []string{"MFN^M06"}},
	{name: "MF_CLIN_STUDY_SCHED", start: "MFE", in: []string{"MFN^M07"}},
	{name: "MF_TEST_NUMERIC", start: "MFE", in: []string{"MFN^M08"}},
	{name: "MF_TEST_CATEGORICAL", start: "MFE", in: []string{"MFN^M09"}},
	{name: "MF_TEST_BATTERIES", start: "MFE", in: []string{"MFN^M10"}},
	{name: "MF_TEST_CALCULATED", start: "MFE", in: []string{"MFN^M11"}},
	{name: "MF_OBS_ATTRIBUTES", start: "MFE", in: []string{"MFN^M12"}},
	{name: "MF_INV_ITEM", start: "MFE", in: []string{"MFN^M15", "MFN^M16"}},
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

	// orderStarts begin an order; what it holds stands at the root of no message.
	orderStarts = []string{"ORC", "OBR", "RXO", "RXE", "RXD", "RXG", "RXA", "ODS", "ODT", "RQD", "BPO", "BPX"}
	orderOnly   = append([]string{"TQ1", "TQ2", "RXR", "RXC", "IPC", "RQ1", "BTX"}, orderStarts...)
	// orderEnds are the segments after which an order does not go on.
	orderEnds = []string{"PID", "PV1", "MRG", "PRB", "GOL", "PTH", "TXA", "DSC"}
	// ofPatient are shared with every order of the patient.
	ofPatient = []string{"PID", "PD1", "PV1", "PV2"}
)

// A layout is how the messages of one type are grouped.
type layout struct {
	views     []*rule
	ownPID    bool     // PATIENT owns what it holds
	prior     bool     // PRIOR_RESULT may follow an order
	orderLead string   // the segment that always begins an order
	orderEnds []string // in addition to those of all messages
}

// layoutOf returns the layout of a message code and trigger event; empty ones
// give the layout of a message that nothing is known of.
func layoutOf(code, event string) layout {
	l := layout{orderLead: "ORC", ownPID: mergePatient.matches(code, event), prior: priorResult.matches(code, event)}
	l.views = make([]*rule, 0, len(rootViews))
	for i := range rootViews {
		if r := &rootViews[i]; r.matches(code, event) {
			l.views = append(l.views, r)
		}
	}
	switch code {
	case "OUL":
		l.orderLead, l.orderEnds = "OBR", []string{"SPM"}
	case "DFT":
		l.orderEnds = []string{"FT1", "DG1", "DRG", "GT1", "IN1", "ACC"}
	}
	return l
}

// splitStructure reads "ADT_A01", "ADT^A08" or "ADT^A08^ADT_A01".
func splitStructure(s string) (code, event string) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '^' || r == '_' })
	if len(parts) > 0 {
		code = parts[0]
	}
	if len(parts) > 1 {
		event = parts[1]
	}
	return code, event
}

// schema returns the root type for a structure; "" gives all groups of all
// structures.
func (d *dictionary) schema(structure string) *tree.Type {
	code, event := splitStructure(structure)
	l := layoutOf(code, event)
	every := structure == ""
	if every {
		l.prior = true
		l.views = nil
		for i := range rootViews {
			l.views = append(l.views, &rootViews[i])
		}
	}
	order := d.orderType()
	all := map[string]*tree.Element{orderGroup: {Name: orderGroup, Title: "Order", Type: order, Repeats: true}}
	for name, e := range d.segments {
		all[name] = e
	}
	root := tree.NewType(structure, tree.Composite)
	var groups []*tree.Element
	add := func(e *tree.Element) {
		if root.Element(e.Name) == nil {
			root.Add(e)
		}
	}
	if every || l.ownPID {
		groups = append(groups, d.groupElement(&mergePatient, all))
	}
	if l.prior {
		groups = append(groups, d.groupElement(&priorResult, d.segments))
	}
	for _, r := range l.views {
		if every && r.name == patientGroup {
			continue
		}
		groups = append(groups, d.groupElement(r, all))
	}
	for _, name := range d.order {
		e := d.segments[name]
		if slices.Contains(orderOnly, name) || l.ownPID && mergePatient.has(name) {
			continue
		}
		if repeatsAtRoot(code, name) {
			many := *e
			many.Repeats = true
			e = &many
		}
		add(e)
	}
	add(all[orderGroup])
	for _, g := range groups {
		add(g)
	}
	return root
}

// repeatsAtRoot: the segment is single in its group, and the group repeats.
func repeatsAtRoot(code, name string) bool {
	switch code {
	case "ORU", "BAR", "SIU":
		return slices.Contains(ofPatient, name)
	case "MFN":
		return name != "MSH" && name != "MFI"
	}
	return false
}

// groupElement returns a group with the elements that its rule lets it hold.
func (d *dictionary) groupElement(r *rule, all map[string]*tree.Element) *tree.Element {
	t := tree.NewType(r.name, tree.Composite)
	for _, name := range append(slices.Clone(d.order), orderGroup) {
		e := all[name]
		owned := e != nil && all[orderGroup] != nil && slices.Contains(orderOnly, name)
		if e != nil && r.has(name) && !owned {
			if name == r.start {
				one := *e
				one.Repeats = false
				e = &one
			}
			t.Add(e)
		}
	}
	return &tree.Element{Name: r.name, Title: strings.ReplaceAll(r.name, "_", " "), Type: t, Repeats: true}
}

// orderType is ORDER: every segment but those that end one, and those of its
// patient.
func (d *dictionary) orderType() *tree.Type {
	t := tree.NewType(orderGroup, tree.Composite)
	for _, name := range d.order {
		if slices.Contains(ofPatient, name) || !slices.Contains(orderEnds, name) && !isControl(name) {
			t.Add(d.segments[name])
		}
	}
	for i := range orderViews {
		t.Add(d.groupElement(&orderViews[i], d.segments))
	}
	return t
}

// isControl: segments of the whole message, never of an order.
func isControl(name string) bool {
	switch name {
	case "MSH", "MSA", "ERR", "EVN", "SFT", "FHS", "FTS", "BHS", "BTS", "QAK", "QPD", "QRD", "QRF", "QID", "RCP", "MFI", "MFE", "SCH", "RGS", "NK1":
		return true
	}
	return false
}
