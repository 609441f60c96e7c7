package lsp

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// largest is the shipped mapping with the most rules.
const largest = "examples/north/01-hl7-adt/adt-patient.map.yaml"

// What is typed is wrong at most moments; the server answers at each of them.
func TestAnUnfinishedTextIsCompletedAndTakesNothingDown(t *testing.T) {
	t.Parallel()
	const rule = "ref:             mrn"
	for _, c := range []struct{ name, text, wants string }{
		{"a path in a flow map without its end", "ref: { from: PID-‸", "3 Patient Identifier List"},
		{"a path in quotes without their end", "ref: { from: \"PID-‸", "3 Patient Identifier List"},
		{"a path in brackets without their end", "ref: { from: [PID-‸", "3 Patient Identifier List"},
		{"a table in two flow maps without an end", "ref: { from: PID-8, map: { table: ‸", "sex"},
		{"a key of a rule without a value before it", "ref: { from: , ‸", "map"},
		{"a field without a colon", "re‸", "ref"},
		{"a path behind a flow map of the line before without its end", "ref: { from: \"PID-3[5=MR].1\",\n      email: PID-‸", "13 Phone Number - Home"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := open(t, shipped)
			if !strings.Contains(client.file(largest), rule) {
				t.Fatal("the rule has moved")
			}
			at := client.edit(largest, rule, c.text)
			var list completionList
			client.call("textDocument/completion", at, &list)
			if !slices.ContainsFunc(list.Items, func(i completionItem) bool {
				return strings.TrimSpace(i.Label+" "+i.Detail) == c.wants || i.Label == c.wants
			}) {
				t.Errorf("%d items, none is %s: %.300v", len(list.Items), c.wants, list.Items)
			}
			if len(client.diagnostics(at.TextDocument.URI, 1)) == 0 {
				t.Error("nothing is wrong with it")
			}
			client.end()
		})
	}
}

func TestEveryBeginningOfAMappingIsAnswered(t *testing.T) {
	t.Parallel()
	c := open(t, shipped)
	text := c.file(largest)
	var p didOpenParams
	p.TextDocument.URI, p.TextDocument.Version = c.uri(largest), 1
	c.notify("textDocument/didOpen", p) // an empty file
	c.diagnostics(p.TextDocument.URI, 1)
	version := 1
	change := func(text string) {
		version++
		c.notify("textDocument/didChange", map[string]any{"textDocument": map[string]any{"uri": p.TextDocument.URI, "version": version}, "contentChanges": []any{map[string]any{"text": text}}})
		line := text[strings.LastIndexByte(text, '\n')+1:]
		at := positionParams{textDocumentID{p.TextDocument.URI}, position{strings.Count(text, "\n"), len(line)}}
		for _, method := range []string{"textDocument/completion", "textDocument/hover", "textDocument/definition"} {
			if _, err := c.ask(method, at); err != nil {
				t.Errorf("%s at %q: %v", method, line, err)
			}
		}
	}
	for i := 0; i < len(text); i += 397 {
		change(text[:i])
	}
	for _, odd := range []string{"\t", "\tkind: mapping\n\tid: x", "kind: mapping\n\t", "---\n---\n", ":", "- - -", "? ", "\ufeffkind: ", "a: &b *b", "{", "[[[[", "'", "\"", "|", "kind: mapping\r\noperations:\r\n  - ", "\x00"} {
		change(odd)
	}
	change(text)
	if got := c.diagnostics(p.TextDocument.URI, version); len(got) != 0 {
		t.Errorf("the whole text: %v", got)
	}
	c.end()
}

// BenchmarkDiagnostics is how long a key stroke waits for what is wrong.
func BenchmarkDiagnostics(b *testing.B) {
	c := open(b, shipped)
	text, uri := c.file(largest), c.uri(largest)
	var p didOpenParams
	p.TextDocument.URI, p.TextDocument.Version, p.TextDocument.Text = uri, 1, text
	c.notify("textDocument/didOpen", p)
	c.diagnostics(uri, 1)
	slowest := time.Duration(0)
	for v := 2; b.Loop(); v++ {
		start := time.Now()
		c.notify("textDocument/didChange", map[string]any{"textDocument": map[string]any{"uri": uri, "version": v}, "contentChanges": []any{map[string]any{"text": text + strings.Repeat("#", v%9)}}})
		c.diagnostics(uri, v)
		slowest = max(slowest, time.Since(start))
	}
	b.ReportMetric(float64(slowest.Milliseconds()), "ms-slowest")
}
