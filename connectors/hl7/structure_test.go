package hl7

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// messages returns those of testdata and, where it is to be had, of the corpus.
func messages(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.hl7")
	if err != nil {
		t.Fatal(err)
	}
	if root := os.Getenv("VAGUS_CORPORA"); root != "" { // TestCorpus says when it is missing
		for _, depth := range []string{"*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*", "*/*/*/*/*/*", "*/*/*/*/*/*/*", "*/*/*/*/*/*/*/*", "*/*/*/*/*/*/*/*/*"} {
			more, err := filepath.Glob(filepath.Join(root, "hl7v2", depth))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, more...)
		}
	}
	out := make(map[string][]byte)
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil || strings.HasSuffix(name, ".json") { // a directory
			continue
		}
		b, err := split(body)
		if err != nil {
			continue
		}
		for _, g := range b.groups {
			for i, m := range g.messages {
				out[fmt.Sprintf("%s#%d", name, i)] = m
			}
		}
	}
	return out
}

// agree checks a decoded message against the schema: every segment, group and
// field of the version is in it, and what is there twice may repeat, but for
// segments where the tree is flat (what the sender wrote twice is there twice).
func agree(t testing.TB, d dialect, m *tree.Message, structure string) {
	t.Helper()
	root, err := d.Schema(structure)
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *tree.Node, of *tree.Type, path string)
	walk = func(n *tree.Node, of *tree.Type, path string) {
		count := make(map[string]int)
		flat := of == root || of.Name == orderGroup && path == "/"+orderGroup || of.Name == priorGroup || of.Name == patientGroup && of.Element("MRG") != nil
		for _, k := range n.Kids {
			e := of.Element(k.Name)
			if d.segments[of.Name] != nil {
				if len(k.Name) < 3 && e == nil && numberName(len(of.Elements)) == k.Name {
					t.Errorf("%s as %q: %s-%s is not in the schema", m.Type, structure, path, k.Name)
				}
				continue
			}
			if e == nil {
				stray := of == root && slices.Contains(orderOnly, k.Name) // before any order
				if len(k.Name) != 3 || d.segments[k.Name] != nil && !stray {
					t.Errorf("%s as %q: %s/%s is not in the schema", m.Type, structure, path, k.Name)
				}
				continue
			}
			if count[k.Name]++; count[k.Name] > 1 && !e.Repeats && (!flat || d.segments[k.Name] == nil) {
				t.Errorf("%s as %q: %s/%s is there %d times and does not repeat in the schema", m.Type, structure, path, k.Name, count[k.Name])
			}
			walk(k, e.Type, path+"/"+k.Name)
		}
	}
	walk(m.Root, root, "")
}

func TestDecodedMessagesAgreeWithTheSchema(t *testing.T) {
	t.Parallel()
	for name, body := range messages(t) {
		for _, v := range []string{"2.3", "2.5.1", "2.8"} {
			d := in(t, v)
			m, err := d.Decode(body, nil)
			if err != nil {
				if _, parse := Parse(body); parse == nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			agree(t, d, m, m.Type)
			agree(t, d, m, "")
		}
	}
}

// A message of a structure, as it was made.
type made struct {
	lines []string
	tree  strings.Builder // its groups, in the form of show
}

// make writes what a structure may hold: parts that may be missing with a
// probability, and repeat up to a bound.
func (g *made) make(r *rand.Rand, p *part, chance float64, most int) {
	for _, k := range p.kids {
		n := 1
		if !k.must && r.Float64() >= chance {
			n = 0
		}
		if n == 1 && k.many {
			n += r.IntN(most)
		}
		for range n {
			g.tree.WriteString(" " + k.name)
			if k.isGroup() {
				g.tree.WriteString("(")
				g.make(r, k, chance, most)
				g.tree.WriteString(")")
				continue
			}
			if k.name != "MSH" {
				g.lines = append(g.lines, fmt.Sprintf("%s|%d", k.name, len(g.lines)))
			}
		}
	}
}

// groups shows the groups of the standard as made does.
func groups(n *tree.Node, p *part) string {
	var b strings.Builder
	for _, k := range n.Kids {
		b.WriteString(" " + k.Name)
		if g := p.group(k.Name); g != nil {
			b.WriteString("(" + groups(k, g) + ")")
		}
	}
	return b.String()
}

func TestEveryStructureOfEveryVersionDecodesAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			d := in(t, v)
			for _, name := range d.structures().names {
				p := d.structures().byName[name]()
				for seed := range 5 {
					r := rand.New(rand.NewPCG(uint64(seed), 1))
					var g made
					g.make(r, p, float64(seed)/4, 1+seed%3)
					kind := typeNamed(name)
					body := "MSH|^~\\&|||||||" + kind.String() + "|1|P|" + v + "\r" + strings.Join(g.lines, "\r") + "\r"
					m, err := d.Decode([]byte(body), nil)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					agree(t, d, m, name)
					sameAgain(t, d, m, name)
					for n := range m.Root.Kids {
						if m.Root.Kids[n].Pos.Line == 0 {
							t.Fatalf("%s: a node without a place", name)
						}
					}
				}
			}
		})
	}
}

// ambiguous are structures of which a message can be read in two ways: after
// what is missing or may repeat, a segment fits into two groups.
var ambiguous = []string{"CSU_C09", "EHC_E15", "OMD_O03", "ORD_O04", "ORL_O34", "RCI_I05", "SUR_P09"}

