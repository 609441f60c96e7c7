package lsp

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

const maxItems = 2000 // of one completion

// A completer gathers what may stand at one place.
type completer struct {
	s     *server
	doc   *document
	names *mapping.Names
	spot  mapping.Spot
	line  int
	col   int // of the place
	items []completionItem
}

func (s *server) completion(p positionParams) (any, *rpcError) {
	d := s.docs[p.TextDocument.URI]
	if d == nil || d.name == "" {
		return completionList{Items: []completionItem{}}, nil
	}
	doc := d.read()
	c := &completer{s: s, doc: d, line: p.Position.Line, col: s.column(d, p.Position), items: []completionItem{}}
	var ok bool
	if c.spot, ok = doc.At(c.line, c.col); ok {
		c.names = s.names(d, doc)
		if c.spot.OnKey {
			c.keys()
		} else {
			c.value()
		}
	}
	return completionList{IsIncomplete: len(c.items) >= maxItems, Items: c.items}, nil
}

// add offers a text in the place of the characters before the place that were
// typed of it, and of those behind it that belong to it.
func (c *completer) add(label, insert string, typed, behind, kind int, detail, doc string) {
	if len(c.items) >= maxItems {
		return
	}
	item := completionItem{Label: label, Kind: kind, Detail: detail, SortText: fmt.Sprintf("%04d", len(c.items)), FilterText: label,
		TextEdit: &textEdit{c.s.span(c.doc, c.line, c.col-typed, c.col+behind), insert}}
	if doc != "" {
		item.Documentation = &markup{"markdown", doc}
	}
	c.items = append(c.items, item)
}

// whole offers a text in the place of all that stands at the spot.
func (c *completer) whole(label string, kind int, detail, doc string) {
	c.add(label, label, c.spot.Offset, utf8.RuneCountInString(c.spot.Text)-c.spot.Offset, kind, detail, doc)
}

// keys offers the keys that the map may have.
func (c *completer) keys() {
	if o := c.spot.Object; o != nil {
		c.keysOf(o, c.spot.Taken)
	}
}

func (c *completer) keysOf(o *grammar.Object, taken []string) {
	behind := utf8.RuneCountInString(c.spot.Text) - c.spot.Offset
	colon := ": "
	if line := []rune(strings.TrimSuffix(c.doc.lines[c.line], "\r")); c.spot.OnKey && strings.HasPrefix(strings.TrimLeft(string(line[min(c.col+behind, len(line)):]), " '\""), ":") {
		colon = ""
	}
	add := func(name string, kind int, detail, doc string) {
		for _, t := range taken {
			if t == name {
				return
			}
		}
		c.add(name, name+colon, c.spot.Offset, behind, kind, detail, doc)
	}
	for _, k := range o.Keys {
		detail := ""
		if k.Required {
			detail = "required"
		} else if k.Default != "" {
			detail = "default " + k.Default
		}
		add(k.Name, kindProperty, detail, k.Doc)
	}
	if o.Free == nil {
		return
	}
	switch o.Free.Means {
	case grammar.Field, grammar.SearchField:
		c.fields(add)
	case grammar.Condition:
		c.steps(c.spot.Text[:len(string([]rune(c.spot.Text)[:c.spot.Offset]))])
	case grammar.Segment:
		for _, e := range c.names.Segments(&c.spot) {
			c.step(e, e.Name+colon, behind)
		}
	case grammar.Element:
		_, elements := c.names.Elements(&c.spot)
		for _, e := range elements {
			name := e.Name
			if c.spot.Quote == 0 { // a number as a key would not be text
				name = strconv.Quote(name)
			}
			if !slices.Contains(taken, e.Name) {
				c.step(e, name+colon, behind)
			}
		}
	case grammar.RuleID:
		for _, id := range c.names.RuleIDs() {
			add(id, kindReference, "", "")
		}
	case grammar.TestedField:
		c.tested(func(name string) { add(name, kindReference, "", "") })
	case grammar.Parameter:
		for _, p := range c.names.Parameters(c.spot.Beside("fragment")) {
			add(p.Name, kindVariable, p.Type, p.Doc)
		}
	}
}

// step offers a segment or an element in the place of the key.
func (c *completer) step(s mapping.StepOutline, insert string, behind int) {
	c.add(strings.TrimSpace(s.Name+" "+s.Title), insert, c.spot.Offset, behind, kindField, stepDetail(s), s.Doc)
	c.items[len(c.items)-1].FilterText = s.Name
}

// fields offers the fields of the model, behind a dot those of the relation.
func (c *completer) fields(add func(name string, kind int, detail, doc string)) {
	model, prefix := c.names.Model(&c.spot), ""
	if i := strings.LastIndexByte(c.spot.Text, '.'); i >= 0 {
		prefix = c.spot.Text[:i+1]
		f, _ := c.names.Field(model, c.spot.Text[:i])
		model = f.Relation
	}
	for _, f := range c.names.Fields(model) {
		if c.spot.Object != nil && c.spot.Object.Name == "fields" && f.Locked != "" {
			continue
		}
		add(prefix+f.Name, kindField, fieldType(f), fieldDoc(model, f))
	}
}

func (c *completer) tested(add func(string)) {
	for _, id := range c.names.RuleIDs() {
		if strings.Count(id, ".") == 1 && grammar.Files["mapping"].Key(strings.SplitN(id, ".", 2)[0]) == nil {
			add(id)
		}
	}
}

