package workbench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Stored is one message to replay: what a person knows it by, and its bytes,
// or why there are none.
type Stored struct {
	Name   string
	Body   broker.PHI
	Unread string
}

// A DiffReport says what another version of a mapping would make of the same
// messages.
type DiffReport struct {
	Old      string   `json:"old"` // "id@version"
	New      string   `json:"new"`
	Messages int      `json:"messages"`
	Same     int      `json:"same"`               // both make the same unit of them
	NotMine  int      `json:"not_mine"`           // neither takes them
	Unread   int      `json:"unread"`             // they can not be read, or neither can decode them
	NotRead  []Unread `json:"not_read,omitempty"` // the first of these
	Changes  []Change `json:"changes"`            // verdicts first, then operations, then fields, the most frequent first
}

// A Change is one thing that differs in some of the messages.
type Change struct {
	What    string `json:"what"`          // "verdict", "operation patient", "patient.phone"
	Count   int    `json:"count"`         // messages
	Old     string `json:"old,omitempty"` // of the example; "" for nothing
	New     string `json:"new,omitempty"`
	Example string `json:"example"` // the message that it is from

	rank int
}

// An Unread is a message, or a file of messages, that could not be replayed.
type Unread struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

const maxUnread = 20 // that a report lists

// Diff maps messages with two versions of a mapping and groups what differs.
// Nothing is sent. The messages of a file that the format splits count each.
func (b Bench) Diff(ctx context.Context, oldFile, newFile string, stored []Stored, tell Progress) (DiffReport, error) {
	was, err := b.load(oldFile)
	if err != nil {
		return DiffReport{}, err
	}
	is, err := b.load(newFile)
	if err != nil {
		return DiffReport{}, err
	}
	rep := DiffReport{Old: fmt.Sprintf("%s@%d", was.ID, was.Version), New: fmt.Sprintf("%s@%d", is.ID, is.Version), Changes: []Change{}}
	stored = splitAll(was.Dialect, stored)
	rep.Messages = len(stored)
	d := differ{was: was, is: is}
	if reflect.DeepEqual(was.Source, is.Source) && was.Format == is.Format {
		d.reads = tree.Selection{}
		d.reads.AddAll(was.Reads())
		d.reads.AddAll(is.Reads())
	}
	found := map[string]*Change{}
	err = inOrder(ctx, len(stored), func(i int) compared { return d.compare(ctx, stored[i]) }, func(i int, c compared) {
		switch {
		case c.unread != "":
			if rep.Unread++; rep.Unread <= maxUnread {
				rep.NotRead = append(rep.NotRead, Unread{stored[i].Name, c.unread})
			}
		case c.notMine:
			rep.NotMine++
		case len(c.changes) == 0:
			rep.Same++
		}
		seen := map[string]bool{}
		for _, one := range c.changes {
			if seen[one.What] {
				continue
			}
			seen[one.What] = true
			if found[one.What] == nil {
				one.Example = stored[i].Name
				found[one.What] = &one
			}
			found[one.What].Count++
		}
		tell.tell(i+1, len(stored))
	})
	for _, c := range found {
		rep.Changes = append(rep.Changes, *c)
	}
	slices.SortFunc(rep.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.Count, a.Count), cmp.Compare(a.What, b.What))
	})
	return rep, err
}

// splitAll takes files apart that hold many messages.
func splitAll(d tree.Dialect, stored []Stored) []Stored {
	s, ok := d.(tree.Splitter)
	if !ok {
		return stored
	}
	var out []Stored
	for _, f := range stored {
		var parts [][]byte
		if f.Unread == "" {
			var err error
			if parts, err = s.Split(f.Body); err != nil {
				f.Unread = err.Error()
			}
		}
		if f.Unread != "" {
			out = append(out, f)
			continue
		}
		for i, p := range parts {
			name := f.Name
			if len(parts) > 1 {
				name = fmt.Sprintf("%s, message %d", f.Name, i+1)
			}
			out = append(out, Stored{Name: name, Body: p})
		}
	}
	return out
}

// A differ maps one message with both versions.
type differ struct {
	was, is *mapping.Mapping
	reads   tree.Selection // of both, when one tree serves both; else nil
}

type compared struct {
	unread  string // why
	notMine bool
	changes []Change
}

// The order of changes.
const (
	rankVerdict = iota
	rankUnit
	rankOperation
	rankField
)

