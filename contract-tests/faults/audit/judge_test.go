package audit

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A story is a history that can be spoilt before it is judged.
type story struct{ lines []Line }

// sound is the history of a run in which nothing went wrong: two patients of three
// versions each, a control id that is used for both, one patient whom the target
// refuses, a message that its mapping rejects, one that is refused, a claim of two versions.
func sound() *story {
	s := &story{}
	s.add(Line{Run: &Run{Seed: 1, Command: "again", Grace: time.Second}})
	s.add(Line{Record: &Record{Ref: Ref{"res.partner", 1}, Values: map[string]any{"name": "the company"}, Before: true}})
	for v := 1; v <= 3; v++ {
		for id, mrn := range map[int64]string{11: "A", 12: "B"} {
			s.sent(fmt.Sprintf("%s%d", mrn, v), fmt.Sprintf("ID%s%d", mrn, v), "patient "+mrn, v, Applied, "applied", Ref{"res.partner", id})
		}
	}
	s.rename("B2", "IDA2") // a sender that counts from the beginning again
	s.sent("P1", "IDP1", "patient P", 1, Held, "dead")
	s.sent("P2", "IDP2", "patient P", 2, Held, "parked")
	s.sent("R1", "IDR1", "", 0, Dead, "dead")
	s.add(Line{Offer: &Offer{Message: "X1", Feed: "adt", SenderID: "IDX1", Want: Refused}})
	s.add(Line{Answer: &Answer{Messages: []string{"X1"}, Code: "CR"}})
	s.sent("C1", "IDC1", "claim C", 1, Applied, "applied", Ref{"account.move", 31})
	s.sent("C2", "IDC2", "claim C", 2, Applied, "applied", Ref{"account.move", 31})
	for v := 1.0; v <= 3; v++ {
		for id, mrn := range map[int64]string{11: "A", 12: "B"} {
			kind := "write"
			if v == 1 {
				kind = "create"
			}
			s.add(Line{Effect: &Effect{Ref: Ref{"res.partner", id}, Kind: kind, Values: map[string]any{"ref": mrn, "street2": fmt.Sprintf("Apt 1 v%v", v)}}})
		}
	}
	s.add(Line{Effect: &Effect{Ref: Ref{"account.move", 31}, Kind: "create", Values: map[string]any{"ref": "C"}}})
	s.add(Line{Effect: &Effect{Ref: Ref{"account.move.line", 41}, Kind: "create", Values: map[string]any{"move_id": 31.0, "price_unit": 1001.0}}})
	s.add(Line{Effect: &Effect{Ref: Ref{"account.move.line", 41}, Kind: "write", Values: map[string]any{"price_unit": 1002.0}}})
	for id, mrn := range map[int64]string{11: "A", 12: "B"} {
		s.add(Line{Record: &Record{Ref: Ref{"res.partner", id}, Values: map[string]any{"ref": mrn, "street2": "Apt 1 v3"}}})
		s.add(Line{Record: &Record{Ref: Ref{"res.partner", id + 10}, Values: map[string]any{"parent_id": []any{float64(id), "somebody"}}}})
	}
	s.add(Line{Record: &Record{Ref: Ref{"account.move", 31}, Values: map[string]any{"ref": "C"}}})
	s.add(Line{Record: &Record{Ref: Ref{"account.move.line", 41}, Values: map[string]any{"move_id": []any{31.0, "C"}, "price_unit": 1002.0}}})
	return s
}

func (s *story) add(l Line) {
	l.At = time.Duration(len(s.lines)+1) * 10 * time.Second
	s.lines = append(s.lines, l)
}

func (s *story) sent(message, sender, thing string, v int, want Want, status string, records ...Ref) {
	s.add(Line{Offer: &Offer{Message: message, Feed: "adt", SenderID: sender, Thing: thing, Version: v, Want: want}})
	s.add(Line{Answer: &Answer{Messages: []string{message}, OK: true, Code: "CA"}})
	s.add(Line{Unit: &Unit{ID: "unit-" + message, Feed: "adt", SenderID: sender, Status: status, Records: records}})
}

func (s *story) rename(message, sender string) {
	s.offer(message).SenderID = sender
	s.unit(message).SenderID = sender
}

func (s *story) offer(message string) *Offer {
	for _, l := range s.lines {
		if l.Offer != nil && l.Offer.Message == message {
			return l.Offer
		}
	}
	return nil
}

func (s *story) unit(message string) *Unit {
	for _, l := range s.lines {
		if l.Unit != nil && l.Unit.ID == "unit-"+message {
			return l.Unit
		}
	}
	return nil
}

func (s *story) drop(which func(Line) bool) { s.lines = slices.DeleteFunc(s.lines, which) }

