package broker

// A Bound is how full something is that what peers do fills up: a queue, a cache,
// connections.
type Bound struct {
	Name  string // what fills up, in a few words that are the same wherever it is found; never of a peer
	Used  int64
	Limit int64
}

// Bounded is implemented by what has bounds. Bounds costs next to nothing, walks over
// nothing, and is safe for concurrent use.
type Bounded interface {
	Bounds() []Bound
}

// BoundsOf returns what each of parts says that has bounds.
func BoundsOf(parts ...any) (all []Bound) {
	for _, p := range parts {
		if b, ok := p.(Bounded); ok {
			all = append(all, b.Bounds()...)
		}
	}
	return all
}
