package odoo

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// contactNeeds is what a mapping of contacts needs.
var contactNeeds = []Need{
	{Model: "res.partner", Read: true, Write: true, Create: true, Mapping: "m"},
	{Model: "res.partner", Field: "name", Write: true, Type: "char", Mapping: "m"},
	{Model: "res.partner", Field: "country_id.code", Read: true, Mapping: "m"},
}

// finds says whether a finding of this level is about something, in these words.
func finds(x Examination, level Level, about, words string) bool {
	return slices.ContainsFunc(x.Findings, func(f Finding) bool {
		return f.Level == level && f.About == about && strings.Contains(f.What+" → "+f.Fix, words)
	})
}

func TestExamineTellsWhenAKeyRunsOut(t *testing.T) {
	t.Parallel()
	keys := simulated.Model{Label: "Keys", Fields: map[string]simulated.Field{"user_id": {Type: "integer", Label: "User"}, "expiration_date": {Type: "datetime", Label: "Until"}}}
	key := func(user, days int) simulated.Seed {
		values := map[string]any{"user_id": int64(user)}
		if days != 0 {
			values["expiration_date"] = time.Now().UTC().AddDate(0, 0, days).Format(time.DateTime)
		}
		return simulated.Seed{Model: "res.users.apikeys", Values: values}
	}
	for name, c := range map[string]struct {
		keys []simulated.Seed
		days int // to the key's end; 0: none is known
		told bool
	}{
		"none runs out":                {[]simulated.Seed{key(2, 0)}, 0, false},
		"the first of two":             {[]simulated.Seed{key(2, 80), key(2, 12), key(2, 0)}, 12, true},
		"not before long":              {[]simulated.Seed{key(2, 80)}, 80, false},
		"another user's is no concern": {[]simulated.Seed{key(3, 5)}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := start(t, simulated.Config{Models: map[string]simulated.Model{"res.users.apikeys": keys}, Seeds: c.keys})
			x, err := newTarget(t, url, "jsonrpc").Examine(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			days := 0
			if !x.Key.IsZero() {
				days = int(time.Until(x.Key).Round(24*time.Hour).Hours() / 24)
			}
			if told := finds(x, Attention, "user", "runs out in"); days != c.days || told != c.told {
				t.Errorf("until %v, told %v", x.Key, told)
			}
		})
	}
}

func TestExamineComparesFieldsWithTheSnapshot(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{Models: map[string]simulated.Model{"x.thing": {Label: "Thing", Fields: map[string]simulated.Field{
		"name": {Type: "char", Label: "Name"}, "country_id": {Type: "many2one", Label: "Country", Relation: "res.country"},
		"x_must": {Type: "char", Label: "Must", Required: true}, "x_kind": {Type: "selection", Label: "Kind", Selection: [][2]string{{"a", "A"}}},
	}}}})
	for _, c := range []struct {
		name  string
		need  Need
		level Level // "" is no finding
		about string
		words string
	}{
		{"what is as it should be", Need{Field: "name", Write: true, Type: "char"}, "", "", ""},
		{"a field that is not there", Need{Field: "x_gone", Write: true, Type: "char"}, Broken, "x.thing", "x_gone"},
		{"a text of another kind", Need{Field: "name", Write: true, Type: "text"}, Attention, "x.thing.name", "char here"},
		{"a relation elsewhere", Need{Field: "country_id", Write: true, Type: "many2one", Relation: "res.bank"}, Broken, "x.thing.country_id", "res.country here"},
		{"a selection without the value", Need{Field: "x_kind", Write: true, Type: "selection", Values: []string{"a", "b"}}, Broken, "x.thing.x_kind", "no value b"},
		{"a selection with the value", Need{Field: "x_kind", Write: true, Type: "selection", Values: []string{"a"}}, "", "", ""},
		{"what a relation leads to and is not there", Need{Field: "country_id.nothing", Read: true}, Broken, "res.country", "nothing"},
		{"a required field that no rule fills", Need{Field: "name", Write: true, Type: "char"}, Attention, "x.thing.x_must", "no rule fills it in m"},
		{"a required field that a rule fills", Need{Field: "x_must", Write: true, Type: "char"}, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.need.Model, c.need.Mapping = "x.thing", "m"
			x, err := newTarget(t, url, "jsonrpc").Examine(t.Context(), []Need{{Model: "x.thing", Read: true, Write: true, Create: true, Mapping: "m"}, c.need}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.level == "" {
				for _, f := range x.Findings {
					if strings.HasPrefix(f.About, "x.thing."+c.need.Field) || strings.Contains(f.What, c.need.Field+",") {
						t.Errorf("%+v", f)
					}
				}
			} else if !finds(x, c.level, c.about, c.words) {
				t.Errorf("%+v", x.Findings)
			}
		})
	}
}

