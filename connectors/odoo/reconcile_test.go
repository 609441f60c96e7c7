package odoo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// appliedDeeds applies units and returns their deeds, as if an hour ago, by the
// operations' external ids or, without, the units' ids.
func appliedDeeds(t *testing.T, target *Target, units ...*broker.Unit) map[string]Deed {
	t.Helper()
	out, err := target.Apply(t.Context(), units)
	if err != nil {
		t.Fatal(err)
	}
	deeds := map[string]Deed{}
	for i, u := range units {
		if out[i].Result != broker.Applied {
			t.Fatalf("%+v", out[i])
		}
		for _, r := range out[i].Records {
			key := u.ID
			for _, op := range u.Ops {
				if op.ID == r.Op && op.XID != "" {
					key = op.XID
				}
			}
			deeds[key] = Deed{Unit: u.ID, At: time.Now().Add(-time.Hour), Record: r, Body: u}
		}
	}
	return deeds
}

func TestCompareTellsWhatPeopleDidFromWhatWeDid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		person func(hand *Target, id int64) // what a person does to the contact
		body   bool                         // the unit is to be had
		want   string                       // kind and fields; "" is no difference
	}{
		{"nothing", nil, true, ""},
		{"nothing, and the unit is gone", nil, false, ""},
		{"deletes it", func(h *Target, id int64) { hand(t, h, "unlink", id, nil) }, true, "missing []"},
		{"deletes it, and the unit is gone", func(h *Target, id int64) { hand(t, h, "unlink", id, nil) }, false, "missing []"},
		{"writes another name", func(h *Target, id int64) { hand(t, h, "write", id, map[string]any{"name": "x"}) }, true, "changed [name]"},
		{"clears a field", func(h *Target, id int64) { hand(t, h, "write", id, map[string]any{"ref": false}) }, true, "changed [ref]"},
		{"archives it", func(h *Target, id int64) { hand(t, h, "write", id, map[string]any{"active": false}) }, true, "touched []"},
		{"writes a field that is not ours", func(h *Target, id int64) { hand(t, h, "write", id, map[string]any{"comment": "x"}) }, true, "touched []"},
		{"writes the same again", func(h *Target, id int64) { hand(t, h, "write", id, map[string]any{"name": "n"}) }, true, "touched []"},
		{"writes something, and the unit is gone", func(h *Target, id int64) { hand(t, h, "write", id, map[string]any{"comment": "x"}) }, false, "changed []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, url := start(t, simulated.Config{Users: []simulated.User{{Login: "mona", Key: "mona"}}})
			target := newTarget(t, url, "jsonrpc")
			deed := appliedDeeds(t, target, &broker.Unit{ID: "u", Ops: []broker.Operation{upsert("t.p", broker.Values{"name": "n", "ref": "r"})}})["t.p"]
			if !c.body {
				deed.Body = nil
			}
			mona, err := New(Config{URL: url, Database: "demo", User: "mona", Key: broker.NewSecret("mona")})
			if err != nil {
				t.Fatal(err)
			}
			if c.person != nil {
				c.person(mona, deed.Record.ID)
			}
			compare, err := target.NewComparer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found, err := compare.Compare(t.Context(), []Deed{deed})
			got := ""
			for _, d := range found {
				got += fmt.Sprint(d.Kind, " ", d.Fields)
			}
			if err != nil || got != c.want {
				t.Errorf("%v: %q, want %q", err, got, c.want)
			}
		})
	}
}

func TestCompareKnowsWhatWeWroteLater(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	for _, c := range []struct {
		name  string
		vals  map[string]any // written by our own user, for another unit
		body  bool
		later bool // the comparison begins long after
		want  string
	}{
		{"a field of the unit", map[string]any{"name": "x"}, true, true, "changed [name]"},
		{"a field of another feed", map[string]any{"comment": "x"}, true, true, ""},
		{"a field of another feed, and the unit is gone", map[string]any{"comment": "x"}, false, true, ""},
		{"a field of the unit, while we look", map[string]any{"name": "x"}, true, false, ""},
	} {
		deed := appliedDeeds(t, target, &broker.Unit{ID: c.name, Ops: []broker.Operation{upsert("t.p"+strconv.Itoa(len(c.name)), broker.Values{"name": "n"})}})
		compare, err := target.NewComparer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.later {
			compare.began = compare.began.Add(time.Hour)
		}
		for _, d := range deed {
			if !c.body {
				d.Body = nil
			}
			hand(t, target, "write", d.Record.ID, c.vals)
			found, err := compare.Compare(t.Context(), []Deed{d})
			got := ""
			for _, f := range found {
				got += fmt.Sprint(f.Kind, " ", f.Fields)
			}
			if err != nil || got != c.want || got != "" && !found[0].Ours {
				t.Errorf("%s: %v: %q, want %q by us", c.name, err, got, c.want)
			}
		}
	}
}

