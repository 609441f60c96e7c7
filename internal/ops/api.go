package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// APIConfig is what the API answers from. A worker has a Ledger; an agent has
// Sites only, and answers /v1/status.
type APIConfig struct {
	Service string // "vagus-worker", "vagus-agent"
	Ledger  ledger.Ledger
	Targets func(ctx context.Context) ([]TargetStatus, error) // nil = none
	Sites   func(ctx context.Context) ([]SiteStatus, error)   // nil = none
	Bounds  func(ctx context.Context) ([]Bound, error)        // nil = none
	Now     func() time.Time                                  // time.Now if nil
	Log     *slog.Logger                                      // also the audit log; nil = discard
}

// Bounds of what a caller may ask for.
const (
	defaultPage = 100
	maxPage     = 1000
	maxIDs      = 1000
	maxText     = 256
	maxWhy      = 500
	maxRate     = 10000
	maxName     = 64
)

// NewAPI returns the handler of everything under /v1. It trusts its caller: a
// [Server] asks for the token first.
func NewAPI(cfg APIConfig) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a := &api{cfg}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/status", a.answer(func(r *http.Request) (any, error) { return a.status(r.Context()), nil }))
	for pattern, h := range map[string]endpoint{
		"GET /v1/messages":               a.messages,
		"GET /v1/messages/{id}":          a.message,
		"POST /v1/messages/{id}/discard": a.discard,
		"GET /v1/replays":                a.replays,
		"POST /v1/replays":               a.plan,
		"GET /v1/replays/{id}":           a.replay,
		"GET /v1/replays/{id}/items":     a.items,
		"POST /v1/replays/{id}/start":    a.start,
	} {
		if cfg.Ledger == nil {
			h = func(*http.Request) (any, error) {
				return nil, &Error{http.StatusNotFound, "this is a site's agent: it has no ledger", "ask a worker: give its address with --api or VAGUS_API"}
			}
		}
		mux.Handle(pattern, a.answer(h))
	}
	mux.Handle("/v1/", a.answer(func(r *http.Request) (any, error) {
		return nil, &Error{http.StatusNotFound, "the API has no " + r.Method + " at this address", "are vagus here and the server of the same version?"}
	}))
	return mux
}

type api struct{ cfg APIConfig }

// An Error is the API's refusal: what is wrong, and what to do about it.
type Error struct {
	Code    int    `json:"-"` // HTTP status
	Message string `json:"error"`
	Fix     string `json:"fix,omitempty"`
}

// Error returns the message and the fix.
func (e *Error) Error() string {
	if e.Fix == "" {
		return e.Message
	}
	return e.Message + ": " + e.Fix
}

// An endpoint returns what is answered as JSON.
type endpoint func(r *http.Request) (any, error)

func (a *api) answer(h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		var e *Error
		switch {
		case err == nil:
			writeJSON(w, http.StatusOK, v)
		case errors.As(err, &e):
			writeError(w, e)
		case errors.Is(err, ledger.ErrNotFound):
			writeError(w, &Error{http.StatusNotFound, err.Error(), "list what there is with `vagus messages ls` or `vagus replay --list`"})
		default:
			a.cfg.Log.WarnContext(r.Context(), "a request could not be answered", "path", r.Pattern, "error", err)
			writeError(w, &Error{http.StatusInternalServerError, clip(err.Error(), 300), "see the worker's log; `vagus status` tells whether its ledger answers"})
		}
	})
}

// A Query selects units. Zero fields select all.
type Query struct {
	IDs      []string        `json:"ids,omitempty"` // beginnings of ids, of units or messages
	Feed     string          `json:"feed,omitempty"`
	Site     string          `json:"site,omitempty"`
	Target   string          `json:"target,omitempty"`
	Status   []ledger.Status `json:"status,omitempty"`
	Kind     string          `json:"kind,omitempty"`
	SenderID string          `json:"sender_id,omitempty"`
	Class    string          `json:"class,omitempty"`
	Since    time.Time       `json:"since,omitzero"` // of the receipt
	Until    time.Time       `json:"until,omitzero"`
	Limit    int             `json:"limit,omitempty"`
	Before   string          `json:"before,omitempty"` // the Next of the page before
}

// Statuses are all that a unit may have, in the order of its life.
var Statuses = []ledger.Status{ledger.Claimed, ledger.Applied, ledger.Skipped, ledger.Parked, ledger.Dead, ledger.Discarded}

