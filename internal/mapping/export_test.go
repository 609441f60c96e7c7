package mapping

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
)

// A CaseUnit is what the message of a case becomes.
type CaseUnit struct {
	Format string
	Verbs  []string // do: of its operations
	Bytes  string
}

// CaseUnits runs the cases of a test file with its mapping, which load returns, as another
// process would: decoded whole or for the mapping only, traced or not.
func CaseUnits(ctx context.Context, fsys fs.FS, name string, load func(file string) (*Mapping, error), whole, traced bool) ([]CaseUnit, error) {
	data, err := readFile(fsys, name)
	if err != nil {
		return nil, err
	}
	c := &collector{}
	t := readTests(parseYAML(name, data, c), c)
	shared, err := load(path.Join(path.Dir(name), t.mapping))
	if err != nil {
		return nil, err
	}
	own := *shared // others run it at the same time
	m := &own
	var out []CaseUnit
	for _, x := range t.cases {
		body := []byte(x.input)
		if x.file != "" {
			if body, err = readFile(fsys, path.Join(path.Dir(name), x.file)); err != nil {
				return nil, err
			}
		}
		reads := m.reads
		if whole {
			m.reads = nil
		}
		ct := caseTest{ctx: ctx, m: m}
		msg, err := ct.decode(body, x.row)
		m.reads = reads
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		var res Result
		if traced {
			res, _ = m.RunTraced(ctx, msg)
		} else {
			res = m.Run(ctx, msg)
		}
		ops, err := json.Marshal(res.Ops)
		if err != nil {
			return nil, err
		}
		u := CaseUnit{Format: m.Format, Bytes: fmt.Sprintf("%s\n%s\n%s %s %s %s", encodeJSON(unitJSON(m, res)), ops, res.Reason, res.Detail, res.Ordering, m.Hash)}
		for _, op := range res.Ops {
			u.Verbs = append(u.Verbs, op.Do)
		}
		if res.Document != nil {
			doc, err := m.document.encoder.Encode(res.Document)
			if err != nil {
				return nil, err
			}
			u.Verbs, u.Bytes = append(u.Verbs, "emit"), u.Bytes+string(doc)
		}
		out = append(out, u)
	}
	return out, nil
}
