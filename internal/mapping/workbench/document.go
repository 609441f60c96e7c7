package workbench

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/vagus-health/vagus/internal/mapping"
)

// A node is a YAML value with its line: what a tool changes and writes again.
// The language's own reader has checked the file before.
type node struct {
	line   int
	scalar string // as JSON, of what is neither a list nor a map
	list   []*node
	keys   []string // of a map, in the file's order
	values []*node
	isMap  bool
	isList bool
}

// readDocument reads a YAML file, within the bounds of the language.
func readDocument(fsys fs.FS, name string) (*node, error) {
	data, err := mapping.ReadBounded(fsys, name)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil || len(file.Docs) != 1 {
		return nil, fmt.Errorf("%s is not one YAML document", name)
	}
	return nodeOf(file.Docs[0].Body), nil
}

func nodeOf(n ast.Node) *node {
	out := &node{scalar: "null"}
	if n == nil {
		return out
	}
	out.line = n.GetToken().Position.Line
	switch n := n.(type) {
	case *ast.MappingNode:
		out.isMap = true
		for _, e := range n.Values {
			out.entry(e)
		}
	case *ast.MappingValueNode:
		out.isMap = true
		out.entry(n)
	case *ast.SequenceNode:
		out.isList = true
		for _, v := range n.Values {
			out.list = append(out.list, nodeOf(v))
		}
	case *ast.StringNode:
		out.scalar = quoted(n.Value)
	case *ast.LiteralNode:
		out.scalar = quoted(n.Value.Value)
	case *ast.NullNode:
	default: // numbers and booleans, as they are written
		out.scalar = n.GetToken().Value
	}
	return out
}

func (n *node) entry(e *ast.MappingValueNode) {
	key := e.Key.String()
	if s, ok := e.Key.(*ast.StringNode); ok {
		key = s.Value
	}
	v := nodeOf(e.Value)
	v.line = e.Key.GetToken().Position.Line
	n.keys = append(n.keys, key)
	n.values = append(n.values, v)
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n != nil {
		for i, k := range n.keys {
			if k == key {
				return n.values[i]
			}
		}
	}
	return nil
}

// text returns a scalar's text.
func (n *node) text() string {
	if n == nil {
		return ""
	}
	var s string
	if json.Unmarshal([]byte(n.scalar), &s) != nil {
		return n.scalar
	}
	return s
}

// yaml writes the value in block style; without leaves out one value.
func (n *node) yaml(without *node) []byte {
	var b strings.Builder
	n.write(&b, "", without)
	return []byte(b.String())
}

func (n *node) write(b *strings.Builder, indent string, without *node) {
	for i, k := range n.keys {
		if v := n.values[i]; v != without {
			b.WriteString(indent + quoted(k) + ":")
			v.below(b, indent, without)
		}
	}
	for _, v := range n.list {
		if v != without {
			b.WriteString(indent + "-")
			v.below(b, indent, without)
		}
	}
}

// below writes a value after its key or dash.
func (n *node) below(b *strings.Builder, indent string, without *node) {
	left := len(n.list) + len(n.keys)
	for _, v := range append(n.list[:len(n.list):len(n.list)], n.values...) {
		if v == without {
			left--
		}
	}
	switch {
	case n.isMap && left == 0:
		b.WriteString(" {}\n")
	case n.isList && left == 0:
		b.WriteString(" []\n")
	case n.isMap || n.isList:
		b.WriteString("\n")
		n.write(b, indent+"  ", without)
	default:
		b.WriteString(" " + n.scalar + "\n")
	}
}

// quoted writes a text as JSON, which is YAML.
func quoted(s string) string { return compact(s) }
