package fhir

import (
	"fmt"
	"strings"
	"testing"
)

func TestATransactionIsStoredWholeOrInOneStep(t *testing.T) {
	t.Parallel()
	for mode, kinds := range map[string]string{TransactionsWhole: "Bundle", TransactionsEntries: "Patient Organization Bundle"} {
		j := &journal{}
		base := serving(t, Endpoint{Transactions: mode}, j.accept)
		body := fmt.Sprintf(three, "transaction")
		a := send(t, "POST", base, body)
		es := entries(t, a, "transaction-response")
		if len(es) != 3 || es[0].Response.Status != "201 Created" || es[1].Response.Status != "200 OK" || es[2].Response.Status != "200 OK" || !strings.HasPrefix(es[0].Response.Location, "/Patient/") {
			t.Errorf("%s: %s", mode, a.body)
		}
		if again := send(t, "POST", base, body); again.body != a.body {
			t.Errorf("%s: sent again it is answered %s", mode, again.body)
		}
		var got []string
		for i, m := range j.steps[0] {
			got = append(got, m.Kind)
			if m.ID != j.steps[1][i].ID {
				t.Errorf("%s: sent again, message %d is another one", mode, i)
			}
			if mode == TransactionsEntries && (m.Group.ID == "" || m.Group.Index != i || m.Group.Count != 3) {
				t.Errorf("message %d stands at %+v", i, m.Group)
			}
		}
		if len(j.steps) != 2 || strings.Join(got, " ") != kinds {
			t.Errorf("%s: stored are %v in %d steps", mode, got, len(j.steps))
		}
		if mode == TransactionsWhole && string(j.all()[0].Body) != body {
			t.Error("other bytes are stored than were sent")
		}
		if m := j.all()[0]; mode == TransactionsEntries && string(m.Body) != `{"id":"`+m.ID+`","resourceType":"Patient","name":[{"family":"Doe"}]}` {
			t.Errorf("the resource's bytes have become %s", string(m.Body))
		}
	}
}

func TestWhatIsCreatedHasAnIDThatTheRestOfItsTransactionRefersTo(t *testing.T) {
	t.Parallel()
	const patient, visit = `{"resourceType":"Patient","name":[{"family":"Doe"}]}`, `{"resourceType":"Encounter","id":"v1","status":"planned","class":{"code":"AMB"},"identifier":[{"value":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000b"}],"subject":{"reference":"%s"}}`
	const twins = `{"resourceType":"Bundle","type":"%s","entry":[
 {"fullUrl":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000a","resource":` + patient + `,"request":{"method":"POST","url":"Patient"}},
 {"fullUrl":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000b","resource":` + patient + `,"request":{"method":"POST","url":"Patient"}},
 {"fullUrl":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000c","resource":%s,"request":{"method":"POST","url":"Encounter"}}]}`
	const second = "urn:uuid:1b0b3f5c-0000-4000-8000-00000000000b"
	for kind, resolved := range map[string]bool{"transaction": true, "batch": false} {
		j := &journal{}
		a := send(t, "POST", serving(t, Endpoint{Transactions: TransactionsEntries}, j.accept), fmt.Sprintf(twins, kind, fmt.Sprintf(visit, second)))
		es, ms := entries(t, a, kind+"-response"), j.all()
		if len(es) != 3 || len(ms) != 3 || ms[0].ID == ms[1].ID {
			t.Fatalf("%s: %s makes %d messages", kind, a.body, len(ms))
		}
		for i, want := range []string{ms[0].ID, ms[1].ID, "v1"} {
			typ := []string{"Patient", "Patient", "Encounter"}[i]
			if at := es[i].Response.Location; at != "/"+typ+"/"+want+"/_history/1" {
				t.Errorf("%s: entry %d is at %s", kind, i, at)
			}
		}
		want := second
		if resolved {
			want = "Patient/" + ms[1].ID
		}
		if got := string(ms[2].Body); got != fmt.Sprintf(visit, want) {
			t.Errorf("%s: the visit has become %s", kind, got)
		}
	}
	j := &journal{}
	base := serving(t, Endpoint{}, j.accept)
	one, two := send(t, "POST", base+"/Patient", patient), send(t, "POST", base+"/Patient", patient)
	ms := j.all()
	if at := one.header.Get("Location"); at != two.header.Get("Location") || at != "/Patient/"+ms[0].ID+"/_history/1" || ms[0].ID != ms[1].ID {
		t.Errorf("it is at %s, and sent again at %s", at, two.header.Get("Location"))
	}
	if string(ms[0].Body) != `{"id":"`+ms[0].ID+`",`+patient[1:] {
		t.Errorf("it has become %s", string(ms[0].Body))
	}
}

func TestTwoEqualCreatesOfOneBundleAreTwo(t *testing.T) {
	t.Parallel()
	j := &journal{}
	base := serving(t, Endpoint{}, j.accept)
	charge := `{"resource":{"resourceType":"ChargeItem","status":"billable","code":{"text":"x"},"subject":{"reference":"Patient/1"}},"request":{"method":"POST","url":"ChargeItem"}}`
	send(t, "POST", base, `{"resourceType":"Bundle","type":"batch","entry":[`+charge+","+charge+`]}`)
	if ms := j.all(); len(ms) != 2 || ms[0].ID == ms[1].ID {
		t.Errorf("%d messages, of one identity", len(ms))
	}
}