// TestGroupsAreThoseOfTheStandard makes messages with all that a structure may
// hold, once and twice, and finds their groups again.
func TestGroupsAreThoseOfTheStandard(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		d := in(t, v)
		for _, name := range d.structures().names {
			if slices.Contains(ambiguous, name) {
				continue
			}
			p := d.structures().byName[name]()
			for most := 1; most <= 3; most++ {
				var g made
				g.make(rand.New(rand.NewPCG(7, 7)), p, 1, most)
				w := newWalk(&builder{dictionary: d.dictionary, left: maxNodes}, p)
				w.place(&tree.Node{Name: "MSH"})
				for _, line := range g.lines {
					w.place(&tree.Node{Name: line[:3]})
				}
				if got := groups(w.open[0].node, p); got != g.tree.String() {
					t.Errorf("%s %s:%s\nwant%s", v, name, got, g.tree.String())
				}
			}
		}
	}
}

// TestGroupsAreThereForWhoSelectsThem: a selection that names a group of the
// standard gets it whole, one that names none does without.
func TestGroupsAreThereForWhoSelectsThem(t *testing.T) {
	t.Parallel()
	d := in(t, "2.5.1")
	names := func(n *tree.Node) (out []string) {
		for _, k := range n.Kids {
			out = append(out, k.Name)
		}
		return out
	}
	body := []byte(mustReadFile("testdata/oru_two_patients.hl7"))
	for _, tt := range []struct {
		name string
		only tree.Selection
		want bool
	}{
		{"fields only", tree.Selection{"PID": {"3": true}, "ORU_R01": {"PID": true, "ORDER": true}, "ORDER": {"OBX": true, "OBSERVATION": true}}, false},
		{"a group", tree.Selection{"ORU_R01": {"PATIENT_RESULT": true}, "PATIENT_RESULT": {"PATIENT": true}, "PATIENT": {"PID": true}, "PID": {"3": true}}, true},
		{"everything", nil, true},
	} {
		m, err := d.Decode(body, tt.only)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(names(m.Root), "PATIENT_RESULT"); got != tt.want || m.Root.First("ORDER").First("OBSERVATION") == nil {
			t.Errorf("%s: %v", tt.name, names(m.Root))
		}
	}
	order := func(only tree.Selection) []string {
		m, err := d.Decode([]byte("MSH|^~\\&|||||||ORM^O01|1|P|2.5.1\rPID|1\rORC|NW\rOBR|1\rNTE|1\r"), only)
		if err != nil {
			t.Fatal(err)
		}
		return names(m.Root.First("ORDER"))
	}
	if got := order(tree.Selection{"ORDER": {"ORDER_DETAIL": true}}); !slices.Equal(got, []string{"PID", "ORC", "OBR", "NTE", "ORDER_DETAIL"}) {
		t.Errorf("ORDER has %v", got)
	}
	if got := order(tree.Selection{"ORDER": {"OBR": true}}); slices.Contains(got, "ORDER_DETAIL") {
		t.Errorf("ORDER has %v", got)
	}
}

// TestStructuresAreFoundByEventAndByName: what MSH-9 says, less and more of it.
func TestStructuresAreFoundByEventAndByName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ version, kind, want string }{
		{"2.5.1", "ADT^A08", "ADT_A01"},
		{"2.5.1", "ADT^A08^ADT_A01", "ADT_A01"},
		{"2.5.1", "ADT_A08", "ADT_A01"}, // a sender that names the structure after the event
		{"2.5.1", "ADT_A39", "ADT_A39"},
		{"2.3", "ADT^A08", "ADT_A01"},
		{"2.3.1", "ADT^A31", "ADT_A01"},
		{"2.4", "ADT^A31", "ADT_A05"},
		{"2.5.1", "ADT^Z99^ADT_A01", "ADT_A01"},
		{"2.5.1", "XYZ^A01", "XYZ^A01"},
		{"2.7", "ORM^O01", "ORM^O01"}, // withdrawn
		{"2.6", "ORM_O01", "ORM_O01"},
	} {
		root, err := in(t, tt.version).Schema(tt.kind)
		if err != nil || root.Name != tt.want {
			t.Errorf("%s %s: %s, %v", tt.version, tt.kind, root.Name, err)
		}
	}
	d := in(t, "2.5.1")
	a, _ := d.Schema("ADT^A01")
	b, _ := d.Schema("ADT^A08")
	if a != b {
		t.Error("messages that are grouped alike have two schemas")
	}
	for _, tt := range []struct {
		when map[string][]string
		want []string
	}{
		{map[string][]string{"MSH.9.1": {"ADT", "ORU"}, "MSH.9.2": {"A01", "R01"}}, []string{"ADT^A01", "ORU^R01"}},
		{map[string][]string{"MSH.9.1": {"XYZ"}, "MSH.9.2": {"A01"}}, []string{"XYZ^A01"}},
		{map[string][]string{"MSH.9.3": {"ADT_A01"}}, []string{"ADT_A01"}},
		{map[string][]string{"MSH.4": {"NORTH"}}, []string{""}},
	} {
		if got := d.Structures(tt.when); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v", tt.when, got)
		}
	}
}

func TestAnOrderHasTheGroupsOfOneOrderOfTheStandard(t *testing.T) {
	t.Parallel()
	d := in(t, "2.5.1")
	m, err := d.Decode([]byte("MSH|^~\\&|||||||ORM^O01|1|P|2.5.1\rPID|1\rORC|NW\rRXO|1\rRXO|2\r"), nil)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, d, m, "ORM_O01")
}
