package hl7

import (
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// TestDictionaryIsWhole guards against a line lost in an edit.
func TestDictionaryIsWhole(t *testing.T) {
	t.Parallel()
	for i, want := range []struct{ segments, fields, structures int }{
		{110, 1468, 130},
		{110, 1485, 122},
		{138, 1811, 175},
		{150, 2095, 199},
		{150, 2103, 197},
		{170, 2466, 215},
		{174, 2557, 189},
		{174, 2558, 189},
		{180, 2692, 199},
	} {
		d := dictionaries[i]()
		fields := 0
		for _, e := range d.segments {
			fields += len(e.Type.Elements)
		}
		if len(d.segments) != want.segments || fields != want.fields || len(d.structures().names) != want.structures {
			t.Errorf("%s: {%d, %d, %d}", versions[i], len(d.segments), fields, len(d.structures().names))
		}
	}
	d := in(t, "2.5.1")
	for name, n := range map[string]int{"MSH": 21, "PID": 39, "PD1": 21, "NK1": 39, "PV1": 52, "PV2": 49, "ORC": 31, "OBR": 50, "OBX": 25, "IN1": 53, "IN2": 72, "GT1": 57, "FT1": 31, "TXA": 23, "SCH": 27, "STF": 38, "SPM": 29, "RXA": 26} {
		if got := len(d.segments[name].Type.Elements); got != n {
			t.Errorf("%s has %d fields, want %d", name, got, n)
		}
	}
}

func TestEachVersionHasWhatItsStandardHas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version, path, typ string
		table              string
		repeats, required  bool
		max                int
	}{
		{"2.3", "PID-3", "CX", "", true, true, 0},
		{"2.3", "PID-5-1", "ST", "", false, false, 0},
		{"2.5.1", "PID-5-1", "FN", "", false, false, 0},
		{"2.5.1", "PID-7", "TS", "", false, false, 0},
		{"2.6", "PID-7", "DTM", "", false, false, 24},
		{"2.5.1", "PID-8", "IS", "HL70001", false, false, 1},
		{"2.7", "PID-8", "CWE", "HL70001", false, false, 0},
		{"2.5.1", "PID-10", "CE", "HL70005", true, false, 0},
		{"2.6", "PID-10", "CWE", "HL70005", true, false, 0},
		{"2.3", "PID-2", "CX", "", false, false, 0},
		{"2.8", "PID-2", "CX", "", false, false, 0},
		{"2.8", "PID-40", "XTN", "", true, false, 0},
		{"2.5.1", "MSH-10", "ST", "", false, true, 20},
		{"2.6", "MSH-10", "ST", "", false, true, 199},
		{"2.7", "MSH-10", "ST", "", false, true, 0},
		{"2.3", "MSH-9", "MSG", "", false, true, 0},
		{"2.3", "ORDER-ORC-1", "ID", "HL70119", false, true, 2},
		{"2.5.1", "PID-3-1", "ST", "", false, true, 15},
		{"2.4", "PID-3-1", "ST", "", false, false, 0},
		{"2.7", "PID-3-1", "ST", "", false, true, 0},
		{"2.5.1", "ORDER-OBR-15", "SPS", "", false, false, 0},
		{"2.8", "ORDER-OBR-15", "SPS", "", false, false, 0},
		{"2.5", "ORDER-RXR-2", "CWE", "HL70163", false, false, 0},
		{"2.6", "ORDER-RXR-2", "CWE", "HL70550", false, false, 0},
		{"2.5.1", "PID-1", "SI", "", false, false, 4},
	} {
		e := find(t, tt.version, "", tt.path)
		if e == nil {
			t.Errorf("%s %s is not there", tt.version, tt.path)
			continue
		}
		if e.Type.Name != tt.typ || e.Table != tt.table || e.Repeats != tt.repeats || e.Required != tt.required || e.Max != tt.max {
			t.Errorf("%s %s: %s, table %q, repeats %v, required %v, max %d", tt.version, tt.path, e.Type.Name, e.Table, e.Repeats, e.Required, e.Max)
		}
	}
}