func (d *differ) compare(ctx context.Context, s Stored) (c compared) {
	if s.Unread != "" {
		return compared{unread: s.Unread}
	}
	body := s.Body
	reads := d.reads
	if reads == nil {
		reads = d.was.Reads()
	}
	oldMsg, oldErr := d.was.Dialect.Decode(body, reads)
	newMsg, newErr := oldMsg, oldErr
	if d.reads == nil {
		newMsg, newErr = d.is.Dialect.Decode(body, d.is.Reads())
	}
	if oldErr != nil && newErr != nil {
		return compared{unread: oldErr.Error()}
	}
	was, is := result(ctx, d.was, oldMsg, oldErr), result(ctx, d.is, newMsg, newErr)
	if was.Class == mapping.ClassNotMine && is.Class == mapping.ClassNotMine {
		return compared{notMine: true}
	}
	add := func(rank int, what, old, new string) {
		c.changes = append(c.changes, Change{What: what, Old: old, New: new, rank: rank})
	}
	if a, b := verdictOf(was), verdictOf(is); a != b {
		add(rankVerdict, "verdict "+a+" → "+b, string(was.Detail), string(is.Detail))
	} else if ruleLine.ReplaceAllString(was.Reason, "") != ruleLine.ReplaceAllString(is.Reason, "") {
		add(rankUnit, "reason", string(was.Detail), string(is.Detail))
	}
	if a, b := keysOf(was), keysOf(is); a != b {
		add(rankUnit, "ordering", a, b)
	}
	if was.Idempotency != is.Idempotency {
		add(rankUnit, "idempotency", was.Idempotency, is.Idempotency)
	}
	if was.Verdict == broker.Apply && is.Verdict == broker.Apply {
		compareOps(was.Ops, is.Ops, add)
		compareDocuments(was.Document, is.Document, add)
	}
	return c
}

// compareDocuments compares what outbound mappings wrote, element by element:
// the second N1 of one with the second N1 of the other.
func compareDocuments(was, is *tree.Message, add func(rank int, what, old, new string)) {
	old, order := elements(was)
	now, later := elements(is)
	for _, e := range append(order, later...) {
		if a, b := old[e], now[e]; a != b {
			add(rankField, e.segment+"-"+e.name, a, b)
		}
		delete(old, e)
		delete(now, e)
	}
}

// A place is an element of a document.
type place struct {
	segment, name string
	nth           int // of the segments of this name
}

func elements(doc *tree.Message) (map[place]string, []place) {
	texts, counts := map[place]string{}, map[string]int{}
	var order []place
	var walk func(n *tree.Node, segment, name string)
	walk = func(n *tree.Node, segment, name string) {
		for _, k := range n.Kids {
			switch isSegment := len(k.Name) > 0 && (k.Name[0] < '0' || k.Name[0] > '9'); {
			case isSegment:
				counts[k.Name]++
				walk(k, k.Name, "")
			case len(k.Kids) > 0:
				walk(k, segment, name+k.Name+".")
			default:
				e := place{segment, name + k.Name, counts[segment]}
				if _, again := texts[e]; again { // a repetition
					texts[e] += "~" + k.Text
					continue
				}
				texts[e] = k.Text
				order = append(order, e)
			}
		}
	}
	if doc != nil {
		walk(doc.Root, "", "")
	}
	return texts, order
}

// ruleLine is where a reason says in which line a rule stands: another one in
// another version.
var ruleLine = regexp.MustCompile(` \(line \d+\)`)

func result(ctx context.Context, m *mapping.Mapping, msg *tree.Message, err error) mapping.Result {
	if err != nil {
		return mapping.Result{Verdict: broker.DeadLetter, Class: m.Format + ".malformed", Reason: err.Error(), Detail: broker.PHI(err.Error())}
	}
	return m.Run(ctx, msg)
}

func verdictOf(r mapping.Result) string {
	if r.Class == mapping.ClassNotMine {
		return "not_mine"
	}
	return string(r.Verdict)
}

// compareOps compares operations of one id with each other.
func compareOps(was, is []broker.Operation, add func(rank int, what, old, new string)) {
	if reflect.DeepEqual(was, is) {
		return
	}
	old, now := map[string]broker.Operation{}, map[string]broker.Operation{}
	var order []string
	for _, o := range was {
		old[o.ID] = o
		order = append(order, o.ID)
	}
	for _, o := range is {
		if _, there := old[o.ID]; !there {
			order = append(order, o.ID)
		}
		now[o.ID] = o
	}
	moved := false
	for i := range min(len(was), len(is)) {
		moved = moved || was[i].ID != is[i].ID && now[was[i].ID].ID != "" && old[is[i].ID].ID != ""
	}
	if moved && len(was) == len(is) {
		add(rankOperation, "order of the operations", idsOf(was), idsOf(is))
	}
	for _, id := range order {
		a, before := old[id]
		b, after := now[id]
		base := baseOf(id)
		switch {
		case !after:
			add(rankOperation, "operation "+base, a.Do+" "+a.Model, "")
		case !before:
			add(rankOperation, "operation "+base, "", b.Do+" "+b.Model)
		default:
			compareValues(base, facts(a), facts(b), func(what, old, new string) { add(rankField, what, old, new) })
		}
	}
}