// value offers what the value may be.
func (c *completer) value() {
	if m := grammar.Find(c.spot.Forms, grammar.Map); m != nil && m.Object != "" && c.spot.Opens {
		c.keysOf(grammar.Get(m.Object), nil)
	}
	for _, f := range c.spot.Forms {
		switch {
		case f.Kind == grammar.Bool:
			c.whole("true", kindValue, "", "")
			c.whole("false", kindValue, "", "")
		case f.Kind == grammar.Number && len(f.Words) > 0:
			c.whole(f.Words[0].Text, kindValue, f.Words[0].Doc, "")
		}
	}
	if f, ok := c.names.FieldOf(&c.spot); ok && (c.spot.Key == "value" || c.spot.Key == "default") {
		for _, option := range f.Selection {
			c.whole(option, kindEnum, "option of "+f.Name, "")
		}
	}
	if o := c.spot.Object; o != nil && o.Name == "segment" && c.spot.Key == "loop" {
		for _, l := range c.names.Loops(&c.spot) {
			c.whole(l.Name, kindField, l.Title, l.Doc)
		}
	}
	if t := grammar.Find(c.spot.Forms, grammar.Text); t != nil {
		c.text(t)
	}
}

func (c *completer) text(form *grammar.Form) {
	f := focusOf(c.spot)
	switch f.means {
	case grammar.Word:
		for _, w := range form.Words {
			c.whole(w.Text, kindEnum, w.Doc, "")
		}
	case grammar.Path, grammar.ListPath:
		c.steps(f.before)
	case grammar.Expression, grammar.Search:
		c.named(f)
	case grammar.FormatName:
		for _, n := range c.names.FormatNames() {
			c.whole(n, kindEnum, "", "")
		}
	case grammar.Model:
		for _, m := range c.names.Models() {
			c.whole(m, kindClass, "", "")
		}
	case grammar.Field, grammar.Reference:
		c.fields(func(name string, kind int, detail, doc string) { c.whole(name, kind, detail, doc) })
	case grammar.TableName:
		for _, t := range c.names.Tables() {
			c.add(t.Name, t.Name, utf8.RuneCountInString(f.before), utf8.RuneCountInString(f.text)-utf8.RuneCountInString(f.before), kindReference, tableDetail(t), "")
		}
	case grammar.Operation:
		for _, o := range c.names.Operations(&c.spot) {
			c.whole(o.ID, kindReference, strings.TrimSpace(o.Do+" "+o.Model), "")
		}
	case grammar.RuleID:
		for _, id := range c.names.RuleIDs() {
			c.whole(id, kindReference, "", "")
		}
	case grammar.TestedField:
		c.tested(func(name string) { c.whole(name, kindReference, "", "") })
	case grammar.TableFile:
		c.files(".csv", ".yaml")
	case grammar.FragmentFile:
		c.files(".yaml")
	case grammar.SnapshotFile:
		c.files(".json")
	case grammar.MappingFile:
		c.files(".map.yaml")
	case grammar.DataFile:
		c.files("")
	}
}

func tableDetail(t mapping.TableOutline) string {
	if t.File == "" {
		return fmt.Sprintf("%d codes", t.Rows)
	}
	return fmt.Sprintf("%d codes, %s", t.Rows, path.Base(t.File))
}

// steps offers what a path goes on with.
func (c *completer) steps(before string) {
	steps, typed := c.names.Steps(&c.spot, before)
	typed = utf8.RuneCountInString(before[len(before)-typed:])
	for _, s := range steps {
		label := s.Name
		if s.Title != "" {
			label += " " + s.Title
		}
		kind := kindField
		if s.Doc != "" {
			kind = kindVariable
		}
		c.add(label, s.Name, typed, 0, kind, stepDetail(s), s.Doc)
		c.items[len(c.items)-1].FilterText = s.Name
	}
}

func stepDetail(s mapping.StepOutline) string {
	var parts []string
	if s.Type != "" {
		parts = append(parts, s.Type)
	}
	if s.Repeats {
		parts = append(parts, "repeats")
	}
	if s.Table != "" {
		parts = append(parts, "table "+s.Table)
	}
	if s.Labels != 0 {
		parts = append(parts, s.Labels.String())
	}
	return strings.Join(parts, " · ")
}

// named offers what an expression can name: its inputs, lets and functions.
func (c *completer) named(f focus) {
	typed, behind := utf8.RuneCountInString(f.before), utf8.RuneCountInString(f.text)-utf8.RuneCountInString(f.before)
	member := f.start > 0 && []rune(c.spot.Text)[f.start-1] == '.'
	if !member {
		for _, in := range c.names.Inputs(&c.spot) {
			c.add(in, in, typed, behind, kindVariable, "input", "")
		}
		for _, l := range c.names.Lets() {
			c.add(l, l, typed, behind, kindVariable, "let", "")
		}
	}
	for _, fn := range mapping.Functions() {
		if fn.Member == member {
			c.add(fn.Name, fn.Name, typed, behind, kindFunction, fn.Call+" → "+fn.Gives, fn.Doc)
		}
	}
}

// files offers the files and folders that a relative name can go on with.
func (c *completer) files(endings ...string) {
	before := string([]rune(c.spot.Text)[:c.spot.Offset])
	dir, last := path.Split(before)
	entries, err := fs.ReadDir(c.s.cfg.FS, path.Join(path.Dir(c.doc.name), dir))
	if err != nil {
		return
	}
	behind := utf8.RuneCountInString(c.spot.Text) - c.spot.Offset
	if !strings.HasPrefix(before, "../") || strings.HasSuffix(before, "../") {
		c.add("../", "../", utf8.RuneCountInString(last), behind, kindFile, "", "")
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if e.IsDir() {
			c.add(name+"/", name+"/", utf8.RuneCountInString(last), behind, kindFile, "", "")
			continue
		}
		for _, ending := range endings {
			if strings.HasSuffix(name, ending) {
				c.add(name, name, utf8.RuneCountInString(last), behind, kindFile, "", "")
				break
			}
		}
	}
}
