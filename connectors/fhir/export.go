package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// An export fetches all that a server has, or what changed since the last time
// (Bulk Data Access 2.0, $export). One goroutine does it.
//
// It asks for the export, waits for it, reads its files step by step, asks for
// the job to be deleted, and waits for the next time. Each step is remembered
// after it was done, so that a process that was killed goes on where it stood;
// what it reads again has the same identity.
type export struct {
	s       *Source
	file    string
	state   exportState
	problem problem
	now     func() time.Time
}

// An exportState is what an export remembers.
type exportState struct {
	Query  string       `json:"query"`
	Since  string       `json:"since,omitempty"`  // transactionTime of the last export that was read to its end
	Asked  time.Time    `json:"asked,omitzero"`   // when the last one was asked for
	Status string       `json:"status,omitempty"` // where the job under way tells how it stands; "": none is
	Time   string       `json:"time,omitempty"`   // its transactionTime, once its files are known
	Token  bool         `json:"token,omitempty"`  // its files need the token
	Files  []exportFile `json:"files,omitempty"`  // those that are not read to their end
	Done   bool         `json:"done,omitempty"`   // they all are: the job is to be deleted
}

// An exportFile is a file of NDJSON and how far it has been read.
type exportFile struct {
	URL    string `json:"url"`
	Kind   string `json:"kind"` // output, deleted, error
	Offset int64  `json:"offset,omitempty"`
	Line   int64  `json:"line,omitempty"` // lines before Offset
	ETag   string `json:"etag,omitempty"`
}

const (
	maxStatusWait = time.Minute
	maxFiles      = 100_000
)

func newExport(s *Source) *export {
	x := s.conf.Export
	e := &export{s: s, file: filepath.Join(s.conf.Dir, "export.json"), now: time.Now}
	e.state.Query = strings.Join([]string{s.client.base.String(), x.Group, strings.Join(x.Types, ",")}, " ")
	return e
}

