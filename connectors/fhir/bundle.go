package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// maxEntries bounds the entries of one Bundle that is sent to us.
const maxEntries = 10_000

// A bundle is as much of a Bundle as moves its resources about.
type bundle struct {
	Resource string `json:"resourceType"`
	Type     string `json:"type"`
	Link     []struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	} `json:"link"`
	Entry []entry `json:"entry"`
}

type entry struct {
	FullURL  string          `json:"fullUrl"`
	Resource json.RawMessage `json:"resource"` // its exact bytes
	Search   struct {
		Mode string `json:"mode"`
	} `json:"search"`
	Request struct {
		Method          string `json:"method"`
		URL             string `json:"url"`
		IfNoneMatch     string `json:"ifNoneMatch"`
		IfModifiedSince string `json:"ifModifiedSince"`
		IfMatch         string `json:"ifMatch"`
		IfNoneExist     string `json:"ifNoneExist"`
	} `json:"request"`
	Response struct {
		ETag         string `json:"etag"`
		LastModified string `json:"lastModified"`
	} `json:"response"`
}

// bundle takes a transaction or a batch (http.html#transaction). What stands in
// a transaction is taken as a whole or not at all; of a batch each entry
// stands for itself.
func (e *endpoint) bundle(w http.ResponseWriter, r *http.Request, accept broker.Accept, body []byte) {
	began := time.Now()
	if issues := validate(body, ValidationJSON); len(issues) > 0 {
		e.refuse(w, r, reply{http.StatusBadRequest, "syntax", issues})
		return
	}
	var b bundle
	if err := json.Unmarshal(body, &b); err != nil || b.Resource != bundleName || b.Type != "transaction" && b.Type != "batch" {
		e.refuse(w, r, refuse(http.StatusBadRequest, "syntax", "invalid", "here a Bundle of type transaction or batch is expected; what is one resource, other Bundles too, goes to its type's address"))
		return
	}
	if len(b.Entry) > maxEntries {
		e.refuse(w, r, refuse(http.StatusRequestEntityTooLarge, "too_large", "too-long", fmt.Sprintf("a Bundle has at most %d entries", maxEntries)))
		return
	}
	apart := b.Type == "batch"
	if !apart && e.conf.Validation == ValidationR4 {
		if issues := validate(body, ValidationR4); len(issues) > 0 {
			e.refuse(w, r, reply{http.StatusBadRequest, "syntax", issues})
			return
		}
	}
	ds := e.deliveries(&b, body)
	if bad := faults(ds); !apart && len(bad) > 0 {
		e.refuse(w, r, reply{http.StatusBadRequest, "syntax", bad})
		return
	}
	stored := ds
	whole := !apart && e.conf.Transactions == TransactionsWhole
	if whole {
		stored = []*delivery{{msg: e.s.resource(body, r.Header.Get("X-Request-Id"), time.Now().UTC())}}
	}
	e.take(r.Context(), accept, stored, apart)
	for _, d := range stored {
		// Nothing was taken, or nothing of a transaction: the request as a whole has failed.
		if d.reply.reason != "" && (!apart || d.reply.status == http.StatusServiceUnavailable && !slices.ContainsFunc(ds, taken)) {
			e.send(w, d.reply)
			return
		}
	}
	write(w, http.StatusOK, responses(b.Type+"-response", &b, ds))
	e.s.meters.Answered(r.Context(), began)
}

func taken(d *delivery) bool { return d.reply.reason == "" }

func faults(ds []*delivery) (issues []issue) {
	for _, d := range ds {
		if issues = append(issues, d.reply.issues...); len(issues) >= maxIssues {
			return issues[:maxIssues]
		}
	}
	return issues
}

// deliveries makes a delivery of each entry, all of them one group.
func (e *endpoint) deliveries(b *bundle, body []byte) []*delivery {
	now := time.Now().UTC()
	group := broker.Group{ID: e.s.origin.MessageID("bundle", body), Count: len(b.Entry)}
	ds := make([]*delivery, len(b.Entry))
	written := map[string]bool{} // Patient/123
	for i := range b.Entry {
		d := &delivery{}
		ds[i] = d
		entry := &b.Entry[i]
		typ, id, bad := e.request(b, entry)
		at := fmt.Sprintf("Bundle.entry[%d]", i)
		switch {
		case bad != "":
			d.reply = reply{http.StatusBadRequest, "unsupported", []issue{{"not-supported", at + ".request", bad}}}
		case id != "" && b.Type == "transaction" && written[typ+"/"+id]: // http.html#trules
			d.reply = reply{http.StatusBadRequest, "syntax", []issue{{"invalid", at + ".request.url", "a transaction writes a resource once: another entry has this url"}}}
		case entry.Request.Method == http.MethodDelete:
			d.msg = e.s.deletion(typ, id, "", fmt.Sprintf("%s.%d", group.ID, i), now)
		default:
			if d.reply = e.entryCheck(b, entry, typ, id); d.reply.status != 0 {
				for n := range d.reply.issues {
					_, rest, below := strings.Cut(d.reply.issues[n].path, ".")
					d.reply.issues[n].path = at + ".resource"
					if below {
						d.reply.issues[n].path += "." + rest
					}
				}
				break
			}
			// Two creates may have one content: their places tell them apart.
			d.msg = e.s.resource(entry.Resource, fmt.Sprintf("%s.%d", group.ID, i), now)
			if entry.Request.Method == http.MethodPost {
				d.place(e, typ)
			}
		}
		if d.msg != nil {
			group.Index = i
			d.msg.Group = group
			written[typ+"/"+id] = true
		}
	}
	if b.Type == "transaction" { // the entries of a batch know nothing of each other
		resolve(b, ds)
	}
	return ds
}

