package ldap_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/ldap"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

func dialect(t testing.TB, names ...string) tree.Dialect {
	t.Helper()
	var d tree.Declaration
	for _, n := range names {
		d.Columns = append(d.Columns, tree.Column{Name: n, Type: "text", Labels: tree.Staff})
	}
	out, err := ldap.Format{}.Dialect(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// account is what the identity feed's mapping declares.
var account = []string{"objectGUID", "sAMAccountName", "userPrincipalName", "givenName", "sn", "displayName", "mail", "employeeID", "telephoneNumber", "preferredLanguage", "memberOf", "userAccountControl", "unicodePwd"}

func TestAnEntryAsJSONDecodes(t *testing.T) {
	t.Parallel()
	body := `{"objectGUID":"6f9619ff-8b86-d011-b42d-00c04fc964ff","sAMAccountName":"mratched","userPrincipalName":"M.Ratched@north.example","displayName":"Mildred Ratched","mail":"M.Ratched@north.example","employeeID":"10077","preferredLanguage":"es","userAccountControl":"512","memberOf":["CN=Odoo-Stock,OU=Groups,DC=north,DC=example","CN=Domain Users,CN=Users,DC=north,DC=example"],"unicodePwd":"secret","whenCreated":"x"}`
	m, err := dialect(t, account...).Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `objectGUID=6f9619ff-8b86-d011-b42d-00c04fc964ff
sAMAccountName=mratched
userPrincipalName=M.Ratched@north.example
displayName=Mildred Ratched
mail=M.Ratched@north.example
employeeID=10077
preferredLanguage=es
userAccountControl=512
memberOf=CN=Odoo-Stock,OU=Groups,DC=north,DC=example
memberOf[2]=CN=Domain Users,CN=Users,DC=north,DC=example
unicodePwd=secret`
	if got := treetest.Dump(m.Root); got != want || m.Format != "ldap" {
		t.Errorf("%s:\n%s\nwant\n%s", m.Format, got, want)
	}
}

const record = `version: 1

# An account
dn: CN=Müller\, Marcus,OU=Staff,
 DC=north,DC=example
objectclass: top
objectClass: user
SAMACCOUNTNAME:mwelby
cn;lang-de: Markus
cn: Marcus
mail:   m.welby@north.example
# a comment that
 goes on: here
description:: w6Rib3Zl
memberOf: CN=A,
 DC=north
memberOf: CN=B
memberOf;range=0-*: CN=C
objectGUID:: /xmWb4aLEdC0LQDAT8lk/w==
objectSid:: AQUAAAAAAAUVAAAAMtEPXBB/2eHaESK1UgQAAA==
jpegPhoto:: /9j/4A==
userCertificate;binary:: MIIB
title:
telephoneNumber:: 
`

func TestARecordOfLDIFDecodes(t *testing.T) {
	t.Parallel()
	const want = `dn=CN=Müller\, Marcus,OU=Staff,DC=north,DC=example
objectClass=top
objectClass[2]=user
sAMAccountName=mwelby
cn=Marcus
mail=m.welby@north.example
description=äbove
memberOf=CN=A,DC=north
memberOf[2]=CN=B
memberOf[3]=CN=C
objectGUID=6f9619ff-8b86-d011-b42d-00c04fc964ff
objectSid=S-1-5-21-1544540466-3789127440-3038908890-1106
jpegPhoto=/9j/4A==
userCertificate=MIIB`
	for name, body := range map[string]string{"LF": record, "CRLF": strings.ReplaceAll(record, "\n", "\r\n"), "a mark before it": "\ufeff" + record, "blank lines behind it": record + "\n\r\n", "a comment behind it": record + "\n# end\n"} {
		m, err := dialect(t).Decode([]byte(body), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := treetest.Dump(m.Root); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
		mail := m.Root.First("mail")
		if mail.Pos.Line != 11 || !strings.HasPrefix(body[mail.Pos.Offset:], mail.Text) {
			t.Errorf("%s: mail stands at %+v", name, mail.Pos)
		}
	}
	m, err := dialect(t, "CN", "cn;lang-de").Decode([]byte(record), tree.Selection{"": {"CN": true, "cn;lang-de": true}})
	if err != nil || treetest.Dump(m.Root) != "cn;lang-de=Markus\nCN=Marcus" {
		t.Errorf("%v: the declared spelling is %s", err, treetest.Dump(m.Root))
	}
	if m, _ := dialect(t).Decode([]byte(record), tree.Selection{"": {"mail": true}}); treetest.Dump(m.Root) != "mail=m.welby@north.example" {
		t.Error("more than what is selected")
	}
}

func TestOptionsInJSONMakeOtherNames(t *testing.T) {
	t.Parallel()
	m, err := dialect(t).Decode([]byte(`{"mail":"a;range=1-2","cn;lang-de":"x"}`), nil)
	if err != nil || treetest.Dump(m.Root) != "mail=a;range=1-2" {
		t.Errorf("%v", err)
	}
}

func TestRecordsThatAreNoEntryAreRefused(t *testing.T) {
	t.Parallel()
	const dn = "dn: CN=A\n"
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", "", "nothing is there"},
		{"comments", "# a\n\n# b\n", "nothing is there"},
		{"a version and nothing else", "version: 1\n", "nothing is there"},
		{"no name of the entry", "cn: A\n", "line 1: an entry begins with dn:"},
		{"a summary of ldapsearch", "# search result\nsearch: 2\n", "line 2: an entry begins with dn:"},
		{"a change", dn + "changetype: modify\n", "line 2: a record of a change"},
		{"a control", dn + "control: 1.2.3\n", "a record of a change"},
		{"a value at a URL", dn + "jpegPhoto:< file:///etc/passwd\n", "line 2: jpegPhoto: the value stands at a URL"},
		{"a part of the values", dn + "member;range=0-1499: CN=B\n", "line 2: member has only a part of its values"},
		{"a part of the values, in JSON", `{"dn":"CN=A","member;range=0-1499":["CN=B"]}`, "member has only a part of its values"},
		{"an option that makes no difference, in JSON", `{"userCertificate;binary":"MIIB"}`, "userCertificate has an option in its name"},
		{"no base64", dn + "cn:: ***\n", "line 2: cn: the value is not base64"},
		{"no UTF-8", dn + "cn: M\xfcller\n", "line 2: cn: the value is not UTF-8"},
		{"no colon", dn + "Marcus Welby\n", "line 2: an attribute, a colon"},
		{"a name with a blank", dn + "Marcus Welby: 7\n", "line 2: the name of an attribute"},
		{"two entries", dn + "cn: A\n" + dn, "line 3: another entry begins"},
		{"two records", dn + "\n" + dn, "line 2: another record begins"},
		{"a line that continues nothing", " x\n", "an attribute, a colon"},
		{"an object as a value", `{"cn":{"a":1}}`, "cn: an object where"},
		{"too many values", dn + strings.Repeat("o: a\n", 250_001), "over 250000 values"},
		{"too long", dn + strings.Repeat("# a comment and no value\n", 1<<20), "at most 16777216"},
	} {
		_, err := dialect(t).Decode([]byte(tt.body), nil)
		if err == nil || !strings.HasPrefix(err.Error(), "decode ldap: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: the error is %v, want %s", tt.name, err, tt.want)
		} else if strings.Contains(err.Error(), "Marcus") {
			t.Errorf("%s: the error has a value in it", tt.name)
		}
	}
}

func TestFilesAreSplitIntoEntries(t *testing.T) {
	t.Parallel()
	d := dialect(t).(tree.Splitter)
	for _, tt := range []struct{ name, file, want string }{
		{"LDIF", "\ufeffversion: 1\n\n# people\n\ndn: CN=A\ncn: A\n\n\n# B\ndn: CN=B\r\n\r\ndn: CN=C", "dn: CN=A\ncn: A\n|# B\ndn: CN=B\r\n|dn: CN=C"},
		{"an array", ` [{"cn":"A"},{"cn":"B"}]`, `{"cn":"A"}|{"cn":"B"}`},
		{"JSON lines", "{\"cn\":\"A\"}\n{\"cn\":\"B\"}\n", `{"cn":"A"}|{"cn":"B"}`},
		{"nothing", "\n\n", ""},
	} {
		parts, err := d.Split([]byte(tt.file))
		if got := string(bytes.Join(parts, []byte("|"))); err != nil || got != tt.want {
			t.Errorf("%s: %v, %q", tt.name, err, got)
		}
	}
	if _, err := d.Split([]byte(`[1]`)); err == nil || !strings.HasPrefix(err.Error(), "split ldap: ") {
		t.Errorf("%v", err)
	}
}

func TestDeclarationsAndTheirSchema(t *testing.T) {
	t.Parallel()
	root, err := dialect(t).Schema("")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]tree.Labels{"unicodePwd": tree.Secret, "userPassword": tree.Secret, "mail": tree.Staff, "objectClass": tree.Admin} {
		if e := root.Element(name); e == nil || e.Labels != want {
			t.Errorf("%s is %+v", name, e)
		}
	}
	if e := root.Element("whenChanged"); e.Type.Kind != tree.DateTime || !root.Element("memberOf").Repeats || root.Element("mail").Repeats {
		t.Errorf("%+v", e)
	}
	d, err := ldap.Format{}.Dialect(tree.Declaration{Columns: []tree.Column{{Name: "MAIL"}, {Name: "wardCode", Type: "code", Labels: tree.Admin}}})
	if err != nil {
		t.Fatal(err)
	}
	root, _ = d.Schema("")
	if e := root.Element("MAIL"); e == nil || e.Title != "Mail Address" || e.Labels != tree.Staff || root.Element("wardCode").Type.Kind != tree.Code || root.Element("sn") != nil {
		t.Errorf("%+v", e)
	}
	for want, decl := range map[string]tree.Declaration{
		"no version":                 {Version: "3"},
		"ldap: Mail is declared":     {Columns: []tree.Column{{Name: "mail"}, {Name: "Mail"}}},
		"ldap: wardCode has no type": {Columns: []tree.Column{{Name: "wardCode"}}},
		"ldap: x is an object":       {Columns: []tree.Column{{Name: "x", Type: "object", Parts: []tree.Column{{Name: "y", Type: "text"}}}}},
	} {
		if _, err := (ldap.Format{}).Dialect(decl); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func ldifFiles(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"own": []byte(record)}
	root := os.Getenv("VAGUS_CORPORA")
	if root == "" {
		return out
	}
	files, err := filepath.Glob(filepath.Join(root, "ldif/*/*/*.ldif"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files in VAGUS_CORPORA, %v", len(files), err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = body
	}
	return out
}

func TestForeignFilesKeepTheirValues(t *testing.T) {
	t.Parallel()
	d := dialect(t)
	for name, file := range ldifFiles(t) {
		parts, err := d.(tree.Splitter).Split(file)
		if err != nil || len(parts) == 0 {
			t.Errorf("%s: %d parts, %v", name, len(parts), err)
		}
		for _, p := range parts {
			m, err := d.Decode(p, nil)
			if bytes.Contains(p, []byte("\nchangetype:")) {
				if err == nil || !strings.Contains(err.Error(), "a change") {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if !bytes.Contains(bytes.ToLower(p), []byte("dn: "+strings.ToLower(m.Root.First("dn").Text[:4]))) {
				t.Errorf("%s: another dn", name)
			}
			if photo := m.Root.First("jpegPhoto"); photo != nil {
				if b, err := base64.StdEncoding.DecodeString(photo.Text); err != nil || !bytes.HasPrefix(b, []byte{0xff, 0xd8}) {
					t.Errorf("%s: the photo is none: %v", name, err)
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range ldifFiles(f) {
		if len(body) < 4096 {
			f.Add(body)
		}
	}
	f.Add([]byte(`[{"CN":["a","b"],"mail":null}]`))
	f.Add([]byte("dn:: QQ==\nmember;range=0-*;x: a\nobjectSid:: AQEAAAAAAAUVAAAA\n"))
	d := dialect(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		_, _ = d.Decode(body, nil)
		parts, err := d.(tree.Splitter).Split(body)
		if err == nil {
			for _, p := range parts {
				if m, err := d.Decode(p, nil); err == nil && m.Root == nil {
					t.Fatal("no tree")
				}
			}
		}
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
	})
}
