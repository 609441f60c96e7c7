package app

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker/reception"
)

var update = flag.Bool("update", false, "write deploy/LIMITS.md")

const limitsPage = "../../deploy/LIMITS.md"

// reported are the names that the code gives to its bounds.
func reported(t *testing.T) map[string]bool {
	names := map[string]bool{boundJournal: true, boundDisk: true, boundEvents: true, boundUnits: true, boundDown: true}
	for _, root := range []string{"../../broker", "../../connectors", "../../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(source, []byte("broker.Bound{")) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				kv, ok := n.(*ast.KeyValueExpr)
				if !ok {
					return true
				}
				if key, ok := kv.Key.(*ast.Ident); !ok || key.Name != "Name" {
					return true
				}
				switch v := kv.Value.(type) {
				case *ast.BasicLit:
					name, _ := strconv.Unquote(v.Value)
					names[name] = true
				case *ast.SelectorExpr:
					if v.Sel.Name == "Connections" {
						names[reception.Connections] = true
					}
				case *ast.Ident:
					if v.Name == "Connections" {
						names[reception.Connections] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestEveryBoundHasItsLineInTheTable(t *testing.T) {
	t.Parallel()
	code := reported(t)
	if len(code) < 30 {
		t.Fatalf("only %d bounds were found in the code", len(code))
	}
	for name := range code {
		if _, ok := boundKinds[name]; !ok {
			t.Errorf("the code reports %q, and boundKinds does not say what it is", name)
		}
	}
	for name, k := range boundKinds {
		if !code[name] {
			t.Errorf("nothing reports %q", name)
		}
		if k.unit == "" || k.where == "" || k.limit == "" || k.then == "" {
			t.Errorf("%q lacks a word", name)
		}
	}
}

func TestTheLimitsPageIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- bounds -->\n", "<!-- end of bounds -->"
	page, err := os.ReadFile(limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(page), begin)
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no %q and %q", limitsPage, begin, end)
	}
	want := head + begin + limitsTable() + end + tail
	if *update {
		if err := os.WriteFile(limitsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("%s is not that of the code: go test ./internal/app -run Limits -update", limitsPage)
	}
}

func limitsTable() string {
	var b strings.Builder
	for _, paces := range []bool{false, true} {
		b.WriteString(map[bool]string{false: "\nFor a person to look after:\n\n", true: "\nFull whenever there is much to do (`paces` in the JSON); nobody has to look:\n\n"}[paces])
		b.WriteString("| what | where | unit | bound, setting | when it is full |\n|---|---|---|---|---|\n")
		names := slices.SortedFunc(maps.Keys(boundKinds), func(x, y string) int {
			return cmp.Or(cmp.Compare(boundKinds[x].where, boundKinds[y].where), cmp.Compare(x, y))
		})
		for _, name := range names {
			if k := boundKinds[name]; k.paces == paces {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, k.where, k.unit, k.limit, k.then)
			}
		}
	}
	b.WriteString("\n")
	return b.String()
}
