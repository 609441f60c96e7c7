package x12

import (
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "x12"

var (
	_ tree.Format   = Format{}
	_ tree.Splitter = (*dialect)(nil)
	_ tree.Encoder  = (*dialect)(nil)
)

// A Format is X12 for mappings. Safe for concurrent use.
//
// A message is one transaction set with the ISA and GS that hold for it; Split
// cuts an interchange into such. The root's kids are ISA, GS, ST, the segments
// that stand in no loop, and loops by the names of the implementation guide
// ("2000", "2100"; "PO1_LOOP" of sets without a guide; "HL_S" of an 856, each
// in the level that its HL-02 names); a loop's kids are its segments and loops; a segment's kids are
// elements by two digits ("01"; repetitions are siblings), a composite's kids
// components by number ("1"). Empty elements have no node. Where the dictionary
// has no composite, what looks like a component separator is text.
//
// Text is as sent, without trailing spaces, which X12 does not count: of an
// N2 the implied decimals are not written in ("1250" is 12.50, `as: n2`). Binary data
// (type B) is base64. Pos is the segment's number and the byte offset.
//
// A segment stands where the guide has one of this id and qualifier: in the
// innermost open loop that goes on or begins with it from there on. One out of order is
// taken where it belongs, as long as that is in a loop that is open; one whose
// qualifier the guide does not have stands beside its like; one that the guide does
// not have stays in the innermost loop, where no path reads it. What would
// begin a loop, but none that may stand there, is an error: the segments after it
// would be taken for another's.
type Format struct{}

// NewFormat returns the format; Format{} is the same.
func NewFormat() Format { return Format{} }

// Name returns "x12".
func (Format) Name() string { return formatName }

// A dialect is the format in one version.
type dialect struct {
	version string
	guides  map[string][]*guide // by set
}

// Dialect returns the format in one version: that of a guide
// ("005010X221A1"; the addenda do not matter), or a release ("004010") with all its sets.
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	g, err := guidesOf(d.Version)
	if err != nil {
		return nil, err
	}
	return &dialect{d.Version, g}, nil
}

// Schema returns the root type of a transaction set ("835"), or of the set
// that the version is the guide of. Of "TA1", an interchange acknowledgment, every version has one.
func (d *dialect) Schema(set string) (*tree.Type, error) {
	sets := strings.Join(slices.Sorted(maps.Keys(d.guides)), ", ")
	switch {
	case set == acknowledgment.set:
		return acknowledgment.schema(), nil
	case set == "" && len(d.guides) == 1:
		for only := range d.guides {
			set = only
		}
	case set == "":
		return nil, versionError("version %s has the sets %s: say which, when: { ST-01: … }", d.version, sets)
	}
	switch all := d.guides[set]; len(all) {
	case 0:
		return nil, versionError("version %s has the sets %s, no %s", d.version, sets, set)
	case 1:
		return all[0].schema(), nil
	default:
		var versions []string
		for _, g := range all {
			versions = append(versions, g.version)
		}
		return nil, versionError("version %s has several guides of %s: use one of %s", d.version, set, strings.Join(versions, ", "))
	}
}

// Structures returns what ST-01 may be.
func (d *dialect) Structures(when map[string][]string) []string {
	for path, values := range when {
		switch path {
		case "ST.01", "ST.1":
			return values
		case "TA1.01", "TA1.1", "TA1.04", "TA1.4":
			return []string{acknowledgment.set}
		}
	}
	return []string{""}
}

// Split cuts interchanges into transaction sets and TA1s.
func (d *dialect) Split(body []byte) ([][]byte, error) { return split(body) }

// guideOf returns the guide that a message is decoded by: that of ST-03 or
// GS-08, or the dialect's where they name only a release, or nothing. nil is
// none; known is false for a message of another guide than the dialect's that
// guides.txt does not have: its loops are not those that the mapping reads.
func (d *dialect) guideOf(set string, conventions ...string) (g *guide, known bool) {
	of := d.guides[set]
	if len(of) == 0 {
		return nil, true
	}
	for _, name := range conventions {
		if len(name) < 7 || name[6] != 'X' || !isNumber(name[:6]) {
			continue
		}
		for _, g := range guides() {
			if g.set == set && baseVersion(g.version) == baseVersion(name) {
				return g, true
			}
		}
		if len(of[0].version) > 6 {
			return nil, false
		}
	}
	if len(of) == 1 {
		return of[0], true
	}
	return nil, true
}