// effect is where the n-th change of a record stands.
func (s *story) effect(id int64, n int) int {
	for i, l := range s.lines {
		if l.Effect != nil && l.Effect.ID == id {
			if n--; n == 0 {
				return i
			}
		}
	}
	return -1
}

func (s *story) record(id int64) *Record {
	for _, l := range s.lines {
		if l.Record != nil && l.Record.ID == id {
			return l.Record
		}
	}
	return nil
}

func TestASoundHistoryIsSound(t *testing.T) {
	t.Parallel()
	v, err := Judge(sound().lines)
	if err != nil || !v.Sound() {
		t.Fatalf("%v %+v", err, v)
	}
	if v.Offered != 12 || v.Acknowledged != 11 || v.Applied != 8 || v.Held != 1 || v.Dead != 2 || v.Changes != 9 {
		t.Errorf("%+v", v)
	}
}

// What goes wrong in a product, as it shows in a history.
func TestEachMistakeIsSeen(t *testing.T) {
	t.Parallel()
	repeat := func(s *story) {
		i := s.effect(11, 2)
		s.lines = slices.Insert(s.lines, i+1, s.lines[i])
	}
	for name, c := range map[string]struct {
		spoil func(*story)
		want  []string
	}{
		"acknowledged before it is on disk, and gone with the power": {func(s *story) {
			s.drop(func(l Line) bool { return l.Unit != nil && l.Unit.ID == "unit-R1" })
		}, []string{RuleKept}},
		"acknowledged, gone, and its change never made": {func(s *story) {
			s.drop(func(l Line) bool { return l.Unit != nil && l.Unit.ID == "unit-A3" })
			s.lines = slices.Delete(s.lines, s.effect(11, 3), s.effect(11, 3)+1)
			s.record(11).Values["street2"] = "Apt 1 v2"
		}, []string{RuleKept, RuleState}},
		"a new id when it is sent again": {func(s *story) {
			u := *s.unit("A2")
			u.ID = "unit-A2-again"
			s.add(Line{Unit: &u})
		}, []string{RuleOnce}},
		"a fenced worker writes what is old": {func(s *story) {
			i, k := s.effect(11, 2), s.effect(11, 3)
			s.lines = slices.Insert(s.lines, k+1, s.lines[i])
		}, []string{RuleOrder, RuleEffect}},
		"two of one key in the wrong order": {func(s *story) {
			i, k := s.effect(11, 2), s.effect(11, 3)
			s.lines[i], s.lines[k] = s.lines[k], s.lines[i]
			s.record(11).Values["street2"] = "Apt 1 v2"
		}, []string{RuleOrder, RuleState}},
		"applied twice, with nothing to excuse it": {repeat, []string{RuleEffect}},
		"applied twice long after a fault": {func(s *story) {
			s.lines = slices.Insert(s.lines, 2, Line{At: 1, Fault: &Fault{Name: "kill"}}, Line{At: 2, Fault: &Fault{Name: "kill", End: true}})
			repeat(s)
		}, []string{RuleEffect}},
		"applied twice near a fault, at a target that promises once": {func(s *story) {
			s.lines[0].Run.Exactly = true
			s.lines = slices.Insert(s.lines, 2, Line{At: 1, Fault: &Fault{Name: "kill"}})
			repeat(s)
		}, []string{RuleEffect}},
		"made twice": {func(s *story) {
			i := s.effect(11, 1)
			twin := *s.lines[i].Effect
			twin.ID = 99
			s.lines = slices.Insert(s.lines, i+1, Line{At: s.lines[i].At, Effect: &twin})
			s.add(Line{Record: &Record{Ref: twin.Ref, Values: twin.Values}})
		}, []string{RuleEffect, RuleLedger}},
		"two contacts of a patient where one was told of": {func(s *story) {
			twin := *s.record(21)
			twin.ID = 98
			s.add(Line{Record: &twin})
		}, []string{RuleEffect}},
		"skipped, and recorded as applied": {func(s *story) {
			s.lines = slices.Delete(s.lines, s.effect(12, 2), s.effect(12, 2)+1)
		}, []string{RuleLedger}},
		"the last one recorded as applied without its change": {func(s *story) {
			s.lines = slices.Delete(s.lines, s.effect(41, 2), s.effect(41, 2)+1)
			s.record(41).Values["price_unit"] = 1001.0
		}, []string{RuleState, RuleLedger}},
		"applied to a record that is not there":  {func(s *story) { s.unit("C1").Records[0].ID = 77 }, []string{RuleLedger}},
		"applied to a record of somebody else":   {func(s *story) { s.unit("A1").Records[0].ID = 12 }, []string{RuleLedger}},
		"applied, and no record named":           {func(s *story) { s.unit("A1").Records = nil }, []string{RuleLedger}},
		"skipped, and left to wait":              {func(s *story) { s.unit("A3").Status = "parked" }, []string{RuleOutcome}},
		"claimed, and forgotten":                 {func(s *story) { s.unit("A3").Status = "claimed" }, []string{RuleOutcome}},
		"a sound message dead-lettered":          {func(s *story) { s.unit("A3").Status = "dead" }, []string{RuleOutcome}},
		"applied although the target refuses it": {func(s *story) { s.unit("P1").Status = "applied" }, []string{RuleOutcome}},
		"acknowledged although its feed refuses it": {func(s *story) {
			s.add(Line{Answer: &Answer{Messages: []string{"X1"}, OK: true}})
		}, []string{RuleOutcome}},
		"refused to its sender and delivered": {func(s *story) {
			s.add(Line{Unit: &Unit{ID: "unit-X1", Feed: "adt", SenderID: "IDX1", Status: "dead"}})
		}, []string{RuleUnasked}},
		"a unit of nobody's": {func(s *story) {
			s.add(Line{Unit: &Unit{ID: "unit-Z", Feed: "adt", SenderID: "IDZ", Status: "applied"}})
		}, []string{RuleUnasked}},
		"a patient of nobody's": {func(s *story) {
			s.add(Line{Record: &Record{Ref: Ref{"res.partner", 55}, Values: map[string]any{"ref": "Z"}}})
		}, []string{RuleUnasked}},
		"a record that says nothing": {func(s *story) {
			s.add(Line{Record: &Record{Ref: Ref{"res.partner", 55}, Values: map[string]any{}}})
		}, []string{RuleUnasked}},
		"a version of nobody's": {func(s *story) {
			s.record(11).Values["street2"] = "Apt 1 v4"
			s.lines[s.effect(11, 3)].Effect.Values["street2"] = "Apt 1 v4"
		}, []string{RuleUnasked, RuleLedger}},
		"deleted": {func(s *story) {
			s.add(Line{Effect: &Effect{Ref: Ref{"res.partner", 11}, Kind: "unlink"}})
			s.drop(func(l Line) bool { return l.Record != nil && l.Record.ID == 11 })
		}, []string{RuleUnasked, RuleState, RuleLedger}},
		"silence during a fault behind the site": {func(s *story) {
			s.add(Line{Fault: &Fault{Name: "cut", Accepts: true}})
			s.add(Line{Fault: &Fault{Name: "cut", Accepts: true, End: true}})
		}, []string{RuleAccepts}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sound()
			c.spoil(s)
			v, err := Judge(s.lines)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rule := range Rules {
				if slices.ContainsFunc(v.Violations, func(w Violation) bool { return w.Rule == rule }) {
					got = append(got, rule)
				}
			}
			slices.SortFunc(c.want, func(a, b string) int { return slices.Index(Rules, a) - slices.Index(Rules, b) })
			if !slices.Equal(got, c.want) || v.Sound() {
				t.Errorf("violated: %q, want %q: %v", got, c.want, v.Violations)
			}
		})
	}
}