func TestCompareFindsARecordWhoseIdentifierLeadsToAnother(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	post := broker.Operation{ID: "post", Do: "call", Model: "res.partner", On: "kin", Method: "action_archive", OnlyIf: broker.Values{"active": true}}
	kin := func(n string) broker.Operation {
		op := upsert("t.kin"+n, broker.Values{"name": n})
		op.ID = "kin#" + n
		return op
	}
	deeds := appliedDeeds(t, target, &broker.Unit{ID: "a", Ops: []broker.Operation{upsert("t.a", broker.Values{"name": "a"})}},
		&broker.Unit{ID: "b", Ops: []broker.Operation{upsert("t.b", broker.Values{"name": "b"})}}, &broker.Unit{ID: "kin", Ops: []broker.Operation{kin("1"), kin("2"), post}})
	double := deeds["t.a"]
	id := double.Record.ID
	double.Record.ID = deeds["t.b"].Record.ID // as if a first attempt had made this one
	called := deeds["kin"]
	compare, err := target.NewComparer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := compare.Compare(t.Context(), []Deed{double, called})
	found = slices.DeleteFunc(found, func(d Difference) bool { return d.Kind == Changed }) // b's name is not a's
	if err != nil || len(found) != 1 || found[0].Kind != Twice || !slices.Equal(found[0].Others, []int64{id}) || !found[0].Serious() {
		t.Errorf("%v %+v, want that %d is there as well", err, found, id)
	}
}

// hand makes a call as a person would.
func hand(t *testing.T, h *Target, method string, id int64, vals map[string]any) {
	t.Helper()
	args := []arg{{"ids", []any{id}}}
	if vals != nil {
		args = append(args, arg{"vals", vals})
	}
	if _, err := h.client.execute(t.Context(), "res.partner", method, args, nil); err != nil {
		t.Fatal(err)
	}
}

func TestCompareFindsDuplicatesMergesAndSharedIdentifiers(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{Users: []simulated.User{{Login: "low", Key: "low", NoModelData: true}}})
	target := newTarget(t, url, "jsonrpc")
	matched := broker.Operation{ID: "p", Do: "upsert", Model: "res.partner", By: broker.Values{"ref": "same"}, Vals: broker.Values{"name": "n", "ref": "same"}}
	deeds := appliedDeeds(t, target, &broker.Unit{ID: "by", Ops: []broker.Operation{matched}},
		&broker.Unit{ID: "a", Ops: []broker.Operation{upsert("t.a", broker.Values{"name": "a"})}},
		&broker.Unit{ID: "b", Ops: []broker.Operation{upsert("t.b", broker.Values{"name": "b"})}})
	appliedDeeds(t, target, &broker.Unit{ID: "other", Ops: []broker.Operation{upsert("t.other", broker.Values{"name": "n", "ref": "same"})}})
	merge := broker.Operation{ID: "m", Do: "merge", Model: "res.partner", XID: "t.b", On: "into", OnNone: "retry"}
	into := upsert("t.a", broker.Values{"name": "a"})
	into.ID = "into"
	appliedDeeds(t, target, &broker.Unit{ID: "m", Ops: []broker.Operation{into, merge}})
	for _, c := range []struct {
		user, want string
	}{
		{"vagus", "duplicate 1, merged 1, shared 1"},
		{"low", "duplicate 1, missing 1"},
	} {
		cfg := Config{URL: url, Database: "demo", User: c.user, Key: broker.NewSecret(map[string]string{"vagus": "simulated", "low": "low"}[c.user])}
		as, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		compare, err := as.NewComparer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found, err := compare.Compare(t.Context(), []Deed{deeds["by"], deeds["t.a"], deeds["t.b"]})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range found {
			if d.Kind != Touched { // the low user is not who wrote
				got = append(got, fmt.Sprint(d.Kind, " ", max(1, len(d.Others))))
			}
		}
		slices.Sort(got)
		if strings.Join(got, ", ") != c.want || (c.user == "low") != (len(compare.Notices()) > 0) {
			t.Errorf("%s: %v, want %s; %v", c.user, got, c.want, compare.Notices())
		}
	}
}

func TestNumbersAreComparedAsOdooRoundsThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, have any
		same       bool
	}{
		{json.Number("10.004"), 10.0, true}, {json.Number("10.01"), 10.0, false}, {json.Number("3"), int64(3), true}, {json.Number("3"), int64(4), false},
		{"a", "a", true}, {"a", "b", false}, {"", false, true}, {nil, false, true}, {nil, "x", false}, {true, true, true}, {false, true, false},
	} {
		if got := holdsPlain(c.want, c.have); got != c.same {
			t.Errorf("%v and %v: %v", c.want, c.have, got)
		}
	}
}