func (e *export) run(ctx context.Context, accept broker.Accept) {
	log := e.s.log.With("reads", "$export")
	fresh := e.state
	if err := load(e.file, &e.state); err != nil || e.state.Query != fresh.Query {
		e.state = fresh
		if err != nil {
			log.Warn("what was exported is not remembered", "error", err)
		}
	}
	failed := 0
	for ctx.Err() == nil {
		wait, err := e.next(ctx, accept)
		if ctx.Err() != nil {
			return
		}
		e.problem.note(log, err)
		if err != nil {
			wait = e.s.backOff(err, failed)
			failed++
		} else {
			failed = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// next does the next step and says how long to wait before the one after it.
func (e *export) next(ctx context.Context, accept broker.Accept) (wait time.Duration, err error) {
	st := &e.state
	switch {
	case st.Done:
		return 0, e.end(ctx)
	case st.Status == "":
		if due := st.Asked.Add(e.s.conf.Export.Every); !st.Asked.IsZero() && due.After(e.now()) {
			return min(due.Sub(e.now()), time.Minute), nil // in pieces: clocks are set
		}
		return 0, e.kickOff(ctx)
	case st.Time == "":
		return e.await(ctx)
	}
	for len(st.Files) > 0 {
		if err := e.readFile(ctx, accept); err != nil {
			return 0, e.gone(err)
		}
		st.Files = st.Files[1:]
		if err := save(e.file, st); err != nil {
			return 0, err
		}
	}
	st.Since, st.Done = st.Time, true
	return 0, save(e.file, st)
}

// kickOff asks for an export.
func (e *export) kickOff(ctx context.Context) error {
	x := e.s.conf.Export
	path := "$export"
	if x.Group != "" {
		path = "Group/" + x.Group + "/$export"
	}
	q := url.Values{"_outputFormat": {ndjsonType}}
	if len(x.Types) > 0 {
		q.Set("_type", strings.Join(x.Types, ","))
	}
	if since := e.state.Since; since != "" {
		q.Set("_since", since)
	} else if x.Since != "" {
		q.Set("_since", x.Since)
	}
	header := http.Header{"Accept": {mediaType}, "Prefer": {"respond-async"}}
	resp, _, err := e.s.client.read(ctx, http.MethodGet, e.s.client.at(path+"?"+q.Encode()), header, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return &serverError{status: resp.StatusCode, text: fmt.Sprintf("the FHIR server answered %d to the request for an export: 202 is expected", resp.StatusCode)}
	}
	at, err := e.s.client.within(resp.Header.Get("Content-Location"))
	if err != nil || resp.Header.Get("Content-Location") == "" {
		return &serverError{status: resp.StatusCode, text: "the FHIR server does not say where the export's status is (Content-Location), or it is at another origin"}
	}
	e.s.log.Info("export asked for", "since", q.Get("_since"))
	e.state.Asked, e.state.Status = e.now().UTC(), at.String()
	return save(e.file, e.state)
}

const ndjsonType = "application/fhir+ndjson"

// await asks how the job stands, and remembers its files once it is done.
func (e *export) await(ctx context.Context) (time.Duration, error) {
	resp, body, err := e.s.client.read(ctx, http.MethodGet, e.state.Status, http.Header{"Accept": {"application/json"}}, nil)
	var server *serverError
	if errors.As(err, &server) && server.status/100 == 5 && !slices.Contains(server.codes, "transient") && server.after == 0 && len(server.codes) > 0 {
		// The job has failed (not: the server is busy). It is asked for again.
		return 0, errors.Join(e.forget(), &serverError{status: server.status, text: "the FHIR server's export has failed: " + server.text})
	}
	if err != nil {
		return 0, e.gone(err)
	}
	if resp.StatusCode == http.StatusAccepted {
		e.s.log.Info("export is under way", "percent", percent(resp.Header.Get("X-Progress")))
		wait := retryAfter(resp.Header, e.now())
		if wait == 0 {
			wait = min(maxStatusWait, max(e.s.firstWait/5, e.now().Sub(e.state.Asked)/4)) // an export of hours is not asked every second
		}
		return wait, nil
	}
	type file struct {
		URL string `json:"url"`
	}
	var m struct {
		Time    string `json:"transactionTime"`
		Token   bool   `json:"requiresAccessToken"`
		Output  []file `json:"output"`
		Deleted []file `json:"deleted"`
		Error   []file `json:"error"`
	}
	if json.Unmarshal(body, &m) != nil || checkSince(m.Time) != nil || m.Time == "" {
		return 0, &serverError{status: resp.StatusCode, text: "the export's manifest is no JSON, or has no transactionTime"}
	}
	e.state.Files = nil
	for _, list := range []struct {
		kind  string
		files []file
	}{{"output", m.Output}, {"deleted", m.Deleted}, {"error", m.Error}} {
		for _, f := range list.files {
			if err := e.mayRead(f.URL, m.Token); err != nil {
				return 0, err
			}
			e.state.Files = append(e.state.Files, exportFile{URL: f.URL, Kind: list.kind})
		}
	}
	if len(e.state.Files) > maxFiles {
		return 0, &serverError{text: fmt.Sprintf("the export has over %d files", maxFiles)}
	}
	e.s.log.Info("export is there", "files", len(e.state.Files))
	e.state.Time, e.state.Token = m.Time, m.Token
	return 0, save(e.file, e.state)
}

// mayRead refuses files that would get our token at another origin, and those
// that travel in the clear.
func (e *export) mayRead(address string, token bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || len(address) > maxLink:
		return &serverError{text: "a file of the export has no address"}
	case sameOrigin(u, e.s.client.base):
		return nil
	case token:
		return &serverError{text: "a file of the export is at another origin and asks for our token: it is not given away"}
	case u.Scheme != "https":
		return &serverError{text: "a file of the export is at another origin, and not by https://"}
	}
	return nil
}

// percent reads the number of an X-Progress, -1 without one: the rest is text
// that the server chose.
func percent(progress string) int {
	n, digits := 0, 0
	for _, c := range progress {
		switch {
		case c >= '0' && c <= '9' && digits < 3:
			n, digits = n*10+int(c-'0'), digits+1
		case c == '%' && digits > 0 && n <= 100:
			return n
		default:
			n, digits = 0, 0
		}
	}
	return -1
}

// gone forgets a job that the server does not know any more.
func (e *export) gone(err error) error {
	var server *serverError
	if errors.As(err, &server) && (server.status == http.StatusNotFound || server.status == http.StatusGone) {
		return errors.Join(&serverError{text: "the FHIR server's export has expired: it is asked for again"}, e.forget())
	}
	return err
}

// forget gives a job up. The next one asks for the same again.
func (e *export) forget() error {
	e.state = exportState{Query: e.state.Query, Since: e.state.Since}
	return save(e.file, e.state)
}

// end asks the server to delete the job's files and waits for the next time.
func (e *export) end(ctx context.Context) error {
	_, _, err := e.s.client.read(ctx, http.MethodDelete, e.state.Status, http.Header{"Accept": {mediaType}}, nil)
	var server *serverError
	if err != nil && (!errors.As(err, &server) || server.passes()) {
		return err
	}
	e.s.log.Info("export is read", "until", e.state.Time)
	e.state = exportState{Query: e.state.Query, Since: e.state.Since, Asked: e.state.Asked}
	return save(e.file, e.state)
}
