package odoo

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestATriggerFiresWhenAFieldBecomesAValueAndNotWhileItHasIt(t *testing.T) {
	t.Parallel()
	purchase := map[string]any{"state": "purchase"}
	message := func(change, was, state string) string {
		return fmt.Sprintf(`{"_model":"purchase.order","_change":%q%s,"id":1,"state":%q,"total":1.50,"sent":true}`, change, was, state)
	}
	for _, tt := range []struct {
		name    string
		on      string
		becomes map[string]any
		body    string
		fires   bool
	}{
		{"it becomes it", "write", purchase, message("write", `,"_was":{"state":"draft"}`, "purchase"), true},
		{"it has it", "write", purchase, message("write", `,"_was":{"state":"purchase"}`, "purchase"), false},
		{"it loses it", "write", purchase, message("write", `,"_was":{"state":"purchase"}`, "cancel"), false},
		{"a record that is new and has it", "write", purchase, message("write", `,"_was":null`, "purchase"), true},
		{"a record that is new and has it not", "write", purchase, message("write", `,"_was":null`, "draft"), false},
		{"what it was is not known", "write", purchase, message("write", "", "purchase"), false},
		{"another number of the same value", "write", map[string]any{"total": json.Number("1.5")}, message("write", `,"_was":{"total":1}`, "draft"), true},
		{"another number", "write", map[string]any{"total": json.Number("2")}, message("write", `,"_was":{"total":1}`, "draft"), false},
		{"a boolean", "write", map[string]any{"sent": true}, message("write", `,"_was":{"sent":false}`, "draft"), true},
		{"one of two", "write", map[string]any{"sent": true, "state": "purchase"}, message("write", `,"_was":{"sent":true,"state":"draft"}`, "purchase"), true},
		{"one of two is missing", "write", map[string]any{"sent": false, "state": "purchase"}, message("write", `,"_was":{"sent":false,"state":"draft"}`, "purchase"), false},
		{"any version", "write", nil, message("write", "", "draft"), true},
		{"a deletion", "write", nil, message("delete", "", "draft"), false},
		{"created", "create", nil, message("write", `,"_was":null`, "draft"), true},
		{"created as something", "create", purchase, message("write", `,"_was":null`, "draft"), false},
		{"written", "create", nil, message("write", `,"_was":{"state":"draft"}`, "draft"), false},
		{"there since the beginning", "create", nil, message("write", "", "draft"), false},
		{"another model", "write", nil, `{"_model":"sale.order","_change":"write"}`, false},
		{"no record", "write", nil, `[]`, false},
	} {
		if got := (Trigger{Model: "purchase.order", On: tt.on, Becomes: tt.becomes}).Fires([]byte(tt.body)); got != tt.fires {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestAModelsSettingsBringWhatAMappingReads(t *testing.T) {
	t.Parallel()
	m := SourceModel{Model: "purchase.order", Fields: []string{"name", "state", "partner_id", "order_line.product_id.default_code", "order_line.qty"}, Watch: []string{"state"}}
	fields, watch := m.Covers([]string{"id", "write_date", "name", "partner_id.id", "partner_id.display_name", "partner_id.ref", "order_line.id", "order_line.product_id.id", "order_line.product_id.display_name", "origin"},
		Trigger{Becomes: map[string]any{"state": "purchase", "name": "x"}})
	if !slices.Equal(fields, []string{"partner_id.ref", "order_line.product_id.display_name", "origin"}) || !slices.Equal(watch, []string{"name"}) {
		t.Errorf("missing are %v and %v", fields, watch)
	}
}

// before returns what each message says its record was before.
func (st *site) before() (out []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, m := range st.messages {
		v := bodyOf(st.t, m)
		was, said := v["_was"]
		out = append(out, fmt.Sprint(v["ref"], " ", v["name"], " ", said, " ", was))
	}
	return out
}

func TestASourceSaysWhatTheWatchedFieldsWere(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), func(c *SourceConfig, _ *simulated.Config) { c.Models[0].Watch = []string{"name"} })
	pass := func() {
		st.clock = st.clock.Add(time.Hour)
		st.mustLook()
	}
	old := st.create(st.person, "P-1", "old")
	pass()
	st.write(st.person, old, map[string]any{"name": "first"})
	pass()
	made := st.create(st.person, "P-2", "made")
	pass()
	st.start() // what was is remembered over a restart
	st.write(st.person, old, map[string]any{"name": "second"})
	pass()
	st.write(st.person, made, map[string]any{"name": "third"})
	pass()
	want := []string{"P-1 old false <nil>", "P-1 first true map[name:old]", "P-2 made true <nil>", "P-1 second true map[name:first]", "P-2 third true map[name:made]"}
	if got := st.before(); !slices.Equal(got, want) {
		t.Errorf("the messages say\n%q\nwant\n%q", got, want)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	fires := 0
	for _, m := range st.messages {
		if (Trigger{Model: partner, On: "write", Becomes: map[string]any{"name": "second"}}).Fires(m.Body) {
			fires++
		}
	}
	if fires != 1 {
		t.Errorf("the trigger fires %d times", fires)
	}
}
