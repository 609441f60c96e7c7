// Package config reads the one YAML file that a process is started with:
// strictly, with the place and a suggestion in every error, with secrets by
// reference. Settings of a connector stand beside that connector; this package
// puts them together. Relative paths are relative to the file's directory.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/vagus-health/vagus/broker"
)

// validator checks what strict decoding can not, after defaults were filled in.
type validator interface {
	// validate reports the first thing that is wrong, beginning with its path in the file
	// ("feeds[0].listen: …"), and makes relative paths absolute: dir is the file's.
	validate(dir string) error
}

const maxFile = 1 << 20

// Load reads a file into cfg, which holds the defaults: an *Agent, a *Worker, a
// *Hub or an *All. Errors name file, line, column and field.
func Load(path string, cfg validator) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	// The library loses the place of an error in a type of our own: the text of the value finds it again.
	var value []byte
	note := func(b []byte, err error) error {
		if err != nil {
			value = b
		}
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict(), yaml.DisallowUnknownField(),
		yaml.CustomUnmarshaler(func(s *broker.Secret, b []byte) error { return note(b, readSecret(s, b, dir)) }),
		yaml.CustomUnmarshaler(func(d *time.Duration, b []byte) error { return note(b, readDuration(d, b)) }))
	if err := dec.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return decodeError(path, err, cfg, place(data, value))
	}
	if err := cfg.validate(dir); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readSecret reads { file: PATH } or { env: NAME }. A line end at the end of the
// file is not part of the secret.
func readSecret(s *broker.Secret, data []byte, dir string) error {
	var ref struct {
		File string `yaml:"file"`
		Env  string `yaml:"env"`
	}
	if err := yaml.UnmarshalWithOptions(data, &ref, yaml.Strict()); err != nil {
		// The library's error would quote the line, and with it a secret that somebody wrote there.
		return errors.New("a secret must not stand in this file: write { file: PATH } or { env: NAME }")
	}
	value := ""
	switch {
	case (ref.File == "") == (ref.Env == ""):
		return errors.New("write one of { file: PATH } and { env: NAME }")
	case ref.Env != "":
		if value = os.Getenv(ref.Env); value == "" {
			return fmt.Errorf("environment variable %s is empty or not set", ref.Env)
		}
	default:
		b, err := os.ReadFile(absolute(dir, ref.File))
		if err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		if value = strings.TrimRight(string(b), "\r\n"); value == "" {
			return fmt.Errorf("secret file %s is empty", ref.File)
		}
	}
	*s = broker.NewSecret(value)
	return nil
}

func readDuration(d *time.Duration, data []byte) (err error) {
	var text string
	if err = yaml.Unmarshal(data, &text); err == nil {
		*d, err = time.ParseDuration(text)
	}
	if err != nil {
		return errors.New("write a duration, such as 90s, 20m or 336h")
	}
	return nil
}

// place finds where in a file a value with this text stands, or nil.
func place(file, value []byte) *token.Position {
	want := squeeze(string(value))
	parsed, err := parser.ParseBytes(file, 0)
	if err != nil || want == "" {
		return nil
	}
	v := &finder{text: want}
	for _, doc := range parsed.Docs {
		ast.Walk(v, doc.Body)
	}
	return v.at
}

func squeeze(s string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("{", " ", "}", " ").Replace(s)), " ")
}

type finder struct {
	text string
	at   *token.Position
}

// Visit implements [ast.Visitor].
func (f *finder) Visit(n ast.Node) ast.Visitor {
	if f.at == nil && n.GetToken() != nil && squeeze(n.String()) == f.text {
		f.at = n.GetToken().Position
	}
	return f
}

var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// decodeError puts the file before the place, and a suggestion behind an
// unknown field. The library's source excerpt is left out: a line may hold what
// somebody should not have written there.
func decodeError(path string, err error, cfg any, at *token.Position) error {
	text, line, column := err.Error(), 0, 0
	if at != nil {
		line, column = at.Line, at.Column
	}
	var placed yaml.Error
	if errors.As(err, &placed) {
		text = placed.GetMessage()
		if t := placed.GetToken(); t != nil && t.Position != nil {
			line, column = t.Position.Line, t.Position.Column
		}
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		if near := nearest(m[1], fieldNames(reflect.TypeOf(cfg), nil)); near != "" && near != m[1] { // the same name elsewhere is no hint
			text += fmt.Sprintf(" (did you mean %q?)", near)
		}
	}
	if line == 0 {
		return fmt.Errorf("%s: %s", path, text)
	}
	return fmt.Errorf("%s:%d:%d: %s", path, line, column, text)
}

// fieldNames collects the yaml names of a struct and all structs inside it.
func fieldNames(t reflect.Type, seen []reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(seen, t) {
		return nil
	}
	seen = append(seen, t)
	var names []string
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
		names = append(names, fieldNames(f.Type, seen)...)
	}
	return names
}

// nearest returns the name with the smallest edit distance, if that is at most
// a third of the word's length and at least one.
func nearest(word string, names []string) string {
	best, at := "", max(1, len(word)/3)+1
	for _, n := range names {
		if d := distance(word, n); d < at {
			best, at = n, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func absolute(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
