package main

import (
	"os"

	"github.com/vagus-health/vagus/internal/mapping/lsp"
)

type mappingLSPCmd struct{ mappingRoot }

// Help says how an editor is told of it.
func (mappingLSPCmd) Help() string {
	return `Speaks the language server protocol 3.17 over standard input and output; an editor starts it for files that end in
.map.yaml and .test.yaml. A comment "# sample: in/a08.hl7" in a mapping names a message: the editor then shows behind each rule
what it makes of it.`
}

func (cmd mappingLSPCmd) Run(c *console) error {
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	if c.ask { // a person has started it
		c.note("this is a language server: an editor starts it and speaks to it over standard input; mappings/editors.md says how. ^C ends it.")
	}
	return lsp.Serve(c.ctx, os.Stdin, os.Stdout, lsp.Config{Root: b.root, FS: b.FS, Formats: b.Formats, Version: version})
}