// resolve lets the entries refer to each other by what they are called after
// the transaction, Patient/123, instead of by the fullUrl of their entries (R4
// http.html#trules). A reference that is relative continues the server's address
// in the fullUrl of the entry that it stands in (bundle.html#references).
func resolve(b *bundle, ds []*delivery) {
	ids := map[string]string{} // references by fullUrl
	for i, d := range ds {
		entry := &b.Entry[i]
		if d.msg == nil || entry.FullURL == "" || entry.Request.Method == http.MethodDelete {
			continue
		}
		typ, _, _ := strings.Cut(entry.Request.URL, "/")
		if id := typ + "/" + readHead(d.msg.Body).ID; !strings.HasSuffix(entry.FullURL, "/"+id) {
			ids[entry.FullURL] = id
		}
	}
	if len(ids) == 0 {
		return
	}
	for i, d := range ds {
		if d.msg == nil {
			continue
		}
		base := serverOf(b.Entry[i].FullURL)
		d.msg.Body = reference.ReplaceAllFunc(d.msg.Body, func(is []byte) []byte {
			at := bytes.LastIndexByte(is[:len(is)-1], '"')
			to := string(is[at+1 : len(is)-1])
			id := ids[to]
			if id == "" && base != "" {
				id = ids[base+to]
			}
			if id != "" {
				return slices.Concat(is[:at], []byte(strconv.Quote(id)))
			}
			return is
		})
	}
}

// reference is a Reference.reference. An identifier may have the same text as its
// value, and keeps it.
var reference = regexp.MustCompile(`"reference"\s*:\s*"[^"\\]*"`)

// serverOf is what stands before Patient/123 in a fullUrl, "" in one of another form.
func serverOf(fullURL string) string {
	if !strings.HasPrefix(fullURL, "http") {
		return ""
	}
	steps := strings.Split(fullURL, "/")
	n := len(steps)
	if n < 5 || !isResource(steps[n-2]) {
		return ""
	}
	return strings.Join(steps[:n-2], "/") + "/"
}

// entryCheck checks the resource of an entry; in a transaction all but its name
// has been checked with the Bundle.
func (e *endpoint) entryCheck(b *bundle, entry *entry, typ, id string) reply {
	if b.Type == "batch" {
		return e.check(entry.Resource, typ, id)
	}
	h := readHead(entry.Resource)
	if h.Type != typ || id != "" && h.ID != id {
		return reply{http.StatusBadRequest, "syntax", []issue{{"invalid", "", "its type, or its id, is not that of the request's url"}}}
	}
	return reply{}
}

// request reads what an entry asks for. bad says why that can not be done here.
func (e *endpoint) request(b *bundle, entry *entry) (typ, id, bad string) {
	whole := b.Type == "transaction" && e.conf.Transactions == TransactionsWhole
	req := &entry.Request
	path, query, conditional := strings.Cut(req.URL, "?")
	typ, id, hasID := strings.Cut(path, "/")
	resource := len(entry.Resource) > 0
	switch {
	case req.IfMatch != "" || req.IfNoneMatch != "" || req.IfModifiedSince != "":
		bad = "ifMatch, ifNoneMatch and ifModifiedSince can not be judged here: this endpoint keeps no resources"
	case !whole && (req.IfNoneExist != "" || conditional):
		bad = "a condition can not be judged here, and would be lost when the entry is taken by itself"
	case !isResource(typ) || hasID && !isID(id) || conditional && (hasID || query == ""):
		bad = "its url is none of Patient, Patient/123 and Patient?identifier=…"
	case req.Method == http.MethodPost && (hasID || conditional || !resource), req.Method == http.MethodPut && (!hasID && !conditional || !resource):
		bad = "POST goes to the address of a type, PUT to that of a resource, both with a resource"
	case req.Method == http.MethodDelete && (!hasID && !conditional || resource):
		bad = "DELETE goes to the address of a resource, without one"
	case req.Method != http.MethodPost && req.Method != http.MethodPut && req.Method != http.MethodDelete:
		bad = "here can be sent: POST, PUT and DELETE; nothing can be read"
	}
	return typ, id, bad
}

// responses is the Bundle that answers, entry by entry.
func responses(typ string, b *bundle, ds []*delivery) any {
	type response struct {
		Status   string       `json:"status"`
		Location string       `json:"location,omitempty"`
		Outcome  *jsonOutcome `json:"outcome,omitempty"`
	}
	type entry struct {
		Response response `json:"response"`
	}
	out := struct {
		Resource string  `json:"resourceType"`
		Type     string  `json:"type"`
		Entry    []entry `json:"entry,omitempty"`
	}{bundleName, typ, make([]entry, len(ds))}
	for i, d := range ds {
		status := d.reply.status
		switch {
		case status != 0:
			outcome := d.reply.outcome()
			out.Entry[i].Response.Outcome = &outcome
		case b.Entry[i].Request.Method == http.MethodPost:
			status = http.StatusCreated
			out.Entry[i].Response.Location = d.created
		default:
			status = http.StatusOK
		}
		out.Entry[i].Response.Status = fmt.Sprintf("%d %s", status, http.StatusText(status))
	}
	return out
}
