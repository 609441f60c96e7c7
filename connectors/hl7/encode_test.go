package hl7

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// differ returns the path of the first difference of two trees but for the
// delimiters of MSH and the offsets, "" if there is none.
func differ(a, b *tree.Node, path string) string {
	if a.Name != b.Name || a.State != b.State || a.Pos.Line != b.Pos.Line || len(a.Kids) != len(b.Kids) {
		return path + "/" + a.Name
	}
	if a.Text != b.Text && path != "//MSH" {
		return path + "/" + a.Name + " (text)"
	}
	for i := range a.Kids {
		if p := differ(a.Kids[i], b.Kids[i], path+"/"+a.Name); p != "" {
			return p
		}
	}
	return ""
}

// sameAgain encodes a decoded message, decodes that and compares the trees.
func sameAgain(t testing.TB, d dialect, m *tree.Message, name string) (again *tree.Message) {
	t.Helper()
	body, err := d.Encode(m)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return m
	}
	again, err = d.Decode(body, nil)
	if err != nil {
		t.Errorf("%s again: %v", name, err)
		return m
	}
	if at := differ(m.Root, again.Root, ""); at != "" {
		t.Errorf("%s differs at %s after encoding", name, at)
	}
	return again
}

func TestWhatIsEncodedDecodesToTheSameTree(t *testing.T) {
	t.Parallel()
	d := in(t, "2.5.1")
	n := 0
	for name, body := range messages(t) {
		if m, err := d.Decode(body, nil); err == nil {
			if again := sameAgain(t, d, m, name); again.Type != m.Type {
				t.Errorf("%s is %s after encoding", name, again.Type)
			}
			n++
		}
	}
	if n < 4 {
		t.Errorf("only %d messages", n)
	}
	for name, body := range map[string]string{
		"escapes and line ends":             "MSH|^~\\&|A\\T\\B|\\F\\\\S\\\\R\\\\E\\|\\.br\\x\\X0D\\y\\X0B\\|||\\.sp2\\|||1\rNTE|1||a\nb \\X22\\\" \\H\\\\N\\",
		"own delimiters":                    "MSH#*~@!#A*B!C~D###x^y&z|#20260101##ADT*A08#1\rPID###1***N!2~~3",
		"no escape character":               "MSH|^~|A\\B|C&D||||ADT^A08|1\rPID|||a~b",
		"separators at the end":             "MSH|^~\\&|||||||ADT^A08|1\rPID|1^|2^^|3&|4&^|^~5|\"\"^|\"\"",
		"Latin-1":                           "MSH|^~\\&|||||||ADT^A08|1|P|2.5.1||||||8859/1\rPID|||1||M\xfcller^J\xf6rg",
		"Windows-1252 that is not declared": "MSH|^~\\&|||||||ADT^A08|1|P|2.5.1\rPID|||1||M\xfcller",
		"UTF-16":                            "\xff\xfe" + wide("MSH|^~\\&|||||||ADT^A08|1|P|2.5.1||||||UNICODE UTF-16\rPID|||1||M\u00fcller\\X0B00\\|\\X2200\\\""),
		"GB 18030":                          "MSH|^~\\&|||||||ADT^A08|1|P|2.5.1||||||GB 18030-2000\rPID|||1||\xcd\xf5^\x81\x7c",
	} {
		m, err := d.Decode([]byte(body), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameAgain(t, d, m, name)
	}
}

// wide returns ASCII and Latin-1 as UTF-16, little endian.
func wide(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
		b.WriteByte(byte(r >> 8))
	}
	return b.String()
}

func leaf(name, text string) *tree.Node { return &tree.Node{Name: name, State: tree.Value, Text: text} }

func node(name string, kids ...*tree.Node) *tree.Node {
	return &tree.Node{Name: name, State: tree.Value, Kids: kids}
}

func TestEncodeWritesATreeThatWasMade(t *testing.T) {
	t.Parallel()
	msh := node("MSH", node("9", leaf("1", "ORM"), leaf("2", "O01")), leaf("10", "7"))
	order := func(n string) *tree.Node {
		return node("ORDER", node("ORC", leaf("1", "NW"), leaf("2", n)), node("ORDER_DETAIL", node("OBR", node("4", leaf("1", "X|R"), leaf("3", "L"))), node("NTE")))
	}
	root := node("", msh, node("PID", leaf("3", "1"), node("3", leaf("1", "2")), node("5", node("1", leaf("1", "Doe"), leaf("3", "x")), leaf("2", "J"))), order("a"), order("b"))
	root.Kids[1].Kids = append(root.Kids[1].Kids, &tree.Node{Name: "8", State: tree.Null}, &tree.Node{Name: "9"}, leaf("10", "1"))
	got, err := in(t, "2.3").Encode(&tree.Message{Format: "hl7v2", Root: root})
	want := "MSH|^~\\&|||||||ORM^O01|7\rPID|||1~2||Doe&&x^J|||\"\"||1\rORC|NW|a\rOBR||||X\\F\\R^^L\rNTE\rORC|NW|b\rOBR||||X\\F\\R^^L\rNTE\r"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v\nwant %q", got, err, want)
	}
}

func TestEncodeErrorsNameThePlaceAndNotTheValue(t *testing.T) {
	t.Parallel()
	msh := func(charset string) *tree.Node { return node("MSH", leaf("10", "7"), leaf("18", charset)) }
	for _, tt := range []struct {
		name string
		root *tree.Node
		want string
	}{
		{"no MSH", node("", node("PID", leaf("3", "secret"))), "does not begin with MSH"},
		{"a field that is not a number", node("", msh(""), node("PID", leaf("3", "1"), leaf("x", "secret"))), `PID has "x" where field 3`},
		{"fields out of order", node("", msh(""), node("PID", leaf("3", "secret"), leaf("2", "secret"))), `PID has "2" where field 3`},
		{"components twice", node("", msh(""), node("PID", node("3", leaf("1", "secret"), leaf("1", "secret")))), `PID-3 has "1" where part 1`},
		{"too deep", node("", msh(""), node("PID", node("3", node("4", node("1", leaf("1", "secret")))))), "PID-3.4.1 has parts"},
		{"a leaf at the root", node("", msh(""), leaf("name", "secret")), "name is neither"},
		{"a character that the set does not have", node("", msh("8859/1"), node("PID", node("5", leaf("1", "\u738b")))), "PID-5.1 has characters"},
	} {
		_, err := in(t, "2.5.1").Encode(&tree.Message{Format: "hl7v2", Root: tt.root})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := in(t, "2.5.1").Encode(&tree.Message{Format: "x12", Root: node("", msh(""))}); err == nil {
		t.Error("a message of another format was encoded")
	}
}

func FuzzEncode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		d := in(t, "2.7")
		if m, err := d.Decode(body, nil); err == nil && encodable(m) {
			sameAgain(t, d, m, "it")
		}
	})
}

// encodable: all bytes have a meaning in the character set, and MSH-9 does not
// begin with an empty repetition, which no tree shows.
func encodable(m *tree.Message) bool {
	bad := strings.HasPrefix(m.Type, "^") || m.Type == ""
	var walk func(n *tree.Node)
	walk = func(n *tree.Node) {
		bad = bad || strings.ContainsRune(n.Text, '\ufffd')
		for _, k := range n.Kids {
			walk(k)
		}
	}
	walk(m.Root)
	return !bad
}