func TestTransactionsThatCanNotBeKeptAreRefusedWhole(t *testing.T) {
	t.Parallel()
	j := &journal{}
	whole, split := serving(t, Endpoint{}, j.accept), serving(t, Endpoint{Transactions: TransactionsEntries}, j.accept)
	entry := func(request, resource string) string {
		if resource != "" {
			resource = `"resource":` + resource + ","
		}
		return `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + jane + `,"request":{"method":"PUT","url":"Patient/p1"}},{` + resource + `"request":{` + request + `}}]}`
	}
	for name, body := range map[string]string{
		"a read":                       entry(`"method":"GET","url":"Patient/p1"`, ""),
		"a version to be compared":     entry(`"method":"PUT","url":"Patient/p1","ifMatch":"W/\"1\""`, jane),
		"a patch":                      entry(`"method":"PATCH","url":"Patient/p1"`, jane),
		"a create without a resource":  entry(`"method":"POST","url":"Patient"`, ""),
		"an update without an id":      entry(`"method":"PUT","url":"Patient"`, jane),
		"an update under another id":   entry(`"method":"PUT","url":"Patient/p2"`, jane),
		"one resource twice":           entry(`"method":"DELETE","url":"Patient/p1"`, ""),
		"a create of another type":     entry(`"method":"POST","url":"Organization"`, jane),
		"an address that is elsewhere": entry(`"method":"POST","url":"http://elsewhere/Patient"`, jane),
		"an entry that breaks R4":      entry(`"method":"PUT","url":"Patient/p1"`, `{"resourceType":"Patient","id":"p1","gender":"?"}`),
	} {
		for _, base := range []string{whole, split} {
			if a := send(t, "POST", base, body); a.status != 400 || !strings.Contains(a.body, "Bundle.entry[1]") {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
	}
	condition := entry(`"method":"POST","url":"Patient","ifNoneExist":"identifier=a|b"`, jane)
	if a := send(t, "POST", split, condition); a.status != 400 {
		t.Errorf("a condition that would be lost: %d %s", a.status, a.body)
	}
	if n := len(j.all()); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	if a := send(t, "POST", whole, condition); a.status != 200 {
		t.Errorf("a condition that the mapping sees: %d %s", a.status, a.body)
	}
}

// What an entry is called after the transaction is known of creates and of
// updates, whichever way its fullUrl calls it before.
func TestEntriesReferToEachOtherByTheirFullUrls(t *testing.T) {
	t.Parallel()
	const urn, at = "urn:uuid:1b0b3f5c-0000-4000-8000-00000000000a", "https://ehr.example.org/fhir/"
	for name, c := range map[string]struct{ fullURL, patient, request, own, reference, want string }{
		"an update, by its urn":                         {urn, `"id":"p1",`, `"PUT","url":"Patient/p1"`, urn[:len(urn)-1] + "b", urn, "Patient/p1"},
		"a create that has an id":                       {urn, `"id":"p1",`, `"POST","url":"Patient"`, "", urn, "Patient/p1"},
		"a create, by an address that is to be no more": {at + "Patient/new", `"id":"p1",`, `"POST","url":"Patient"`, "", at + "Patient/new", "Patient/p1"},
		"the same, seen from its own server":            {at + "Patient/new", `"id":"p1",`, `"POST","url":"Patient"`, at + "Encounter/v1", "Patient/new", "Patient/p1"},
		"seen from another server":                      {at + "Patient/new", `"id":"p1",`, `"POST","url":"Patient"`, "https://other.example.org/Encounter/v1", "Patient/new", "Patient/new"},
		"seen from nowhere":                             {at + "Patient/new", `"id":"p1",`, `"POST","url":"Patient"`, "", "Patient/new", "Patient/new"},
		"an address that stays":                         {at + "Patient/p1", `"id":"p1",`, `"PUT","url":"Patient/p1"`, "", at + "Patient/p1", at + "Patient/p1"},
		"what is in no entry":                           {urn, `"id":"p1",`, `"PUT","url":"Patient/p1"`, "", urn[:len(urn)-1] + "f", urn[:len(urn)-1] + "f"},
	} {
		j := &journal{}
		own := ""
		if c.own != "" {
			own = `"fullUrl":"` + c.own + `",`
		}
		a := send(t, "POST", serving(t, Endpoint{Transactions: TransactionsEntries}, j.accept), `{"resourceType":"Bundle","type":"transaction","entry":[
 {`+own+`"resource":{"resourceType":"Encounter","id":"v1","status":"planned","class":{"code":"AMB"},"subject":{"reference" : "`+c.reference+`"}},"request":{"method":"PUT","url":"Encounter/v1"}},
 {"fullUrl":"`+c.fullURL+`","resource":{"resourceType":"Patient",`+c.patient+`"name":[{"family":"Doe"}]},"request":{"method":`+c.request+`}}]}`)
		ms := j.all()
		if a.status != 200 || len(ms) != 2 {
			t.Errorf("%s: %d %s makes %d messages", name, a.status, a.body, len(ms))
			continue
		}
		if got := string(ms[0].Body); !strings.Contains(got, `"reference" : "`+c.want+`"`) {
			t.Errorf("%s: the visit has become %s", name, got)
		}
	}
}