func idsOf(ops []broker.Operation) string {
	ids := make([]string, len(ops))
	for i, o := range ops {
		ids[i] = o.ID
	}
	return strings.Join(ids, ", ")
}

// facts is an operation as fields: those of vals by their own names, those of
// the other parts as "on_create.lang".
func facts(o broker.Operation) map[string]any {
	data, err := json.Marshal(o)
	if err != nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	out := map[string]any{}
	if err := dec.Decode(&out); err != nil {
		return nil
	}
	delete(out, "op")
	for part, v := range maps.Clone(out) {
		fields, ok := v.(map[string]any)
		if !ok {
			continue
		}
		delete(out, part)
		prefix := part + "."
		if part == "vals" {
			prefix = ""
		}
		for k, v := range fields {
			out[prefix+k] = v
		}
	}
	return out
}

// compareValues reports the fields that differ. Lines are matched by their
// keys and grouped under their field: "order.order_line.price_unit".
func compareValues(at string, was, is map[string]any, report func(what, old, new string)) {
	names := slices.Collect(maps.Keys(was))
	for k := range is {
		if _, there := was[k]; !there {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		a, before := was[k]
		b, after := is[k]
		what := at + "." + k
		switch {
		case !after:
			report(what, inWords(a), "")
		case !before:
			report(what, "", inWords(b))
		case !reflect.DeepEqual(a, b):
			if x, y := lines(a), lines(b); x != nil && y != nil {
				compareLines(what, x, y, report)
			} else {
				report(what, inWords(a), inWords(b))
			}
		}
	}
}

// lines returns the lines of a one2many value by their keys, or nil.
func lines(v any) map[string]map[string]any {
	m, _ := v.(map[string]any)
	list, ok := m["$merge"].([]any)
	if !ok {
		list, ok = m["$replace"].([]any)
	}
	if !ok {
		return nil
	}
	out := map[string]map[string]any{}
	for i, l := range list {
		line, _ := l.(map[string]any)
		vals, ok := line["vals"].(map[string]any)
		if !ok {
			return nil
		}
		key := fmt.Sprint(i + 1)
		if k, ok := line["key"].(string); ok {
			key = k
		}
		if create, ok := line["on_create"].(map[string]any); ok {
			vals = maps.Clone(vals)
			vals["on_create"] = create
		}
		out[key] = vals
	}
	return out
}

func compareLines(what string, was, is map[string]map[string]any, report func(what, old, new string)) {
	keys := slices.Sorted(maps.Keys(was))
	for k := range is {
		if _, there := was[k]; !there {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		a, before := was[k]
		b, after := is[k]
		switch {
		case !after:
			report(what+" (line)", inWords(map[string]any(a)), "")
		case !before:
			report(what+" (line)", "", inWords(map[string]any(b)))
		default:
			compareValues(what, a, b, report)
		}
	}
}

// Print writes the changes as a table, with one example each.
func (r DiffReport) Print(s Screen) {
	s.line(s.in(bold, r.Old), " → ", s.in(bold, r.New))
	for _, c := range r.Changes {
		s.line("")
		shade := plain
		if c.rank == rankVerdict {
			shade = red
		}
		s.line(fmt.Sprintf("%6d  ", c.Count), s.in(bold, s.in(shade, c.What)), s.in(faint, "  e.g. "+printable(c.Example)))
		if c.Old == "" && c.New == "" {
			continue
		}
		old, new := apart(c.Old, c.New, s.Width-12)
		s.line("        ", s.in(red, "- "+printable(old)))
		s.line("        ", s.in(green, "+ "+printable(new)))
	}
	if len(r.Changes) > 0 {
		s.line("")
	}
	for _, u := range r.NotRead {
		s.line(s.in(yellow, "not read  "), s.in(bold, printable(u.Name)), ": ", printable(u.Why))
	}
	if more := r.Unread - len(r.NotRead); more > 0 {
		s.line(s.in(yellow, "not read  "), fmt.Sprintf("and %d more", more))
	}
	different := r.Messages - r.Same - r.NotMine - r.Unread
	parts := []string{count(r.Messages, "message") + " replayed", fmt.Sprintf("%d give the same unit", r.Same), fmt.Sprintf("%d differ", different)}
	if r.NotMine > 0 {
		parts = append(parts, fmt.Sprintf("%d are for neither", r.NotMine))
	}
	if r.Unread > 0 {
		parts = append(parts, fmt.Sprintf("%d can not be read", r.Unread))
	}
	s.line(strings.Join(parts, ", "), s.in(faint, "; nothing was sent"))
}

func keysOf(res mapping.Result) string {
	return strings.Join(append([]string{res.Ordering}, res.OtherOrdering...), ", ")
}
