package contract_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vagus-health/vagus/"

// layers lists what each part of the tree may import of this module, beside
// itself; "x/..." is x and all below it. The longest layer that a package
// stands in counts.
var layers = map[string][]string{
	"broker":                     {}, // the domain: the standard library only
	"internal/tree":              {},
	"mappings":                   {},
	"broker/failpoint":           {}, // whoever may import broker may import its failpoints
	"broker/journal":             {"broker"},
	"broker/stream":              {"broker"},
	"broker/hub":                 {"broker", "broker/stream"},
	"broker/link":                {"broker", "broker/stream", "broker/journal"},
	"broker/ledger":              {"broker"},
	"broker/reception":           {"broker"},
	"broker/worker":              {"broker", "broker/ledger", "broker/stream"},
	"connectors/fhir":            {"broker", "broker/reception", "internal/tree"},
	"connectors/hl7":             {"broker", "broker/reception", "internal/tree"},
	"connectors/odoo":            {"broker", "broker/reception", "internal/tree"},
	"connectors/odoo/simulated":  {"broker"},
	"connectors/dicom":           {"internal/tree"},
	"connectors/ldap":            {"internal/tree"},
	"connectors/scim":            {"internal/tree"},
	"connectors/folder":          {"broker", "broker/reception"},
	"connectors/sftp":            {"broker"},
	"connectors/tabular":         {"broker", "broker/reception", "internal/tree"},
	"connectors/webhook":         {"broker", "broker/reception", "internal/tree"},
	"connectors/x12":             {"broker", "broker/reception", "internal/tree"},
	"internal/mapping":           {"broker", "internal/tree"},
	"internal/mapping/bundle":    {"broker/failpoint", "internal/tree", "internal/mapping"},
	"internal/mapping/workbench": {"broker", "internal/tree", "internal/mapping", "internal/mapping/grammar"},
	"internal/config":            {"broker/...", "connectors/..."},
	"internal/ops":               {"broker", "broker/ledger"},
	"internal/sizing":            {},
	"internal/app":               {"broker/...", "connectors/...", "mappings", "internal/..."},
	"cmd":                        {"broker/...", "mappings", "internal/...", "connectors/..."},
	"contract-tests":             {"broker/...", "connectors/...", "mappings", "internal/..."},
}

// aside are packages that exist for tests: product code never imports them.
var aside = []string{"broker/ledger/ledgertest", "broker/ledger/pgtest", "connectors/odoo/odootest", "internal/ops/opstest", "internal/tree/treetest", "contract-tests"}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	root, seen := "..", 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		pkg := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, root+string(filepath.Separator))))
		isTest := strings.HasSuffix(path, "_test.go") || slices.ContainsFunc(aside, func(a string) bool { return within(pkg, a) })
		layer, allowed := layerOf(pkg)
		if layer == "" && !isTest {
			t.Errorf("%s: package %s stands in no layer: add it to layers in contract-tests/layers_test.go", path, pkg)
			return nil
		}
		for _, i := range file.Imports {
			imported := strings.Trim(i.Path.Value, `"`)
			if pkg == "broker" && !isTest && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
				t.Errorf("%s: broker imports %s; it may import the standard library only", path, imported)
			}
			rel, ours := strings.CutPrefix(imported, module)
			if !ours || rel == pkg || isTest {
				continue
			}
			if slices.ContainsFunc(aside, func(a string) bool { return within(rel, a) }) {
				t.Errorf("%s: product code imports %s, which exists for tests", path, rel)
				continue
			}
			if !within(rel, layer) && !slices.ContainsFunc(allowed, func(a string) bool { return permits(a, rel) }) {
				t.Errorf("%s: %s may not import %s (allowed: %s)", path, pkg, rel, strings.Join(allowed, ", "))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d files were read under %s: the walk is broken", seen, root)
	}
}

func TestTheTopLevelIsTheOneThatWasAgreed(t *testing.T) {
	t.Parallel()
	want := []string{".ci", ".git", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "bin", "broker", "cmd", "connectors", "contract-tests", "deploy", "go.mod", "go.sum", "internal", "mappings"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

func layerOf(pkg string) (layer string, allowed []string) {
	for l, a := range layers {
		if within(pkg, l) && len(l) > len(layer) {
			layer, allowed = l, a
		}
	}
	return layer, allowed
}

func permits(allowed, rel string) bool {
	if tree, ok := strings.CutSuffix(allowed, "/..."); ok {
		return within(rel, tree)
	}
	return rel == allowed || allowed == "broker" && rel == "broker/failpoint"
}

func within(pkg, prefix string) bool { return pkg == prefix || strings.HasPrefix(pkg, prefix+"/") }
