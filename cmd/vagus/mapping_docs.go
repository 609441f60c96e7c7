package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

type mappingDocsCmd struct {
	mappingRoot
	Mappings []string `arg:"" optional:"" type:"path" help:"Mappings, or directories to look through; default: this directory."`
	Out      string   `type:"path" placeholder:"DIR" help:"Write a page for each mapping, and an index, there; default: Markdown to standard output."`
	Format   []string `enum:"md,html" default:"md,html" help:"Which pages to write: md, html or both (${default})."`
	Output   string   `short:"o" enum:"text,json" default:"text" help:"text, or json: which files --out wrote."`
}

// Help says what is on a page.
func (mappingDocsCmd) Help() string {
	return `A page says what the mapping is for, which element of the message becomes which field and how, what it does in
which order, and which labels leave the hospital by which fields: the register that a privacy officer reads.`
}

func (cmd mappingDocsCmd) Run(c *console) error {
	if cmd.Output == "json" && cmd.Out == "" {
		return errors.New("standard output gets the pages: --output json wants --out DIR")
	}
	b, err := cmd.bench()
	if err != nil {
		return err
	}
	names, err := b.find(orHere(cmd.Mappings), "file that ends in .map.yaml", endsIn(".map.yaml"))
	if err != nil {
		return err
	}
	var pages []workbench.Page
	for _, name := range names {
		p, err := b.Page(name)
		if err != nil {
			return c.faulty(err, cmd.Output)
		}
		if i := slices.IndexFunc(pages, func(o workbench.Page) bool { return o.ID == p.ID }); i >= 0 && cmd.Out != "" {
			return fmt.Errorf("%s and %s are both called %s: their pages would have one name", pages[i].File, p.File, p.ID)
		}
		pages = append(pages, p)
	}
	if cmd.Out == "" {
		for _, p := range pages {
			if err := p.Markdown(c.out); err != nil {
				return err
			}
		}
		return nil
	}
	if err := os.MkdirAll(cmd.Out, 0o755); err != nil {
		return err
	}
	var files []string
	write := func(name string, how func(io.Writer) error) error {
		files = append(files, relative(filepath.Join(cmd.Out, name)))
		return writeFile(filepath.Join(cmd.Out, name), how)
	}
	for _, format := range cmd.Format {
		page, index := workbench.Page.Markdown, workbench.IndexMarkdown
		if format == "html" {
			page, index = workbench.Page.HTML, workbench.IndexHTML
		}
		for _, p := range pages {
			if err := write(p.ID+"."+format, func(w io.Writer) error { return page(p, w) }); err != nil {
				return err
			}
		}
		if err := write("index."+format, func(w io.Writer) error { return index(w, pages) }); err != nil {
			return err
		}
	}
	if cmd.Output == "json" {
		return c.printJSON(map[string][]string{"files": files})
	}
	s := "s"
	if len(pages) == 1 {
		s = ""
	}
	c.note("wrote %d page%s and an index to %s", len(pages), s, cmd.Out)
	return nil
}
