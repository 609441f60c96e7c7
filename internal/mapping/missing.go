package mapping

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// noElement says what a type has instead, and where the name is to be had.
func noElement(from *scope, typ *tree.Type, name string) string {
	if typ == nil || len(typ.Elements) == 0 {
		return fmt.Sprintf("%s is a simple value: it has no part %s", typeName(typ), name)
	}
	if from.standard != nil {
		if versions := from.standard.Versions(typ.Name, name); versions != "" {
			return fmt.Sprintf("%s has no %s in the version that source.version names: it is there %s", typeName(typ), name, versions)
		}
	}
	names := elementNames(typ)
	if _, err := strconv.Atoi(name); err == nil && isSegment(typ) {
		if last, err := strconv.Atoi(names[len(names)-1]); err == nil {
			return fmt.Sprintf("%s has parts 1..%d, no %s-%s", typeName(typ), last, typeName(typ), name)
		}
	}
	for s := from; s != nil; s = s.outer {
		if s.typ != typ {
			names = append(names, elementNames(s.typ)...)
		}
	}
	if from.unordered && from.outer == nil && typ == from.typ {
		if near := didYouMean(name, names); near != "" {
			return "there is no resource " + name + near
		}
		return "a path begins with a resource, as in Patient." + name
	}
	if there := elsewhere(typ, name); there != "" {
		return there
	}
	return fmt.Sprintf("%s has no %s%s", typeName(typ), name, cmp.Or(didYouMean(name, names), nearBelow(typ, name)))
}

// elsewhere says where a name is to be had in a type that has no element of
// that name: with the type behind it (FHIR's deceasedBoolean), or deeper.
func elsewhere(typ *tree.Type, name string) string {
	var kinds []string
	for _, n := range elementNames(typ) {
		if rest, ok := strings.CutPrefix(n, name); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' && strings.ToLower(name[:1]) == name[:1] {
			kinds = append(kinds, n)
		}
	}
	if len(kinds) > 0 && len(kinds) <= 12 {
		return fmt.Sprintf("%s is written with its type: there is %s", name, strings.Join(kinds, ", "))
	}
	ways := waysTo(typ, name)
	if len(ways) == 0 {
		return ""
	}
	each := ""
	if last := strings.LastIndex(ways[0], "[first]"); last > 0 {
		each = ", or use each: " + strings.ReplaceAll(ways[0][:last], "[first]", "[*]") + "[*]"
	}
	in := make([]string, len(ways))
	for i, w := range ways {
		in[i] = strings.ReplaceAll(w[:strings.LastIndexByte(w, '.')], "[first]", "")
	}
	return fmt.Sprintf("%s stands in %s: write %s%s", name, strings.Join(in, " and in "), strings.Join(ways, " or "), each)
}

// nearBelow proposes the way to what is written alike and stands deeper.
func nearBelow(typ *tree.Type, name string) string {
	if isPart(name) {
		return ""
	}
	ways := map[string]string{}
	for n, way := range nested(typ) {
		if ways[n] == "" {
			ways[n] = way
		}
	}
	if near := nearest(name, slices.Sorted(maps.Keys(ways))); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", ways[near])
	}
	return ""
}

// Bounds of the search for a name in what stands below a type.
const (
	maxWays  = 3    // that a message names
	maxBelow = 2000 // elements looked at
)

// waysTo returns the paths from a type to elements of a name that stand deeper
// in it, the shortest first. The numbers of a segment's fields say nothing.
func waysTo(typ *tree.Type, name string) (ways []string) {
	if isPart(name) {
		return nil
	}
	for n, way := range nested(typ) {
		if n == name {
			if ways = append(ways, way); len(ways) == maxWays {
				break
			}
		}
	}
	return ways
}

// nested yields the elements below those of a type with the paths to them, level by
// level; a type once, where it first stands.
func nested(typ *tree.Type) iter.Seq2[string, string] {
	return func(yield func(name, way string) bool) {
		type place struct {
			typ *tree.Type
			way string
		}
		level, seen, left := []place{{typ, ""}}, map[*tree.Type]bool{typ: true}, maxBelow
		for len(level) > 0 {
			var next []place
			for _, p := range level {
				for _, e := range p.typ.Elements {
					if left--; left < 0 {
						return
					}
					way := p.way + quoteStep(e.Name)
					if p.way != "" && !isPart(e.Name) && !yield(e.Name, way) {
						return
					}
					if e.Repeats {
						way += "[first]"
					}
					if t := e.Type; t != nil && len(t.Elements) > 0 && !seen[t] && !strings.HasPrefix(e.Name, "_") {
						seen[t] = true
						next = append(next, place{t, way + "."})
					}
				}
			}
			level = next
		}
	}
}

// isPart tells the number of a field from that of a loop: 01 from 2300.
func isPart(name string) bool { return isNumber(name) && len(name) < 4 }