func TestWhatAVersionLacksIsNotThereAndIsKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ version, typ, element, want string }{
		{"2.3", "PID", "40", "since 2.7"},
		{"2.5.1", "PID", "40", "since 2.7"},
		{"2.8", "PID", "40", ""},
		{"2.8", "PID", "99", ""},
		{"2.5.1", "CX", "11", "since 2.7"},
		{"2.3", "CX", "9", "since 2.5"},
		{"2.3", "", "PRT", "since 2.7"},
		{"2.5.1", "ADT_A01", "ARV", "since 2.6"},
		{"2.3", "", "ZZZ", ""},
		{"2.3", "CWE", "1", "since 2.3.1"},
		{"2.6", "TQ", "1", ""},
		{"2.7", "TQ", "1", "until 2.6"},
		{"2.6", "", "CX", ""},
	} {
		d := in(t, tt.version)
		if got := d.Versions(tt.typ, tt.element); got != tt.want {
			t.Errorf("%s of %s in %s: %q, want %q", tt.element, tt.typ, tt.version, got, tt.want)
		}
		if tt.want != "" && find(t, tt.version, "", strings.Trim(tt.typ+"-"+tt.element, "-")) != nil {
			t.Errorf("%s of %s is in %s", tt.element, tt.typ, tt.version)
		}
	}
}

// TestStructuresHoldWhatTheDictionaryHas: what a structure names is a segment
// of that version, and no group stands twice in another.
func TestStructuresHoldWhatTheDictionaryHas(t *testing.T) {
	t.Parallel()
	for i, v := range versions {
		d := dictionaries[i]()
		var check func(structure, p *part)
		check = func(structure, p *part) {
			names := make(map[string]bool)
			for _, k := range p.kids {
				switch {
				case k.isGroup() && (names[k.name] || p == structure && d.segments[k.name] != nil):
					t.Errorf("%s %s: group %s has the name of something else", v, structure.name, k.name)
				case k.isGroup():
					check(structure, k)
				case d.segments[k.name] == nil:
					t.Errorf("%s %s: %s is no segment", v, structure.name, k.name)
				}
				names[k.name] = true
			}
		}
		for _, structure := range d.structures().byName {
			check(structure(), structure())
		}
		for e, name := range d.structures().events {
			if d.structures().byName[name] == nil {
				t.Errorf("%s %v has the structure %s, which is not there", v, e, name)
			}
		}
	}
}

