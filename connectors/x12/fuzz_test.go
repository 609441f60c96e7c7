package x12

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

func addSeeds(f *testing.F) {
	f.Add(interchange("005010X222A1", subscriber+"LX*1~SV1*HC:1*9~SE*9*1~"))
	f.Add(interchange("004010", "ST*856*1~BSN*00~HL*1**S~HL*2*1*O~HL*3*2*I~SE*1*1~"))
	f.Add(interchange("005010X221A1", "ST*275*1~BIN*3*a~b~SE*1*1~"))
	f.Add([]byte(isa + "…\nTA1*1~"))
	for _, body := range corpus(f) {
		if len(body) < 16<<10 {
			f.Add(body)
		}
	}
}

// FuzzDecode: nothing panics, all text is UTF-8, and a selection leaves out
// elements only.
func FuzzDecode(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		parts, err := split(body)
		if err != nil {
			parts = [][]byte{body}
		}
		only := tree.Selection{"NM1": {"03": true}}
		for _, part := range parts[:min(len(parts), 3)] {
			for _, version := range []string{"004010", "005010X222A1", "005010X221A1"} {
				d := dialectOf(t, version)
				m, err := d.Decode(part, nil)
				some, err2 := d.Decode(part, only)
				if (err == nil) != (err2 == nil) {
					t.Fatalf("with a selection: %v, without: %v", err2, err)
				}
				if err != nil {
					continue
				}
				check(t, m.Root, some.Root, 0)
			}
		}
	})
}

func check(t *testing.T, all, some *tree.Node, depth int) {
	if !utf8.ValidString(all.Text) || depth > maxDepth+4 {
		t.Fatalf("%s at depth %d", all.Name, depth)
	}
	if isNumber(all.Name) && len(all.Name) == 2 {
		return
	}
	var segments, kept []*tree.Node
	for _, k := range all.Kids {
		if !isNumber(k.Name) || len(k.Name) != 2 {
			segments = append(segments, k)
		}
	}
	for _, k := range some.Kids {
		if !isNumber(k.Name) || len(k.Name) != 2 {
			kept = append(kept, k)
		}
	}
	if len(segments) != len(kept) {
		t.Fatalf("%s has %d kids, and %d with a selection", all.Name, len(segments), len(kept))
	}
	for i := range segments {
		check(t, segments[i], kept[i], depth+1)
	}
}

// FuzzEncode: what was written reads back as the same segments.
func FuzzEncode(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		d := dialectOf(t, "005010X222A1")
		m, err := d.Decode(body, nil)
		if err != nil || m.Type == "TA1" {
			return
		}
		first, err := d.Encode(m)
		if err != nil {
			return
		}
		again, err := d.Decode(append([]byte(isa+"~"), first...), nil)
		if err != nil {
			t.Fatalf("what was written does not read: %v\n%q", err, first)
		}
		second, err := d.Encode(again)
		if err != nil || !bytes.Equal(first, second) && !strings.Contains(outline(m.Root), "{") {
			t.Fatalf("written\n%q and then\n%q, %v", first, second, err)
		}
	})
}