func TestARepeatedEffectNearAFaultIsCountedAndNoMore(t *testing.T) {
	t.Parallel()
	s := sound()
	i := s.effect(11, 2)
	at := s.lines[i].At
	s.lines = slices.Insert(s.lines, i, Line{At: at - 2, Fault: &Fault{Name: "kill"}}, Line{At: at - 1, Fault: &Fault{Name: "kill", End: true}})
	s.lines = slices.Insert(s.lines, i+3, s.lines[i+2])
	v, err := Judge(s.lines)
	if err != nil || !v.Sound() || v.Repeated != 1 {
		t.Errorf("%v %+v", err, v)
	}
}

func TestNothingJudgedIsNotSound(t *testing.T) {
	t.Parallel()
	if v, err := Judge([]Line{{Run: &Run{}}}); err != nil || v.Sound() {
		t.Errorf("%v %+v", err, v)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, l := range sound().lines {
		w.Add(l)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lines, err := Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Judge(lines); err != nil || !v.Sound() || v.Changes != 9 {
		t.Errorf("%v %+v", err, v)
	}
	for text, want := range map[string]string{
		"{\"at\":1,\"run\":{}}\n{\"at\":2,\"of\":1}\n": "line 2", "{}\n{": "line 2",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read with %v", text, err)
		}
	}
	for _, l := range []Line{{}, {Answer: &Answer{Messages: []string{"?"}}}} {
		if _, err := Judge([]Line{l}); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%+v is judged with %v", l, err)
		}
	}
}

// The auditor shares no mistake with what it judges, since it shares no code with it.
func TestTheAuditorImportsNothingOfTheProduct(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if strings.Contains(strings.SplitN(strings.Trim(i.Path.Value, `"`), "/", 2)[0], ".") {
				t.Errorf("%s imports %s; the auditor may import the standard library only", name, i.Path.Value)
			}
		}
	}
}
