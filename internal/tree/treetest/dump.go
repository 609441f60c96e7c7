// Package treetest prints trees for the tests of formats.
package treetest

import (
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// Dump writes a tree as one line a leaf, in document order: "name[2].given=Ann",
// "id null".
func Dump(n *tree.Node) string {
	var out []string
	var walk func(n *tree.Node, path string)
	walk = func(n *tree.Node, path string) {
		count := map[string]int{}
		for _, k := range n.Kids {
			count[k.Name]++
			p := strings.TrimPrefix(path+"."+k.Name, ".")
			if count[k.Name] > 1 {
				p += fmt.Sprintf("[%d]", count[k.Name])
			}
			switch {
			case len(k.Kids) > 0:
				walk(k, p)
			case k.State == tree.Null:
				out = append(out, p+" null")
			default:
				out = append(out, p+"="+k.Text)
			}
		}
	}
	walk(n, "")
	return strings.Join(out, "\n")
}
