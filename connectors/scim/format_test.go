package scim_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/scim"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

const provision = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","` + enterprise + `"],"id":"2819c223","userName":"MWelby@north.example","name":{"givenName":"Marcus","familyName":"Welby"},"title":"Attending","active":true,"emails":[{"value":"home@x.example","type":"home"},{"value":"m.welby@north.example","type":"work","primary":true}],"phoneNumbers":[{"value":"+1 510 5550001","type":"mobile"}],"` + enterprise + `":{"employeeNumber":"10023","department":"Intensive Care","costCenter":"5100"}}`

func dialect(t testing.TB, d tree.Declaration) tree.Dialect {
	t.Helper()
	out, err := scim.Format{}.Dialect(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAUserDecodes(t *testing.T) {
	t.Parallel()
	// As the mapping of the identity feed declares it.
	d := dialect(t, tree.Declaration{Version: "2.0", Columns: []tree.Column{
		{Name: "id", Type: "text", Labels: tree.Staff}, {Name: "userName", Type: "text", Labels: tree.Staff}, {Name: "name", Type: "text", Labels: tree.Staff},
		{Name: "emails", Type: "text", Labels: tree.Staff}, {Name: "phoneNumbers", Type: "text", Labels: tree.Staff}, {Name: "title", Type: "text", Labels: tree.Staff},
		{Name: "active", Type: "bool", Labels: tree.Staff}, {Name: enterprise, Type: "text", Labels: tree.Staff},
	}})
	m, err := d.Decode([]byte(provision), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`id=2819c223
userName=MWelby@north.example
name.givenName=Marcus
name.familyName=Welby
title=Attending
active=true
emails.value=home@x.example
emails.type=home
emails[2].value=m.welby@north.example
emails[2].type=work
emails[2].primary=true
phoneNumbers.value=+1 510 5550001
phoneNumbers.type=mobile
URN.employeeNumber=10023
URN.department=Intensive Care
URN.costCenter=5100`, "URN", enterprise)
	if got := treetest.Dump(m.Root); got != want || m.Format != "scim" {
		t.Errorf("%s:\n%s\nwant\n%s", m.Format, got, want)
	}
	if m, err = d.Decode([]byte(`{"id":"2819c223","userName":"mwelby@north.example","displayName":"M W","active":false,"title":"","emails":[]}`), nil); err != nil || treetest.Dump(m.Root) != "id=2819c223\nuserName=mwelby@north.example\nactive=false" {
		t.Errorf("%v: %s", err, treetest.Dump(m.Root))
	}
}

func TestNamesAreFoundWhateverTheirCase(t *testing.T) {
	t.Parallel()
	body := `{"ID":"1","USERNAME":"a","Emails":[{"VALUE":"x"}],"` + strings.ToUpper(enterprise) + `":{"MANAGER":"26"},"title":null}`
	m, err := dialect(t, tree.Declaration{}).Decode([]byte(body), nil)
	if err != nil || treetest.Dump(m.Root) != "id=1\nuserName=a\nemails.value=x\n"+enterprise+".manager=26\ntitle null" {
		t.Errorf("%v\n%s", err, treetest.Dump(m.Root))
	}
	if _, err := dialect(t, tree.Declaration{}).Decode([]byte(`{"id":"1","ID":"2"}`), nil); err == nil {
		t.Error("one attribute twice is taken")
	}
}

func TestCustomAttributesAndSchemasAreDeclared(t *testing.T) {
	t.Parallel()
	const acme = "urn:acme:2.0:User"
	d := dialect(t, tree.Declaration{Columns: []tree.Column{
		{Name: "username", Labels: tree.Identifier},
		{Name: "badge", Type: "code", Labels: tree.Secret},
		{Name: acme, Type: "object", Labels: tree.Staff, Parts: []tree.Column{{Name: "wards", Type: "code", Repeats: true}, {Name: "since", Type: "date"}}},
	}})
	m, err := d.Decode([]byte(`{"id":"7","userName":"a","Badge":17,"`+acme+`":{"wards":["ICU","ER"],"since":"2026-01-01"}}`), nil)
	if err != nil || treetest.Dump(m.Root) != "username=a\nbadge=17\n"+acme+".wards=ICU\n"+acme+".wards[2]=ER\n"+acme+".since=2026-01-01" {
		t.Errorf("%v\n%s", err, treetest.Dump(m.Root))
	}
	root, err := d.Schema("User")
	if err != nil {
		t.Fatal(err)
	}
	if e := root.Element("username"); e.Labels != tree.Identifier || e.Title != "User Name" || root.Element("id") != nil {
		t.Errorf("%+v", e)
	}
}

func TestTheSchemasOfTheStandard(t *testing.T) {
	t.Parallel()
	d := dialect(t, tree.Declaration{})
	types := map[string]*tree.Type{}
	for _, name := range []string{"", "User", "Group"} {
		typ, err := d.Schema(name)
		if err != nil {
			t.Fatal(err)
		}
		types[name] = typ
	}
	user, group, both := types["User"], types["Group"], types[""]
	if user.Element("userName") == nil || user.Element("members") != nil || group.Element("userName") != nil || group.Element("members") == nil || group.Element("id") == nil {
		t.Error("User and Group have other attributes than their own")
	}
	for _, typ := range []*tree.Type{user, group} {
		for _, e := range typ.Elements {
			if both.Element(e.Name) == nil {
				t.Errorf("%s is not in the type of all", e.Name)
			}
		}
	}
	if e := user.Element("password"); e.Labels != tree.Secret {
		t.Errorf("the password is %v", e.Labels)
	}
	if e := user.Element("schemas"); e.Labels != tree.Admin || e.Title != "Schemas" {
		t.Errorf("%+v", e)
	}
	if e := user.Element("emails"); e.Labels != tree.Staff || !e.Repeats || e.Type.Elements[0].Name != "value" || e.Title != "Email Addresses" {
		t.Errorf("%+v", e)
	}
	if e := user.Element(enterprise).Type.Element("manager"); e.Type.Elements[0].Name != "value" || e.Type.Name != enterprise+".manager" {
		t.Errorf("%+v", e.Type)
	}
	if e := user.Element("meta").Type.Element("lastModified"); e.Type.Kind != tree.DateTime {
		t.Errorf("%+v", e)
	}
	for _, tt := range []struct {
		when map[string][]string
		want string
	}{
		{nil, ""},
		{map[string][]string{"meta.resourceType": {"Group"}}, "Group"},
		{map[string][]string{"schemas": {"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:core:2.0:Group"}}, "User Group"},
		{map[string][]string{"schemas": {enterprise}}, ""},
	} {
		if got := strings.Join(d.Structures(tt.when), " "); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.when, got, tt.want)
		}
	}
}

