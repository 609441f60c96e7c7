// Package tree is what every format decodes to: named nodes that are absent,
// null or a value, and the schema that says which names a format has, what
// their types are and which of them identify a patient. It knows no format
// and does no I/O. Trees and schemas are read-only once built and safe for
// concurrent use.
package tree

// State tells an element that was not sent from one that was sent empty on
// purpose. HL7 v2 chapter 2.5.3 makes the difference: "" deletes, nothing
// keeps.
type State uint8

const (
	Absent State = iota
	Null
	Value
)

// A Node is one element of a message. Repetitions are siblings of one name, in
// document order. A leaf has Text; a composite has Kids. A composite whose
// format lets it stand for its first leaf (HL7 component 1 of a field) is
// reached through that leaf.
type Node struct {
	Name  string // one step of a path: "PID", "5", "1", "ORDER", "family"
	State State
	Text  string // of a leaf that is a Value: decoded (escapes resolved, UTF-8)
	Kids  []*Node
	Pos   Pos
}

// A Pos is where a node stood in the bytes received, for people: segment or
// line from 1, and the byte offset from 0.
type Pos struct{ Line, Offset int }

// A Message is a decoded message.
type Message struct {
	Format string // "hl7v2"
	Type   string // "ADT^A08^ADT_A01"
	Root   *Node

	free func()
}

// OnFree says what is to be done once nobody looks at the message's nodes any more.
func (m *Message) OnFree(free func()) { m.free = free }

// Free lets the format use the memory of the nodes again: whoever calls it has
// kept none. Texts of nodes stay what they are. A message need not be freed.
func (m *Message) Free() {
	if free := m.free; free != nil {
		m.Root, m.free = nil, nil
		free()
	}
}

// First returns the first kid of this name, or nil.
func (n *Node) First(name string) *Node {
	if n == nil {
		return nil
	}
	for _, k := range n.Kids {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// All calls yield for each kid of this name, in document order.
func (n *Node) All(name string) func(yield func(*Node) bool) {
	return func(yield func(*Node) bool) {
		if n == nil {
			return
		}
		for _, k := range n.Kids {
			if k.Name == name && !yield(k) {
				return
			}
		}
	}
}
