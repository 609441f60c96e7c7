package workbench

import (
	"errors"
	"strings"
	"testing"
)

func TestPagesAreReadOnANarrowScreenAndSayWhatIsEmitted(t *testing.T) {
	t.Parallel()
	var pages []Page
	for _, file := range []string{"examples/north/04-x12-procurement/po-850-out.map.yaml", "examples/north/02-hl7-dft/dft-charges.map.yaml"} {
		p, err := shipped().Page(file)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
		var out strings.Builder
		if err := p.HTML(&out); err != nil {
			t.Fatal(err)
		}
		if cells, named := strings.Count(out.String(), "<td"), strings.Count(out.String(), "<td data-th="); cells != named {
			t.Errorf("%s: %d of %d cells are without their column's name", file, cells-named, cells)
		}
		for _, never := range []string{"<script", "http:", "https:", "src="} {
			if strings.Contains(out.String(), never) {
				t.Errorf("%s has %s", file, never)
			}
		}
	}
	var md, html strings.Builder
	if err := errors.Join(IndexMarkdown(&md, pages), IndexHTML(&html, pages)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(md.String(), "| `x12 850` | nothing that has a label |") || !strings.Contains(md.String(), "`sale.order`") || !strings.Contains(html.String(), "<code>x12 850</code>") {
		t.Errorf("%s\n%s", md.String(), html.String())
	}
}
