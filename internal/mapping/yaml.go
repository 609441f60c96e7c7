package mapping

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// Limits on what a file may hold, so that no file can exhaust the parser.
const (
	maxFileBytes = 1 << 20
	maxLineBytes = 4 << 10
	maxNesting   = 64
)

// A collector gathers the issues of a load.
type collector struct{ issues Issues }

func (c *collector) errorf(p place, code, format string, args ...any) {
	c.issues = append(c.issues, p.issue(Error, code, format, args...))
}

func (c *collector) warnf(p place, code, format string, args ...any) {
	c.issues = append(c.issues, p.issue(Warning, code, format, args...))
}

// A kind of YAML value.
type yamlKind = grammar.Kind

const (
	yamlNull   = grammar.Null
	yamlString = grammar.Text
	yamlBool   = grammar.Bool
	yamlNumber = grammar.Number
	yamlMap    = grammar.Map
	yamlList   = grammar.List
)

// A value is one YAML value with its place.
type value struct {
	kind yamlKind
	text string // scalars: as written, unquoted
	bool bool
	list []*value
	keys []entry // maps, in the file's order
	at   place
}

type entry struct {
	key string
	at  place
	val *value
}

// get returns the value of a key of a map, or nil.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	for _, e := range v.keys {
		if e.key == key {
			return e.val
		}
	}
	return nil
}

// textOf returns the text of a key of a map, or "".
func (v *value) textOf(key string) string {
	if x := v.get(key); x != nil {
		return x.text
	}
	return ""
}

// readFile reads a file of the mapping tree, bounded.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%s is outside of the mapping tree", name)
	}
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes; a file may have %d", name, info.Size(), maxFileBytes)
	}
	return fs.ReadFile(fsys, name)
}

// ReadBounded reads a file of the mapping tree and refuses one that no parser
// of YAML is to see: one too large, or with lines too long or brackets too deep.
func ReadBounded(fsys fs.FS, name string) ([]byte, error) {
	data, err := readFile(fsys, name)
	if err != nil {
		return nil, err
	}
	if err := checkNesting(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// parseYAML reads one document. Anchors, aliases, merge keys and tags are not
// part of the language: a rule reads the same wherever it stands.
func parseYAML(name string, data []byte, c *collector) *value {
	file := newSourceFile(name, data)
	if err := checkNesting(data); err != nil {
		c.errorf(place{file: file, line: 1, col: 1}, "yaml", "%v", err)
		return nil
	}
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		at, text := place{file: file, line: 1, col: 1}, "this is not YAML"
		var ye yaml.Error
		if errors.As(err, &ye) {
			text = ye.GetMessage()
			if t := ye.GetToken(); t != nil && t.Position != nil {
				at.line, at.col = t.Position.Line, t.Position.Column
			}
		}
		if path, ok := unquoted(at); ok {
			at, text = path, fmt.Sprintf("between { } or [ ] a path with brackets is not plain text: quote it: %q", path.text.text)
		}
		c.errorf(at, "yaml", "%s", text)
		return nil
	}
	var body ast.Node
	for _, d := range doc.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			c.errorf(nodePlace(file, d.Body), "yaml", "a file holds one document")
			return nil
		}
		body = d.Body
	}
	if body == nil {
		c.errorf(place{file: file, line: 1, col: 1}, "yaml", "the file is empty")
		return nil
	}
	r := yamlReader{file: file, c: c}
	return r.read(body, 0)
}