func TestExamineSaysTheSameOnAllWires(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{Version: "19.0", Users: []simulated.User{{Login: "few", Key: "few", NoModelData: true, ReadOnly: true}}})
	var first string
	for _, protocol := range []string{"json2", "jsonrpc", "xmlrpc"} {
		target, err := New(Config{URL: url, Database: "demo", User: "few", Key: broker.NewSecret("few"), Protocol: protocol})
		if err != nil {
			t.Fatal(err)
		}
		x, err := target.Examine(t.Context(), append(contactNeeds, Need{Model: "no.such", Read: true, Mapping: "m"}), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%+v %v %v", x.Models, x.Promise, x.Identifiers)
		if first == "" {
			first = got
		}
		if got != first || x.Verdict() != Broken || !finds(x, Broken, "res.partner", "may not write, create") || !finds(x, Broken, "no.such", "no such model") {
			t.Errorf("%s: %s, first %s, %+v", protocol, got, first, x.Findings)
		}
	}
}

func TestExamineOutlivesWhateverIsRefused(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"context_get", "search_read", "version", "read", "fields_get", "check_access_rights", "default_get"} {
		sim, url := start(t, simulated.Config{Addon: true})
		sim.Fail(simulated.Fault{Kind: simulated.FaultRaise, Method: method, Class: "odoo.exceptions.AccessError", Message: secret})
		x, err := newTarget(t, url, "jsonrpc").Examine(t.Context(), contactNeeds, nil)
		if err != nil || x.Verdict() == Fine || x.Version == "" || len(x.Models) == 0 {
			t.Errorf("%s: %v %+v", method, err, x)
		}
		if strings.Contains(fmt.Sprintf("%+v", x), secret) {
			t.Errorf("%s: Odoo's text is repeated", method)
		}
	}
}

func TestExamineJudgesThePromise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		addon   string
		has     bool
		fail    string // of vagus.unit
		promise string
		level   Level
		words   string
	}{
		{"none, and none wanted", "auto", false, "", "external-id", "", ""},
		{"none, and one wanted", "require", false, "", "external-id", Broken, "addon: require"},
		{"one that the user may not use", "auto", true, "odoo.exceptions.AccessError", "external-id", Attention, "Vagus / Link"},
		{"one that the user has to use and may not", "require", true, "odoo.exceptions.AccessError", "external-id", Broken, "Vagus / Link"},
		{"one that is never asked for", "off", true, "", "external-id", "", ""},
		{"one", "auto", true, "", "addon", "", ""},
	} {
		sim, url := start(t, simulated.Config{Addon: c.has})
		if c.fail != "" {
			sim.Fail(simulated.Fault{Kind: simulated.FaultRaise, Method: "version", Class: c.fail})
		}
		target, err := New(Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), Addon: c.addon})
		if err != nil {
			t.Fatal(err)
		}
		x, err := target.Examine(t.Context(), nil, nil)
		if err != nil || x.Promise != c.promise || c.level != "" && !finds(x, c.level, "addon", c.words) || c.level == "" && finds(x, Attention, "addon", "") {
			t.Errorf("%s: %v %s (%s) %+v", c.name, err, x.Promise, x.Why, x.Findings)
		}
	}
}

func TestExamineReadsCertificateClockAndTheCostOfALogin(t *testing.T) {
	t.Parallel()
	sim := simulated.New(simulated.Config{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("authenticate")) {
			time.Sleep(hashing + 100*time.Millisecond) // as Odoo does when it hashes
		}
		w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := New(Config{URL: s.URL, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), TLS: TLS{CAFile: ca}})
	if err != nil {
		t.Fatal(err)
	}
	x, err := target.Examine(t.Context(), nil, nil)
	if err != nil || !x.Certificate.Equal(s.Certificate().NotAfter) || !finds(x, Attention, "server", "clock and ours") || !finds(x, Attention, "user", "two-factor") {
		t.Errorf("%v %+v", err, x)
	}
	if x.Skew.Duration > -9*time.Minute || x.Skew.Duration < -11*time.Minute {
		t.Errorf("skew %s", x.Skew)
	}
}

func TestOnlyGroupsAreTakenOutOfARefusal(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("g", 100)
	for text, want := range map[string]string{
		"You are not allowed to create 'Contact' (res.partner) records.\n\nThis operation is allowed for the following groups:\n\t- Extra Rights/Contact Creation\n\t- Sales/Administrator\n\nContact your administrator to request access if necessary.": "Extra Rights/Contact Creation|Sales/Administrator",
		"No group currently allows this operation.":      "",
		"- Ada Okafor\n \t- Ada\nx\t- Ada\n\t-Ada\n\t- ": "",
		"\t- " + long + "\n\t- " + long + "h":            long,
		strings.Repeat("\t- g\n", 20):                    "g|g|g|g|g|g|g|g",
	} {
		if got := strings.Join(groupsIn(text), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestGroupsThatAreNamedGiveWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rights []string
		groups [][]string
		want   string
	}{
		{[]string{"read", "create"}, [][]string{{"Portal", "Sales", "Stock"}, {"Stock", "Sales"}}, "give the user one of the groups Sales, Stock"},
		{[]string{"read", "create"}, [][]string{{"Portal"}, {"Sales"}}, "give the user groups: to read it one of Portal; to create it one of Sales"},
		{[]string{"read", "create"}, [][]string{{"Portal"}, nil}, "give the user groups: to read it one of Portal"},
		{[]string{"delete"}, [][]string{nil}, "give the user a group that has these rights"},
	} {
		if got := granting(c.rights, c.groups); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
