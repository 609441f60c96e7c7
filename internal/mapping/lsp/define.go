package lsp

import (
	"io/fs"
	"path"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// definition leads to the file that is named, or to where a table, a let or an
// operation stands.
func (s *server) definition(p positionParams) (any, *rpcError) {
	d := s.docs[p.TextDocument.URI]
	if d == nil || d.name == "" {
		return nil, nil
	}
	line, col := p.Position.Line, s.column(d, p.Position)
	if sample, ok := sampleOf(d.name, d.text); ok && sample.line == line {
		return s.file(sample.file), nil
	}
	doc := d.read()
	spot, ok := doc.At(line, col)
	if !ok || spot.OnKey {
		return nil, nil
	}
	names := s.names(d, doc)
	switch f := focusOf(spot); f.means {
	case grammar.TableFile, grammar.FragmentFile, grammar.SnapshotFile, grammar.MappingFile, grammar.DataFile:
		return s.file(path.Join(path.Dir(d.name), f.text)), nil
	case grammar.TableName:
		for _, t := range names.Tables() {
			if t.Name == f.text && t.File != "" {
				return s.file(t.File), nil
			} else if t.Name == f.text {
				return s.place(t.Place), nil
			}
		}
	case grammar.Operation:
		for _, o := range names.Operations(&spot) {
			if o.ID == f.text {
				return s.place(o.Place), nil
			}
		}
	case grammar.Path, grammar.Expression, grammar.Search:
		if src, ok := names.Path(&spot, f.text); ok && src.Let != "" {
			return s.place(src.Place), nil
		}
	}
	return nil, nil
}

func (s *server) file(name string) any {
	if !fs.ValidPath(name) {
		return nil
	}
	if _, err := fs.Stat(s.tree(), name); err != nil {
		return nil
	}
	return location{URI: s.uriOf(name)}
}

func (s *server) place(p mapping.Place) any {
	at := s.position(s.linesOf(p.File), p.Line-1, p.Col-1)
	return location{URI: s.uriOf(p.File), Range: textRange{at, at}}
}
