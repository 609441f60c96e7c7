package mapping

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestAPathFindsWhatTheGrammarSays(t *testing.T) {
	t.Parallel()
	msg, err := fakeFormat{}.Decode([]byte("MSH|^~\\&|A|NORTH^1.2^ISO\n"+
		`PID|1||11^^^A^MR~22^^^B^SS~33^^^C^MR||O'Hara&van^Siobhan~Hara^Shiv||1984|F^Female||||""|^PRN^PH^^1^510^1~^PRN^CP^^1^415^2~^^PH^^1^999^3||||x||""`+"\n"+
		"NK1|1|Doe^Jan~Roe^Kim\nNK1|2|Poe\nPV1|1|||||||||||||||||INP"), nil)
	if err != nil {
		t.Fatal(err)
	}
	root := &scope{typ: fakeTypes["ADT_A01"], ground: &ground{leads: func(e *tree.Element) bool { return isNumber(e.Name) }}}
	for _, c := range []struct{ path, want string }{
		{"PID-3.1", "11"},
		{"PID-3[first].1", "11"},
		{"PID-3[2].1", "22"},
		{"PID-3[last].1", "33"},
		{"PID-3[9].1", "(absent)"},
		{"PID-3[5=SS].1", "22"},
		{"PID-3[5=XX|SS].1", "22"},
		{"PID-3[5!=MR].1", "22"},
		{"PID-3[4.1=C].1", "33"},
		{"PID-3[5=MR][2].1", "33"},
		{"PID-3[5=MR][last].1", "33"},
		{"PID-3[5=ZZ].1", "(absent)"},
		{"PID-3[5=`MR`].1", "11"},
		{"PID.3[1].1", "11"},
		{"/PID-3[1].1", "11"},
		{"`PID`-3[1].1", "11"},
		{"PID-03[1].01", "11"},
		{"PID-5[first].1.1", "O'Hara"},
		{"PID-5[first].1", "O'Hara"}, // first leaf of a composite
		{"PID-5[first]", "O'Hara"},
		{"PID-5[2].1.1", "Hara"}, // the sender gave no sub-components
		{"PID-5[2].1.2", "(absent)"},
		{"PID-8", "F"}, // the sender gave a primitive parts
		{"PID-8.1", "F"},
		{"PID-7", "1984"},
		{"PID-7.1", "1984"},
		{"PID-12", "(null)"},
		{"PID-13[3=CP].7", "2"},
		{"PID-19", "(null)"},
		{"PID-25", "(absent)"},
		{"NK1[2]-2.1", "Poe"},
		{"NK1[1=2]-2.1", "Poe"},
		{"NK1[2[1=Doe].2=Jan]-1", "1"}, // a predicate within a predicate
		{"PV1-18", "INP"},
		{"OBX-5", "(absent)"},
	} {
		e, err := parsePath(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		p, err := root.bind(e)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		f := p.one([]*tree.Node{msg.Root})
		got := f.text
		switch f.state {
		case tree.Absent:
			got = "(absent)"
		case tree.Null:
			got = "(null)"
		}
		if got != c.want {
			t.Errorf("%s is %q, want %q", c.path, got, c.want)
		}
	}
}

func TestAFieldThatIsNullAsAWholeIsNullInAllItsParts(t *testing.T) {
	t.Parallel()
	msg, _ := fakeFormat{}.Decode([]byte("MSH|^~\\&|A\nPID|1||||\"\"||||||||\"\""), nil)
	root := &scope{typ: fakeTypes["ADT_A01"], ground: &ground{leads: func(e *tree.Element) bool { return isNumber(e.Name) }}}
	for _, text := range []string{"PID-5[first].1.1", "PID-5[7=L].2", "PID-13[3=PH].7", "PID-13[first].1"} {
		e, _ := parsePath(text)
		p, err := root.bind(e)
		if err != nil {
			t.Fatal(err)
		}
		if f := p.one([]*tree.Node{msg.Root}); f.state != tree.Null {
			t.Errorf("%s is %v, want null", text, f)
		}
	}
}

func TestAWrongPathIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	root := &scope{typ: fakeTypes["ADT_A39"], ground: &ground{leads: func(e *tree.Element) bool { return isNumber(e.Name) }}}
	for _, c := range []struct{ path, want string }{
		{"", "a name is missing"},
		{"PID-", "a name is missing"},
		{"PID-3[0].1", "[0]: repetitions count from 1: write [1] or [first]"},
		{"PID-3[1001]", "repetitions go up to 1000"},
		{"PID-3[5=MR", "] is missing"},
		{"PID-3[5=]", "a value is missing"},
		{"PID-3[5]x", "expected . or - or [ after"},
		{"PID-3[5", "] is missing"},
		{"PID-3[some]", "a selector is a number, first, last, * or a comparison"},
		{"PID 3", "expected . or - or ["},
		{"PID-é", "put the name in `backquotes`"},
		{"`PID", "the backquote is not closed"},
		{strings.Repeat("A.", 40) + "A", "at most 32 steps"},
		{"A[B[C[D[E[F=1]=1]=1]=1]=1]", "nested too deep"},
		{"PID-3", "PID stands in PATIENT: write PATIENT[first].PID, or use each: PATIENT[*]"},
		{"PATIENT[first].PID-61", "PID has parts 1..39, no PID-61"},
		{"PATIENT[first].PDI-3", `PATIENT has no PDI (did you mean "PID"?)`},
		{"PATIENT[first].PID-8.2", "ID is a simple value: it has no part 2"},
		{"PATIENT[first].PID-3[5[*]=MR]", "a predicate compares one value"},
	} {
		e, err := parsePath(c.path)
		if err == nil {
			_, err = root.bind(e)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.path, err, c.want)
		}
	}
}