// bracketed is a path with a selector, and the quoted texts that it may be in.
var bracketed = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'|#.*|/?[\w:@$#]+(?:[-.\w:@$#]|\[[^\[\]"'{}]*\])*\[[^\[\]"'{}]+\](?:[-.\w:@$#]|\[[^\[\]"'{}]*\])*`)

// unquoted finds the path that is the likely reason why YAML can not read the
// line of a place: [ ends a plain text there.
func unquoted(at place) (place, bool) {
	if at.line < 1 || at.line > len(at.file.lines) {
		return at, false
	}
	line := at.file.lines[at.line-1]
	open := strings.IndexAny(line, "{[")
	for _, m := range bracketed.FindAllStringIndex(line, -1) {
		text := strings.TrimRight(line[m[0]:m[1]], ":") // of a key
		if open < 0 || m[0] < open || strings.ContainsAny(text[:1], "\"'#") {
			continue
		}
		if _, err := parsePath(text); err == nil {
			at.col = utf8.RuneCountInString(line[:m[0]]) + 1
			at.text = &wording{text: text}
			return at, true
		}
	}
	return at, false
}

// checkNesting bounds the depth that a recursive parser can reach: by flow
// brackets, and by indentation, which a line's length bounds.
func checkNesting(data []byte) error {
	if len(data) > maxFileBytes {
		return fmt.Errorf("the file has %d bytes; a file may have %d", len(data), maxFileBytes)
	}
	depth, line := 0, 0
	for _, b := range data {
		switch b {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '\n':
			line = -1
		}
		if line++; line > maxLineBytes {
			return fmt.Errorf("a line has more than %d bytes", maxLineBytes)
		}
		if depth > maxNesting*4 {
			return errors.New("brackets are nested too deep")
		}
	}
	return nil
}

type yamlReader struct {
	file *sourceFile
	c    *collector
}

func nodePlace(file *sourceFile, n ast.Node) place {
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			return place{file: file, line: t.Position.Line, col: t.Position.Column}
		}
	}
	return place{file: file, line: 1, col: 1}
}

func (r yamlReader) read(n ast.Node, depth int) *value {
	v := &value{at: nodePlace(r.file, n)}
	if depth > maxNesting {
		r.c.errorf(v.at, "yaml", "nested too deep")
		return v
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
	case *ast.StringNode:
		v.kind, v.text = yamlString, n.Value
		r.text(v, map[token.Type]byte{token.SingleQuoteType: '\'', token.DoubleQuoteType: '"'}[n.Token.Type])
	case *ast.LiteralNode:
		v.kind = yamlString
		if n.Value != nil {
			v.text = n.Value.Value
		}
		r.text(v, '|')
	case *ast.BoolNode:
		v.kind, v.bool, v.text = yamlBool, n.Value, fmt.Sprint(n.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		v.kind, v.text = yamlNumber, n.GetToken().Value
	case *ast.MappingNode:
		v.kind = yamlMap
		if len(n.Values) > 0 && !n.IsFlowStyle {
			v.at = nodePlace(r.file, n.Values[0].Key)
		}
		for _, kv := range n.Values {
			r.entry(v, kv, depth)
		}
	case *ast.MappingValueNode:
		v.kind = yamlMap
		v.at = nodePlace(r.file, n.Key)
		r.entry(v, n, depth)
	case *ast.SequenceNode:
		v.kind = yamlList
		for _, item := range n.Values {
			v.list = append(v.list, r.read(item, depth+1))
		}
	case *ast.AnchorNode, *ast.AliasNode:
		r.c.errorf(v.at, "yaml", "anchors and aliases are not part of the language: use a fragment")
	case *ast.TagNode:
		r.c.errorf(v.at, "yaml", "tags are not part of the language")
	default:
		r.c.errorf(v.at, "yaml", "%s is not part of the language", strings.ToLower(n.Type().String()))
	}
	return v
}

// text notes how a text is written, for places inside of it.
func (r yamlReader) text(v *value, style byte) {
	v.at.text = &wording{text: v.text, line: v.at.line, col: v.at.col, style: style}
}

func (r yamlReader) entry(v *value, kv *ast.MappingValueNode, depth int) {
	at := nodePlace(r.file, kv.Key)
	var key string
	switch k := kv.Key.(type) {
	case *ast.StringNode:
		key = k.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		// A code table may have codes such as 1, and NO is a word: what was
		// written counts.
		key = k.GetToken().Value
	case *ast.MergeKeyNode:
		r.c.errorf(at, "yaml", "merge keys are not part of the language: use a fragment")
		return
	default:
		r.c.errorf(at, "yaml", "a key must be plain text")
		return
	}
	for _, e := range v.keys {
		if e.key == key {
			r.c.errorf(at, "yaml", "key %q stands twice", key)
			return
		}
	}
	v.keys = append(v.keys, entry{key: key, at: at, val: r.read(kv.Value, depth+1)})
}
