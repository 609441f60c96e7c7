package workbench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// SARIF returns the report as a log of the Static Analysis Results Interchange
// Format, version 2.1.0 (OASIS), which code hosts show beside the lines of a
// change. version is this program's.
func (r LintReport) SARIF(version string) any {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID   string `json:"id"`
		Help text   `json:"shortDescription"`
	}
	type region struct {
		Line    int   `json:"startLine"` // from 1
		Col     int   `json:"startColumn,omitempty"`
		Snippet *text `json:"snippet,omitempty"`
	}
	type artifact struct {
		URI string `json:"uri"`
	}
	type physical struct {
		Artifact artifact `json:"artifactLocation"`
		Region   *region  `json:"region,omitempty"`
	}
	type location struct {
		Physical physical `json:"physicalLocation"`
	}
	type result struct {
		Rule      string     `json:"ruleId"`
		Index     int        `json:"ruleIndex"`
		Level     string     `json:"level"`
		Message   text       `json:"message"`
		Locations []location `json:"locations"`
	}
	type driver struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
		Rules   []rule `json:"rules"`
	}
	type tool struct {
		Driver driver `json:"driver"`
	}
	type run struct {
		Tool    tool     `json:"tool"`
		Columns string   `json:"columnKind"`
		Results []result `json:"results"`
	}
	var codes []string
	for _, i := range r.Issues {
		codes = append(codes, i.Code)
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	rules := make([]rule, len(codes))
	for i, c := range codes {
		rules[i] = rule{c, text{"vagus mapping lint: " + c}}
	}
	results := make([]result, len(r.Issues))
	for n, i := range r.Issues {
		at := physical{Artifact: artifact{uri(i.File)}}
		if i.Line > 0 {
			at.Region = &region{Line: i.Line, Col: i.Col}
			if line := i.SourceLine(); line != "" {
				at.Region.Snippet = &text{line}
			}
		}
		index, _ := slices.BinarySearch(codes, i.Code)
		results[n] = result{i.Code, index, string(i.Severity), text{i.Text}, []location{{at}}}
	}
	return struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0",
		[]run{{tool{driver{"vagus", version, rules}}, "unicodeCodePoints", results}}}
}

// uri is a relative path as a URI reference (RFC 3986).
func uri(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`%"<>\^`+"`{|}#?[]:", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// GitHub writes the report as workflow commands, which GitHub Actions shows as
// annotations beside the lines.
func (r LintReport) GitHub(w io.Writer) {
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	message := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	for _, i := range r.Issues {
		fmt.Fprintf(w, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", i.Severity, property.Replace(i.File),
			cmp.Or(i.Line, 1), cmp.Or(i.Col, 1), property.Replace(string(i.Severity)+"["+i.Code+"]"), message.Replace(i.Text))
	}
	if r.Errors+r.Warnings == 0 {
		fmt.Fprintf(w, "::notice::vagus mapping lint: %s, no issues\n", count(r.Files, "file"))
	}
}