func TestInsideEachTheSchemaDecidesWhereAPathBegins(t *testing.T) {
	t.Parallel()
	// The second patient has no PID-3: the first one's must not stand in.
	msg, _ := fakeFormat{}.Decode([]byte("MSH|^~\\&|A|NORTH||||||ADT^A40\nPID|1||11\nMRG|12\nPID|2\nMRG|22"), nil)
	root := &scope{typ: fakeTypes["ADT_A39"], ground: &ground{leads: func(e *tree.Element) bool { return isNumber(e.Name) }}}
	e, _ := parsePath("PATIENT[*]")
	list, err := root.bind(e)
	if err != nil {
		t.Fatal(err)
	}
	in := root.inner(list, "PATIENT")
	items, _ := list.nodes(msg.Root)
	if len(items) != 2 {
		t.Fatalf("%d patients", len(items))
	}
	for _, c := range []struct{ path, want string }{
		{"PID-3[first].1", ""},
		{"PATIENT.PID-1", "2"},
		{"MRG-1[first].1", "22"},
		{"MSH-4.1", "NORTH"},              // the innermost scope that has it is the message
		{"/PATIENT[first].PID-3.1", "11"}, // from the message's root
	} {
		e, _ := parsePath(c.path)
		p, err := in.bind(e)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if got := p.one([]*tree.Node{msg.Root, items[1]}).text; got != c.want {
			t.Errorf("%s is %q, want %q", c.path, got, c.want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"PID-3[5=MR].1", "/PATIENT[*].PID-5[7=L|N][2].1.1", "`a b`[`c`!=`d`]", "PID-3[0]", "[[[", "PID-3[5=", "OBX[3.1=718-7]-5"} {
		f.Add(s)
	}
	root := &scope{typ: fakeTypes["ADT_A01"], ground: &ground{leads: func(e *tree.Element) bool { return isNumber(e.Name) }}}
	msg, err := fakeFormat{}.Decode([]byte("MSH|^~\\&|A\nPID|1||11^^^A^MR~22^^^B^SS||\"\"~A^B|||F^x\nNK1|1|Doe\nNK1|2"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parsePath(s)
		if err != nil {
			return
		}
		p, err := root.bind(e)
		if err != nil {
			return
		}
		if p.list {
			p.nodes(msg.Root)
			return
		}
		p.one([]*tree.Node{msg.Root})
	})
}