func (q *Query) filter() (ledger.Filter, error) {
	for name, v := range map[string]string{"feed": q.Feed, "site": q.Site, "target": q.Target, "kind": q.Kind, "sender_id": q.SenderID, "class": q.Class} {
		if len(v) > maxText {
			return ledger.Filter{}, bad(name+" is too long", fmt.Sprintf("use %d bytes at most", maxText))
		}
	}
	for _, s := range q.Status {
		if !slices.Contains(Statuses, s) {
			return ledger.Filter{}, bad(fmt.Sprintf("there is no status %q", clip(string(s), 40)), fmt.Sprintf("use one of %v", Statuses))
		}
	}
	if len(q.IDs) > maxIDs {
		return ledger.Filter{}, bad("too many ids", fmt.Sprintf("name %d at most, or select by feed, status and time", maxIDs))
	}
	for _, id := range q.IDs {
		if err := checkID(id); err != nil {
			return ledger.Filter{}, err
		}
	}
	if q.Before != "" {
		if err := checkID(q.Before); err != nil {
			return ledger.Filter{}, err
		}
	}
	if q.Limit < 0 || q.Limit > maxPage {
		return ledger.Filter{}, bad("limit is out of bounds", fmt.Sprintf("use 1 to %d; go on with before", maxPage))
	}
	return ledger.Filter{IDs: q.IDs, Feed: q.Feed, Site: q.Site, Target: q.Target, Kind: q.Kind, SenderID: q.SenderID, Class: q.Class,
		Status: q.Status, Since: q.Since, Until: q.Until, Limit: q.Limit, Before: q.Before}, nil
}

// checkID says whether s can be the beginning of a unit's or message's id.
func checkID(s string) error {
	ok := len(s) >= 4 && len(s) <= 32
	for _, c := range s {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '2' && c <= '7')
	}
	if !ok {
		return bad("that is not an id", "give 4 characters at least of what `vagus messages ls` prints under ID: a-z and 2-7")
	}
	return nil
}

func bad(message, fix string) *Error { return &Error{http.StatusBadRequest, message, fix} }

// A Page is a part of a list, newest first. Next goes into Before of the query
// for the rest; "" if there is none.
type Page struct {
	Messages []ledger.Unit `json:"messages"`
	Next     string        `json:"next,omitempty"`
}

func (a *api) messages(r *http.Request) (any, error) {
	v := r.URL.Query()
	q := Query{Feed: v.Get("feed"), Site: v.Get("site"), Target: v.Get("target"), Kind: v.Get("kind"),
		SenderID: v.Get("sender_id"), Class: v.Get("class"), Before: v.Get("before"), IDs: v["id"]}
	for name := range v {
		if !slices.Contains([]string{"feed", "site", "target", "kind", "sender_id", "class", "before", "id", "status", "since", "until", "limit"}, name) {
			return nil, bad(fmt.Sprintf("there is no filter %q", clip(name, 40)), "use feed, site, target, status, kind, since, until, sender_id, class, id, limit, before")
		}
	}
	for _, s := range v["status"] {
		for one := range strings.SplitSeq(s, ",") {
			q.Status = append(q.Status, ledger.Status(one))
		}
	}
	for name, t := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := v.Get(name); s != "" {
			var err error
			if *t, err = time.Parse(time.RFC3339Nano, s); err != nil {
				return nil, bad(name+" is not a time", "write it as 2026-03-01T04:00:00Z")
			}
		}
	}
	if s := v.Get("limit"); s != "" {
		var err error
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 {
			return nil, bad("limit is not a number above 0", fmt.Sprintf("use 1 to %d", maxPage))
		}
	}
	f, err := q.filter()
	if err != nil {
		return nil, err
	}
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	limit := f.Limit
	f.Limit++ // one more tells whether there is a next page
	us, err := a.cfg.Ledger.Units(r.Context(), f)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	p := Page{Messages: us}
	if len(us) > limit {
		p.Messages, p.Next = us[:limit], us[limit-1].ID
	}
	if p.Messages == nil {
		p.Messages = []ledger.Unit{}
	}
	return p, nil
}

// A Detail is one unit and every hop of its way.
type Detail struct {
	Unit ledger.Unit  `json:"unit"`
	Hops []ledger.Hop `json:"hops"`
}

func (a *api) message(r *http.Request) (any, error) {
	u, history, err := a.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return Detail{u, hops(u, history)}, nil
}

// find returns the one unit whose id, or whose message's id, begins so.
func (a *api) find(ctx context.Context, id string) (ledger.Unit, []ledger.Hop, error) {
	if err := checkID(id); err != nil {
		return ledger.Unit{}, nil, err
	}
	u, history, err := a.cfg.Ledger.Unit(ctx, id)
	if !errors.Is(err, ledger.ErrNotFound) {
		if err != nil {
			err = fmt.Errorf("read unit: %w", err)
		}
		return u, history, err
	}
	const few = 8
	us, err := a.cfg.Ledger.Units(ctx, ledger.Filter{IDs: []string{id}, Limit: few + 1})
	if err != nil {
		return ledger.Unit{}, nil, fmt.Errorf("read unit: %w", err)
	}
	if len(us) == 0 {
		return ledger.Unit{}, nil, notFound(id)
	}
	return ledger.Unit{}, nil, ambiguous(id, us, few)
}

