package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// own is a resource that we write.
type own struct {
	typ    string
	search string // identifier=system|value, as a query
	body   []byte
	fields map[string]any
}

// readOwn reads a document. system chooses the identifier, "" the first.
func readOwn(doc []byte, system string) (*own, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	o := &own{body: doc}
	if dec.Decode(&o.fields) != nil {
		return nil, errors.New("the document is no JSON")
	}
	if o.typ = text(o.fields, "resourceType"); !isResource(o.typ) {
		return nil, errors.New("the document is no resource of R4")
	}
	identifiers, isList := o.fields["identifier"].([]any)
	if !isList {
		identifiers = []any{o.fields["identifier"]} // some have one only
	}
	for _, i := range identifiers {
		m, _ := i.(map[string]any)
		s, v := text(m, "system"), text(m, "value")
		if v != "" && (s == system || system == "") && s != "" {
			o.search = "identifier=" + url.QueryEscape(token(s)+"|"+token(v))
			return o, nil
		}
	}
	if system != "" {
		return nil, errors.New(o.typ + ".identifier: there is none of the system that the target asks for: the resource could not be known again")
	}
	return nil, errors.New(o.typ + ".identifier: there is none with system and value: the resource could not be known again")
}

// token escapes what means something in a search value (search.html#escaping).
func token(s string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, ",", `\,`, "$", `\$`).Replace(s)
}

// put creates the resource or makes the one that is there say the same.
// request is the same whenever this is tried again.
func (s *Sink) put(ctx context.Context, o *own, request string) error {
	conditional, err := s.conditionally(ctx, o.typ)
	if err != nil {
		return err
	}
	header := http.Header{"Accept": {mediaType}, "Content-Type": {mediaType}, "Prefer": {"return=minimal"}, "X-Request-Id": {request}}
	var there *found
	if !conditional { // the server would make a second one
		if there, err = s.find(ctx, o); err != nil {
			return err
		}
	}
	if there == nil {
		if conditional {
			header.Set("If-None-Exist", o.search)
		}
		resp, _, err := s.client.read(ctx, http.MethodPost, s.client.at(o.typ), header, o.body)
		if err != nil {
			return several(err)
		}
		if resp.StatusCode == http.StatusCreated || !conditional {
			return nil
		}
		header.Del("If-None-Exist")
		if there, err = s.find(ctx, o); err != nil {
			return err
		}
		if there == nil {
			return &serverError{status: http.StatusConflict, text: "the FHIR server says that the resource is there, and does not find it"}
		}
	}
	return s.update(ctx, o, there, header)
}

// several names the answer to a condition that more than one resource meets.
func several(err error) error {
	var e *serverError
	if errors.As(err, &e) && e.status == http.StatusPreconditionFailed {
		return &serverError{status: e.status, text: "several resources have the identifier: merge them at the server"}
	}
	return err
}

// found is a resource of the server.
type found struct {
	id     string
	etag   string
	fields map[string]any
}

// find looks for the resource by its identifier; nil says that there is none.
func (s *Sink) find(ctx context.Context, o *own) (*found, error) {
	header := http.Header{"Accept": {mediaType}, "Cache-Control": {"no-cache"}}
	_, body, err := s.client.read(ctx, http.MethodGet, s.client.at(o.typ+"?"+o.search), header, nil)
	if err != nil {
		return nil, err
	}
	var b bundle
	if json.Unmarshal(body, &b) != nil || b.Resource != bundleName {
		return nil, &serverError{text: "the FHIR server's answer to a search is no Bundle"}
	}
	var there *found
	for _, e := range b.Entry {
		h := readHead(e.Resource)
		if h.Type != o.typ || e.Search.Mode != "" && e.Search.Mode != "match" {
			continue
		}
		if there != nil {
			return nil, several(&serverError{status: http.StatusPreconditionFailed})
		}
		there = &found{id: h.ID}
		if h.Meta.Version != "" {
			there.etag = fmt.Sprintf(`W/"%s"`, h.Meta.Version)
		}
		dec := json.NewDecoder(bytes.NewReader(e.Resource))
		dec.UseNumber()
		if dec.Decode(&there.fields) != nil || !isID(h.ID) {
			return nil, &serverError{text: "the FHIR server found a resource that can not be read"}
		}
	}
	return there, nil
}

// update writes the resource that is there, unless it says the same.
func (s *Sink) update(ctx context.Context, o *own, there *found, header http.Header) error {
	if same(o.fields, there.fields) {
		return nil
	}
	o.fields["id"] = there.id
	body, err := json.Marshal(o.fields)
	delete(o.fields, "id")
	if err != nil {
		return &serverError{status: http.StatusBadRequest, text: "the document can not be written"}
	}
	if there.etag != "" {
		header.Set("If-Match", there.etag)
	}
	_, _, err = s.client.read(ctx, http.MethodPut, s.client.at(o.typ+"/"+there.id), header, body)
	var e *serverError
	if !errors.As(err, &e) {
		return err
	}
	switch e.status {
	case http.StatusPreconditionFailed:
		return &serverError{status: http.StatusConflict, text: "somebody has written the resource meanwhile: it is read again"}
	case http.StatusNotFound, http.StatusGone:
		return &serverError{status: http.StatusConflict, text: "somebody has deleted the resource meanwhile: it is looked for again"}
	}
	return err
}

// same says whether what is there has all that we say and nothing else but
// what a server adds by itself.
func same(ours, theirs map[string]any) bool {
	for name, v := range theirs {
		if name == "id" || name == "meta" || name == "text" {
			continue
		}
		if !reflect.DeepEqual(ours[name], v) {
			return false
		}
	}
	for name := range ours {
		if _, ok := theirs[name]; !ok && name != "id" && name != "meta" {
			return false
		}
	}
	return true
}