// TestWhatNamesAPersonIsLabelled: a field whose type names or locates people
// says so, whatever its segment says.
func TestWhatNamesAPersonIsLabelled(t *testing.T) {
	t.Parallel()
	person := tree.Name | tree.Staff
	where := tree.Contact | tree.Staff | tree.Admin | tree.Financial | tree.Order // of people, or of organizations
	needs := map[string]tree.Labels{"XPN": person, "XCN": person, "PPN": person, "CNN": person, "CN": person, "PN": person, "NDL": person, "XAD": where, "AD": where, "XTN": where, "DLN": tree.NationalID}
	organizations := []string{ // addresses and numbers of these are nobody's home
		"ORC-22", "ORC-23", "IN1-5", "IN1-7", "IN3-19", "AFF-3", "EDU-8", "FAC-3", "FAC-4", "LDP-11", "LOC-5", "LOC-6", "OM1-17", "OM1-28", "OM1-29", "OBX-24", "BPO-9", "PRD-11", "PRD-13",
	}
	for i, v := range versions {
		for _, s := range dictionaries[i]().segments {
			for _, f := range s.Type.Elements {
				place := s.Name + "-" + f.Name
				if f.Labels == tree.None {
					t.Errorf("%s %s has no label", v, place)
				}
				need, ok := needs[f.Type.Name]
				if ok && f.Labels&need == 0 || need == where && f.Labels&(tree.Contact|tree.Staff) == 0 && !slices.Contains(organizations, place) {
					t.Errorf("%s %s %s (%s) has the labels %s", v, place, f.Title, f.Type.Name, f.Labels)
				}
			}
		}
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	d := in(t, "2.5.1")
	for table, want := range map[string]struct {
		code   tree.TableValue
		closed bool
	}{
		"HL70001": {tree.TableValue{Value: "F", Title: "Female"}, false},
		"HL70003": {tree.TableValue{Value: "A08", Title: "Update patient information"}, true},
		"HL70076": {tree.TableValue{Value: "ORU"}, true},
		"HL70119": {tree.TableValue{Value: "NW", Title: "New order/service"}, true},
		"HL70354": {tree.TableValue{Value: "ADT_A01"}, true},
		"0155":    {tree.TableValue{Value: "AL", Title: "Always"}, true},
	} {
		codes, closed := d.Codes(table)
		if !slices.Contains(codes, want.code) || closed != want.closed {
			t.Errorf("%s: closed %v, %d codes: %v", table, closed, len(codes), codes[:min(len(codes), 12)])
		}
	}
	if codes, _ := d.Codes("HL70000"); codes != nil {
		t.Error("a table that is not there has values")
	}
	for number, table := range codeTables() {
		codes, _ := d.Codes(number)
		seen := make(map[string]bool)
		for _, c := range codes {
			if c.Value == "" || seen[c.Value] {
				t.Errorf("table %s has %q twice", number, c.Value)
			}
			seen[c.Value] = true
		}
		if len(codes) == 0 || len(number) != 4 || strings.Contains(table.body, "\n\n") {
			t.Errorf("table %s is empty or broken", number)
		}
	}
	values := make(map[string]map[string]bool)
	for _, table := range []string{"0003", "0076", "0354"} {
		values[table] = make(map[string]bool)
		codes, _ := d.Codes(table)
		for _, c := range codes {
			values[table][c.Value] = true
		}
	}
	for i := range versions {
		for e, name := range dictionaries[i]().structures().events {
			for table, value := range map[string]string{"0076": e.code, "0003": e.trigger, "0354": name} {
				if !values[table][value] && value != "" {
					t.Errorf("table %s lacks %s", table, value)
				}
			}
		}
	}
}

func TestDictionaryErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown label of a segment":    "segment ABC private Name",
		"unknown label of a field":      "segment ABC admin Name\nST =private Name",
		"a field of nothing":            "ST Name",
		"second segment":                "segment ABC admin Name\nST Name\nsegment ABC admin Name",
		"unknown version of a field":    "segment ABC admin Name\n2.9 ST Name",
		"unknown version of a change":   "segment ABC admin Name\nST Name ; 2.9 -",
		"unknown version of a type":     "type AA since 2.9",
		"a bound that is not a number":  "segment ABC admin Name\nST:x Name",
		"a type that ends before it is": "type AA until",
	} {
		_, err := readDictionary(text, v25)
		if name == "a type that ends before it is" {
			if err == nil {
				t.Errorf("%s is read", name)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readDictionary("type AA\nBB Part", v25); err == nil {
		t.Error("a type that is not defined")
	}
	for name, text := range map[string]string{
		"a range":          "ABC_A01@2.9\n  MSH",
		"of an event":      "ABC_A01 = A01@2.9\n  MSH",
		"events without =": "ABC_A01 A01\n  MSH",
	} {
		if _, err := indexStructures(text, v25); err == nil || !strings.HasPrefix(err.Error(), "line 1: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, body := range []string{"MSH G(PID", "MSH )", "MSH PID@2.9", "MSH G(PID)@x"} {
		if _, err := readStructure("ABC_A01", body, v25); err == nil {
			t.Errorf("%s is a structure", body)
		}
	}
}

func TestDeclaredSegments(t *testing.T) {
	t.Parallel()
	zpi := tree.Column{Name: "ZPI", Title: "Pets", Labels: tree.Demographic, Parts: []tree.Column{{Type: "SI", Labels: tree.Admin}, {Title: "Owner", Type: "XPN", Labels: tree.Name, Repeats: true}, {Type: "TS"}}}
	d, err := Format{}.Dialect(tree.Declaration{Version: "2.5.1", Segments: []tree.Column{zpi}})
	if err != nil {
		t.Fatal(err)
	}
	for _, structure := range []string{"ADT_A01", "ORM^O01", "", "XYZ^Q99"} {
		root, err := d.Schema(structure)
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range []*tree.Type{root, root.Element("ORDER").Type} {
			e := of.Element("ZPI")
			if e == nil || e.Repeats || e.Title != "Pets" || len(e.Type.Elements) != 3 {
				t.Fatalf("%s: ZPI is %+v", structure, e)
			}
			owner, date := e.Type.Element("2"), e.Type.Element("3")
			if owner.Type.Element("1").Type.Name != "FN" || !owner.Repeats || owner.Labels != tree.Name || owner.Title != "Owner" || date.Labels != tree.Demographic {
				t.Errorf("%s: ZPI-2 is %+v", structure, owner)
			}
		}
	}
	if find(t, "2.5.1", "ADT_A01", "ZPI") != nil {
		t.Error("what one mapping declares is in the schema of another")
	}
	for _, tt := range []struct {
		name, segment, typ, want string
	}{
		{"a segment of the standard", "PID", "ST", "PID is a segment of HL7 2.5.1 (Patient Identification)"},
		{"a name in small letters", "zpi", "ST", `not "zpi"`},
		{"a name that is too long", "ZPIX", "ST", `not "ZPIX"`},
		{"a type of another case", "ZPI", "cx", `ZPI-1 has the type "cx", which is no data type of HL7 2.5.1 (did you mean "CX"?)`},
		{"a type of a later version", "ZPI", "DTMX", `(did you mean "DTM"?)`},
		{"a type that is written wrong", "ZPI", "XPM", `(did you mean "XPN"?)`},
		{"a word for a type", "ZPI", "date", `(did you mean "DT"?)`},
		{"no type", "ZPI", "", `ZPI-1 has the type ""`},
		{"a type that is nothing", "ZPI", "Hokuspokus", "no data type of HL7 2.5.1"},
	} {
		_, err := Format{}.Dialect(tree.Declaration{Version: "2.5.1", Segments: []tree.Column{{Name: tt.segment, Parts: []tree.Column{{Type: tt.typ}}}}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for name, decl := range map[string]tree.Declaration{
		"a type that 2.7 has not":        {Version: "2.7", Segments: []tree.Column{{Name: "ZPI", Parts: []tree.Column{{Type: "CE"}}}}},
		"a segment twice":                {Version: "2.7", Segments: []tree.Column{{Name: "ZPI", Parts: []tree.Column{{Type: "ST"}}}, {Name: "ZPI", Parts: []tree.Column{{Type: "ST"}}}}},
		"a segment without fields":       {Version: "2.7", Segments: []tree.Column{{Name: "ZPI"}}},
		"parts of a field":               {Version: "2.7", Segments: []tree.Column{{Name: "ZPI", Parts: []tree.Column{{Type: "CX", Parts: []tree.Column{{Type: "ST"}}}}}}},
		"a notation":                     {Version: "2.7", Segments: []tree.Column{{Name: "ZPI", Parts: []tree.Column{{Type: "DT", Layout: "MM/DD/YYYY"}}}}},
		"columns":                        {Version: "2.7", Columns: []tree.Column{{Name: "a", Type: "text"}}},
		"a version that there is not":    {Version: "3.0"},
		"a segment of a later version's": {Version: "2.8", Segments: []tree.Column{{Name: "PRT", Parts: []tree.Column{{Type: "ST"}}}}},
	} {
		if _, err := (Format{}).Dialect(decl); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := (Format{}).Dialect(tree.Declaration{Version: "2.5.1", Segments: []tree.Column{{Name: "PRT", Parts: []tree.Column{{Type: "ST"}}}}}); err != nil {
		t.Errorf("a segment of a later version is not taken: %v", err)
	}
}

func TestAVersionWithoutADictionaryIsReadAsTheNearestOne(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]string{"2.1": "2.3", "2.2": "2.3", "2.8.1": "2.8", "2.8.2": "2.8", "2.9": "2.8", "2.9.1": "2.8"} {
		d, err := Format{}.Dialect(tree.Declaration{Version: name})
		if err != nil {
			t.Fatal(err)
		}
		want, err := Format{}.Dialect(tree.Declaration{Version: as})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := d.Schema("ADT_A01")
		of, _ := want.Schema("ADT_A01")
		if got != of || !strings.Contains(d.(tree.Remarker).Remark(), name+" is read as "+as) || want.(tree.Remarker).Remark() != "" {
			t.Errorf("%s: %q", name, d.(tree.Remarker).Remark())
		}
		body := "MSH|^~\\&|A|NORTH|||20260314||ADT^A08|M1|P|" + name + "\rPID|1||7\r"
		if msg, err := d.Decode([]byte(body), nil); err != nil || msg.Root.First("PID") == nil {
			t.Errorf("%s: a message: %v", name, err)
		}
	}
}