func notFound(id string) *Error {
	return &Error{http.StatusNotFound, fmt.Sprintf("no unit or message has an id that begins with %q", id),
		"`vagus messages ls` lists them; a message that has not reached the cloud yet is in the journal of its site"}
}

func ambiguous(id string, us []ledger.Unit, few int) *Error {
	var b strings.Builder
	for i, u := range us {
		if i == few {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s at %s)", u.ID, u.Kind, u.Target)
	}
	return &Error{http.StatusConflict, fmt.Sprintf("more than one unit or message has an id that begins with %q", id), "give one unit's id: " + b.String()}
}

// hops is the way of a unit from its receipt on. The steps before the cloud
// come in the order of cause, whatever the clocks of a site say.
func hops(u ledger.Unit, history []ledger.Hop) []ledger.Hop {
	var hs []ledger.Hop
	add := func(at time.Time, what, reason string) {
		if !at.IsZero() {
			hs = append(hs, ledger.Hop{At: at, What: what, Reason: reason})
		}
	}
	add(u.ReceivedAt, "received", "by feed "+u.Feed+" of site "+u.Site)
	by := ""
	if u.Mapping != "" { // no mapping wanted some
		by = "by " + u.Mapping
	}
	add(u.MappedAt, "mapped", by)
	add(u.StoredAt, "stored", "in the cloud, at position "+strconv.FormatUint(u.Seq, 10))
	n := len(hs)
	if !slices.ContainsFunc(history, func(h ledger.Hop) bool { return h.What == string(ledger.Claimed) }) {
		add(u.ClaimedAt, "claimed", "by a worker for "+u.Target)
	}
	hs = append(hs, history...)
	slices.SortStableFunc(hs[n:], func(x, y ledger.Hop) int { return x.At.Compare(y.At) })
	return hs
}

type discardRequest struct {
	Why string `json:"why"`
}

func (a *api) discard(r *http.Request) (any, error) {
	var req discardRequest
	if err := readJSON(r, &req); err != nil {
		return nil, err
	}
	req.Why = strings.TrimSpace(req.Why)
	if req.Why == "" || len(req.Why) > maxWhy {
		return nil, bad("a reason is missing or too long", fmt.Sprintf("say why in %d bytes at most, without naming a patient", maxWhy))
	}
	by, err := caller(r)
	if err != nil {
		return nil, err
	}
	u, _, err := a.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if u.Status != ledger.Dead {
		return nil, &Error{http.StatusConflict, fmt.Sprintf("unit %s is %s, and only a dead one can be discarded", u.ID, u.Status), "`vagus dead ls` lists the dead"}
	}
	if err := a.cfg.Ledger.Discard(r.Context(), u.ID, by, req.Why); err != nil {
		return nil, fmt.Errorf("discard unit %s: %w", u.ID, err)
	}
	a.audit(r, "discard", by, "unit", u.ID)
	u, history, err := a.find(r.Context(), u.ID)
	if err != nil {
		return nil, err
	}
	return Detail{u, hops(u, history)}, nil
}

// caller is the person who asks: the name they give, else their token's.
func caller(r *http.Request) (string, error) {
	token, _ := r.Context().Value(tokenKey{}).(string)
	by := r.Header.Get(headerBy)
	if by == "" {
		return token, nil
	}
	ok := len(by) <= maxName
	for _, c := range by {
		ok = ok && c > ' ' && c < 0x7f
	}
	if !ok {
		return "", bad("the name in "+headerBy+" is not one", fmt.Sprintf("use %d printable ASCII characters at most, without spaces", maxName))
	}
	return by, nil
}

// audit records what a person did. What they wrote about it stays in the
// ledger: free text may name a patient in spite of everything.
func (a *api) audit(r *http.Request, action, by string, args ...any) {
	token, _ := r.Context().Value(tokenKey{}).(string)
	a.cfg.Log.InfoContext(r.Context(), "audit", append([]any{"action", action, "by", by, "token", token}, args...)...)
}

// readJSON decodes a body strictly; an empty one leaves v as it is. The server
// bounds its length.
func readJSON(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && dec.More() {
		err = errors.New("something follows it")
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &Error{http.StatusRequestEntityTooLarge, "the request is too large", fmt.Sprintf("send %d bytes at most", big.Limit)}
	}
	if err != nil {
		return bad("the request is not the JSON that is expected here", "are vagus here and the server of the same version?")
	}
	return nil
}
