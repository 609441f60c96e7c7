package workbench

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/vagus-health/vagus/internal/mapping"
)

// An UpgradeReport says what of mappings another snapshot breaks.
type UpgradeReport struct {
	Snapshot string          `json:"snapshot"` // its file
	Mappings int             `json:"mappings"`
	Broken   int             `json:"broken"` // mappings that have new errors, or get text into what is no text
	Files    []UpgradedFiles `json:"files"`  // mappings with new issues
}

// UpgradedFiles is one mapping with the issues that it has with the other
// snapshot and not with its own.
type UpgradedFiles struct {
	Mapping string          `json:"mapping"`
	Issues  []mapping.Issue `json:"issues"`
}

// OK says whether no mapping breaks.
func (r UpgradeReport) OK() bool { return r.Broken == 0 }

// Upgrade lints mappings against another snapshot, as if it stood in the place
// of the one that they name, or, where a site's snapshot extends another one
// and replaced is not "", in the place of that. That the version of Odoo is
// another one is not counted.
func (b Bench) Upgrade(ctx context.Context, names []string, snapshot, replaced string) (UpgradeReport, error) {
	rep := UpgradeReport{Snapshot: b.show(snapshot), Files: []UpgradedFiles{}}
	data, err := fs.ReadFile(b.FS, snapshot)
	if err != nil {
		return rep, err
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil || parts["models"] == nil {
		return rep, fmt.Errorf("%s is no snapshot", b.show(snapshot))
	}
	type result struct {
		issues []mapping.Issue
		err    error
	}
	err2 := inOrder(ctx, len(names), func(i int) result {
		issues, err := b.upgraded(names[i], snapshot, replaced, parts)
		return result{issues, err}
	}, func(i int, r result) {
		rep.Mappings++
		if r.err != nil && err == nil {
			err = r.err
		}
		if len(r.issues) == 0 {
			return
		}
		rep.Files = append(rep.Files, UpgradedFiles{b.show(names[i]), b.shown(r.issues)})
		if slices.ContainsFunc(r.issues, func(i mapping.Issue) bool { return i.Severity == mapping.Error || i.Code == "odoo-type" }) {
			rep.Broken++
		}
	})
	if err == nil {
		err = err2
	}
	return rep, err
}

// upgraded returns the issues that a mapping has with the other snapshot only.
func (b Bench) upgraded(name, snapshot, replaced string, parts map[string]json.RawMessage) ([]mapping.Issue, error) {
	owner := name // of target: an overlay's base has it
	doc, err := readDocument(b.FS, owner)
	for range 8 {
		if err != nil {
			return nil, err
		}
		if doc.get("target") != nil || doc.get("extends") == nil {
			break
		}
		owner = path.Join(path.Dir(owner), doc.get("extends").text())
		doc, err = readDocument(b.FS, owner)
	}
	at := path.Join(path.Dir(owner), doc.get("target").get("snapshot").text())
	if doc.get("target").get("snapshot") == nil {
		return nil, nil
	}
	if replaced != "" {
		at = replaced
	}
	as := map[string]json.RawMessage{}
	for k, v := range parts {
		as[k] = v
	}
	as["odoo"] = json.RawMessage(doc.get("target").get("odoo").scalar)
	if base := as["extends"]; base != nil { // relative to where it stands
		var rel string
		if err := json.Unmarshal(base, &rel); err != nil {
			return nil, fmt.Errorf("%s: extends is a text", b.show(snapshot))
		}
		whole, err := b.Snapshot(snapshot)
		if err != nil {
			return nil, err
		}
		delete(as, "extends")
		if as["models"], err = json.Marshal(whole.Models); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(as)
	if err != nil {
		return nil, err
	}
	before := map[string]bool{}
	for _, i := range mapping.Lint(b.FS, name, b.Formats) {
		before[i.String()] = true
	}
	after := mapping.Lint(b.With(map[string][]byte{at: data}).FS, name, b.Formats)
	return slices.DeleteFunc(after, func(i mapping.Issue) bool { return before[i.String()] }), nil
}

// Print writes the new issues of each mapping.
func (r UpgradeReport) Print(s Screen) {
	for _, f := range r.Files {
		s.line(s.in(bold, f.Mapping))
		for _, i := range f.Issues {
			s.issue("  ", i)
		}
		s.line("")
	}
	s.line(s.verdict(r.OK()), "  with ", r.Snapshot, ": ", fmt.Sprintf("%d of %s break", r.Broken, count(r.Mappings, "mapping")))
}