func TestTheProtocolsOwnMessagesAreNoResources(t *testing.T) {
	t.Parallel()
	d := dialect(t, tree.Declaration{})
	for _, kind := range []string{"PatchOp", "ListResponse", "Error"} {
		_, err := d.Decode([]byte(`{"id":"7","schemas":["urn:ietf:params:scim:api:messages:2.0:`+kind+`"]}`), tree.Selection{"": {"id": true}})
		if err == nil || !strings.Contains(err.Error(), "a "+kind+" of the protocol") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := d.Decode([]byte(`{"schemas":["x","urn:ietf:params:scim:api:messages:2.0:Welby"]}`), nil); err == nil || err.Error() != "decode scim: a message of the protocol, not a resource" {
		t.Errorf("an unknown one: %v", err)
	}
	m, err := d.Decode([]byte(`{"id":"7","title":"urn:ietf:params:scim:api:messages:2.0:PatchOp"}`), nil)
	if err != nil || m.Root.First("title") == nil {
		t.Errorf("a title that looks like one: %v", err)
	}
}

func TestListsAreSplit(t *testing.T) {
	t.Parallel()
	d := dialect(t, tree.Declaration{})
	for _, file := range []string{
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":3,"Resources":[{"id":"1"},{"x":2},{"id":"3"}]}`,
		`[{"id":"1"},{"x":2},{"id":"3"}]`,
		"{\"id\":\"1\"}\n{\"x\":2}\n{\"id\":\"3\"}",
	} {
		parts, err := d.(tree.Splitter).Split([]byte(file))
		if err != nil || len(parts) != 3 || string(parts[2]) != `{"id":"3"}` {
			t.Errorf("%d parts, %v", len(parts), err)
		}
	}
	if parts, err := d.(tree.Splitter).Split([]byte(provision)); err != nil || len(parts) != 1 {
		t.Errorf("a resource is %d, %v", len(parts), err)
	}
	for _, file := range []string{"", "[]"} {
		if parts, err := d.(tree.Splitter).Split([]byte(file)); err != nil || len(parts) != 0 {
			t.Errorf("nothing is %d, %v", len(parts), err)
		}
	}
	for _, file := range []string{`[1]`, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"Resources":7}`} {
		if _, err := d.(tree.Splitter).Split([]byte(file)); err == nil || !strings.HasPrefix(err.Error(), "split scim: ") {
			t.Errorf("%v", err)
		}
	}
}

func TestDeclarationsThatAreNotSCIM(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]tree.Declaration{
		`no version "1.1": use 2.0`:         {Version: "1.1"},
		"no delimiter":                      {Delimiter: ";"},
		"scim: userName is declared twice":  {Columns: []tree.Column{{Name: "username"}, {Name: "userName"}}},
		"scim: badge has no type":           {Columns: []tree.Column{{Name: "badge"}}},
		"scim: emails is an object in the ": {Columns: []tree.Column{{Name: "emails", Type: "date"}}},
	} {
		if _, err := (scim.Format{}).Dialect(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The examples of RFC 7643 and 7644, where they are to be had, and one like them.
func samples(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{"own": provision, "own group": `{"id":"g","displayName":"Nurses","members":[{"value":"u1","$ref":"../Users/u1","display":"A"}]}`}
	root := os.Getenv("VAGUS_CORPORA")
	if root == "" {
		return out
	}
	files, err := filepath.Glob(filepath.Join(root, "scim/*/*.json"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files in VAGUS_CORPORA, %v", len(files), err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(body)
	}
	return out
}

func TestResourcesOfTheStandardDecodeWhole(t *testing.T) {
	t.Parallel()
	d := dialect(t, tree.Declaration{})
	for name, body := range samples(t) {
		var v map[string]any
		if json.Unmarshal([]byte(body), &v) != nil {
			continue // an example of what is not JSON
		}
		m, err := d.Decode([]byte(body), nil)
		if strings.Contains(body, "api:messages") {
			if err == nil && !strings.Contains(name, "schema") {
				t.Errorf("%s is taken for a resource", name)
			}
			continue
		}
		if strings.Contains(name, "schema") || strings.Contains(name, "resource_type") || strings.Contains(name, "service_provider") {
			continue // resources about the server
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := count(m.Root), leaves(v); got != want {
			t.Errorf("%s has %d values, the tree %d", name, want, got)
		}
	}
}

// leaves counts simple values that are not "".
func leaves(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			n += leaves(x)
		}
	case []any:
		for _, x := range v {
			n += leaves(x)
		}
	default:
		if v != "" {
			n = 1
		}
	}
	return n
}

// count counts the leaves of a tree.
func count(n *tree.Node) (leaves int) {
	for _, k := range n.Kids {
		leaves += max(count(k), 1-min(len(k.Kids), 1))
	}
	return leaves
}

func FuzzDecode(f *testing.F) {
	for _, body := range samples(f) {
		f.Add([]byte(body))
	}
	d := dialect(f, tree.Declaration{})
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = d.Decode(body, nil)
		parts, err := d.(tree.Splitter).Split(body)
		if err != nil {
			return
		}
		for _, p := range parts {
			if !json.Valid(p) {
				t.Fatal("a part is no JSON")
			}
		}
	})
}
