package tree

// A Selection names the elements that will be read, by the names of the types
// that they stand in: {"PID": {"3": true}}. A format may leave the others out
// of the tree. nil selects everything.
type Selection map[string]map[string]bool

// Add selects an element of a type.
func (s Selection) Add(typ, element string) {
	if s[typ] == nil {
		s[typ] = map[string]bool{}
	}
	s[typ][element] = true
}

// AddAll selects what another selection does, which is not nil.
func (s Selection) AddAll(other Selection) {
	for typ, elements := range other {
		for element := range elements {
			s.Add(typ, element)
		}
	}
}
