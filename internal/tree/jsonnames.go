package tree

import "strings"

// jsonNames are the names of one object so far. Few are compared one by one;
// more than fewNames go into a map.
type jsonNames struct {
	r    *jsonReader
	mark int // where those of this object begin in r.names
	many map[string]bool
}

const fewNames = 24

// has adds a name and says whether it was there.
func (n *jsonNames) has(name string) bool {
	fold := n.r.limits.FoldNames
	if n.many == nil {
		for _, other := range n.r.names[n.mark:] {
			if other == name || fold && equalFold(other, name) {
				return true
			}
		}
		n.r.names = append(n.r.names, name)
		if len(n.r.names)-n.mark < fewNames {
			return false
		}
		n.many = make(map[string]bool, 2*fewNames)
		for _, other := range n.r.names[n.mark:] {
			n.many[folded(other, fold)] = true
		}
		return false
	}
	name = folded(name, fold)
	if n.many[name] {
		return true
	}
	n.many[name] = true
	return false
}

func (n *jsonNames) close() { n.r.names = n.r.names[:n.mark] }

// equalFold compares names whatever their case in ASCII.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if x, y := a[i], b[i]; x != y && lower(x) != lower(y) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// folded is equalFold's form of a name: two that are equal have the same.
func folded(name string, fold bool) string {
	if !fold {
		return name
	}
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, name)
}
