package lsp

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/vagus-health/vagus/internal/mapping"
)

// A lintResult is what a lint found in the texts of one moment.
type lintResult struct {
	versions map[string]int             // of the open documents
	issues   map[string][]mapping.Issue // by the document that was linted
}

// lint begins a lint of what is open when something has changed and none is
// under way. All documents are linted: one may have changed what another one
// includes.
func (s *server) lint(ctx context.Context) {
	if !s.dirty || s.linting {
		return
	}
	s.dirty, s.linting = false, true
	r := lintResult{map[string]int{}, map[string][]mapping.Issue{}}
	names := map[string]string{}
	for uri, d := range s.docs {
		r.versions[uri] = d.version
		if d.name != "" && strings.HasSuffix(d.name, ".yaml") {
			names[uri] = d.name
		}
	}
	files, formats := s.tree(), s.cfg.Formats
	go func() {
		for uri, name := range names {
			r.issues[uri] = append(mapping.Lint(files, name, formats), lintSample(ctx, files, name, formats)...)
		}
		s.linted <- r // has room for the one lint under way
	}()
}

// publish sends what a lint found, unless the texts have changed since: then
// another one follows.
func (s *server) publish(r lintResult) {
	s.linting = false
	if s.dirty {
		return
	}
	for uri, version := range r.versions {
		d := s.docs[uri]
		if d == nil || d.version != version {
			continue
		}
		found := map[string][]diagnostic{uri: {}}
		for _, i := range r.issues[uri] {
			at := uri
			if i.File != "" && i.File != d.name {
				at = s.uriOf(i.File)
			}
			found[at] = append(found[at], s.diagnostic(i))
		}
		before := s.published[uri]
		s.published[uri] = found
		for at := range before {
			if found[at] == nil {
				s.sendDiagnostics(at)
			}
		}
		for at := range found {
			s.sendDiagnostics(at)
		}
	}
}

// withdraw takes back what was said for a document that is no longer open.
func (s *server) withdraw(uri string) {
	gone := s.published[uri]
	delete(s.published, uri)
	for at := range gone {
		s.sendDiagnostics(at)
	}
}

// sendDiagnostics sends all that is known of a file; several documents may
// include it.
func (s *server) sendDiagnostics(uri string) {
	p := publishParams{URI: uri, Diagnostics: []diagnostic{}}
	for _, found := range s.published {
		for _, d := range found[uri] {
			if !slices.Contains(p.Diagnostics, d) {
				p.Diagnostics = append(p.Diagnostics, d)
			}
		}
	}
	slices.SortFunc(p.Diagnostics, func(a, b diagnostic) int {
		if a.Range.Start.Line != b.Range.Start.Line {
			return a.Range.Start.Line - b.Range.Start.Line
		}
		return a.Range.Start.Character - b.Range.Start.Character
	})
	if d := s.docs[uri]; d != nil {
		p.Version = &d.version
	}
	s.send(notification{"2.0", "textDocument/publishDiagnostics", p})
}

func (s *server) diagnostic(i mapping.Issue) diagnostic {
	d := diagnostic{Severity: 1, Code: i.Code, Source: "vagus", Message: i.Text}
	if i.Severity == mapping.Warning {
		d.Severity = 2
	}
	line := i.Line - 1
	lines := s.linesOf(i.File)
	from := max(i.Col-1, 0)
	to := from
	if line >= 0 && line < len(lines) {
		runes := []rune(lines[line])
		for to < len(runes) && to < from+80 && (unicode.IsLetter(runes[to]) || unicode.IsDigit(runes[to]) || strings.ContainsRune("_.-$#@/", runes[to])) {
			to++
		}
		if to == from && to < len(runes) {
			to++
		}
	}
	d.Range = textRange{s.position(lines, line, from), s.position(lines, line, to)}
	return d
}

// linesOf are the lines of a file as the editor has it.
func (s *server) linesOf(name string) []string {
	for _, d := range s.docs {
		if d.name == name {
			return d.lines
		}
	}
	if info, err := fs.Stat(s.cfg.FS, name); err != nil || info.Size() > maxText {
		return nil
	}
	data, err := fs.ReadFile(s.cfg.FS, name)
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\n")
}
