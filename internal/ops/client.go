package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

const (
	headerBy   = "X-Vagus-By"
	maxAnswer  = 32 << 20
	answerTime = time.Minute
)

// A Client asks the API. Refusals come back as [*Error]; a server that can not
// be reached gives an error that says what to look at. Safe for concurrent use.
type Client struct {
	base  string
	token broker.Secret
	by    string
	http  *http.Client
}

// NewClient returns a client of the API at base, such as
// "http://127.0.0.1:8480". by is the name of the person who asks; it may be "".
func NewClient(base string, token broker.Secret, by string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("the API's address is not a URL such as http://" + DefaultAddr + ": correct --api or VAGUS_API")
	}
	return &Client{
		base: strings.TrimRight(u.String(), "/"), token: token, by: by,
		http: &http.Client{
			Timeout:       answerTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Status returns the state of a worker, or of an agent.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Messages returns a page of what q selects, newest first.
func (c *Client) Messages(ctx context.Context, q Query) (Page, error) {
	v := url.Values{}
	set := func(name, s string) {
		if s != "" {
			v.Set(name, s)
		}
	}
	set("feed", q.Feed)
	set("site", q.Site)
	set("target", q.Target)
	set("kind", q.Kind)
	set("sender_id", q.SenderID)
	set("class", q.Class)
	set("before", q.Before)
	for _, s := range q.Status {
		v.Add("status", string(s))
	}
	for _, id := range q.IDs {
		v.Add("id", id)
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return call[Page](ctx, c, http.MethodGet, "/v1/messages?"+v.Encode(), nil)
}

// Message returns the unit whose id, or whose message's id, begins with id.
func (c *Client) Message(ctx context.Context, id string) (Detail, error) {
	return call[Detail](ctx, c, http.MethodGet, "/v1/messages/"+url.PathEscape(id), nil)
}

// Discard says that a dead unit is not wanted, and why.
func (c *Client) Discard(ctx context.Context, id, why string) (Detail, error) {
	return call[Detail](ctx, c, http.MethodPost, "/v1/messages/"+url.PathEscape(id)+"/discard", discardRequest{why})
}

// Plan makes and stores the plan of a replay. Nothing happens until Start.
func (c *Client) Plan(ctx context.Context, p PlanRequest) (ledger.Replay, error) {
	return call[ledger.Replay](ctx, c, http.MethodPost, "/v1/replays", p)
}

// Start has the worker carry out a plan, rate units a second (0: at its
// own rate). Starting it again is harmless.
func (c *Client) Start(ctx context.Context, id string, rate float64) (ledger.Replay, error) {
	return call[ledger.Replay](ctx, c, http.MethodPost, "/v1/replays/"+url.PathEscape(id)+"/start", StartRequest{rate})
}

// Replay returns a plan with its progress.
func (c *Client) Replay(ctx context.Context, id string) (ledger.Replay, error) {
	return call[ledger.Replay](ctx, c, http.MethodGet, "/v1/replays/"+url.PathEscape(id), nil)
}

// Replays returns all plans, newest first.
func (c *Client) Replays(ctx context.Context) ([]ledger.Replay, error) {
	return call[[]ledger.Replay](ctx, c, http.MethodGet, "/v1/replays", nil)
}

// Items returns all items of a plan, in its order, each with where its unit
// stands now.
func (c *Client) Items(ctx context.Context, id string) ([]Item, error) {
	var all []Item
	for {
		page, err := call[[]Item](ctx, c, http.MethodGet, fmt.Sprintf("/v1/replays/%s/items?from=%d&limit=%d", url.PathEscape(id), len(all), maxPage), nil)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < maxPage {
			return all, nil
		}
	}
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (v T, err error) {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return v, fmt.Errorf("encode request: %w", err)
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, send)
	if err != nil {
		return v, fmt.Errorf("make request: %w", err)
	}
	if !c.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	if c.by != "" {
		req.Header.Set(headerBy, c.by)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address twice, and without the query
		}
		return v, fmt.Errorf("%s does not answer: %w: is `vagus worker` (or `vagus up`) running there? Give another address with --api or VAGUS_API", c.base, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return v, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if len(data) > maxAnswer {
		return v, fmt.Errorf("the answer of %s is larger than %d bytes: ask for less with --limit", c.base, maxAnswer)
	}
	if res.StatusCode != http.StatusOK {
		e := &Error{Code: res.StatusCode}
		if json.Unmarshal(data, e) != nil || e.Message == "" {
			e.Message = fmt.Sprintf("%s answered %s, and that is no answer of Vagus", c.base, res.Status)
			e.Fix = "is the address in --api or VAGUS_API that of a vagus worker?"
		}
		return v, e
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("%s does not answer as Vagus does: is the address in --api or VAGUS_API that of a vagus worker?", c.base)
	}
	return v, nil
}
