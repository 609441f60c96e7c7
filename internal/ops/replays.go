package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker/ledger"
)

// A PlanRequest asks for the plan of a replay: of the units that the query
// selects, or of those of its IDs, each of which must be the beginning of one
// id. Limit and Before are not used.
type PlanRequest struct {
	Query      Query `json:"query"`
	AllowStale bool  `json:"allow_stale,omitempty"`
}

func (a *api) plan(r *http.Request) (any, error) {
	var req PlanRequest
	if err := readJSON(r, &req); err != nil {
		return nil, err
	}
	by, err := caller(r)
	if err != nil {
		return nil, err
	}
	req.Query.Limit, req.Query.Before = 0, ""
	f, err := req.Query.filter()
	if err != nil {
		return nil, err
	}
	if len(f.IDs) == 0 && f.Feed+f.Site+f.Target+f.Kind+f.SenderID+f.Class == "" && len(f.Status) == 0 && f.Since.IsZero() && f.Until.IsZero() {
		return nil, bad("this would replay everything", "name ids, or narrow it by feed, site, target, status, kind, class, since or until")
	}
	if f.IDs, err = a.fullIDs(r.Context(), f.IDs); err != nil {
		return nil, err
	}
	rep, err := a.cfg.Ledger.PlanReplay(r.Context(), ledger.ReplayRequest{Filter: f, AllowStale: req.AllowStale, By: by})
	if err != nil {
		return nil, fmt.Errorf("plan replay: %w", err)
	}
	a.audit(r, "plan replay", by, "replay", rep.ID, "units", rep.Total, "allow_stale", req.AllowStale)
	return rep, nil
}

// fullIDs makes sure that an abbreviated id means one message, so that a
// replay never takes along what nobody named. A message's id stands for all of
// its units.
func (a *api) fullIDs(ctx context.Context, ids []string) ([]string, error) {
	const few = 100
	var full []string
	for _, id := range ids {
		us, err := a.cfg.Ledger.Units(ctx, ledger.Filter{IDs: []string{id}, Limit: few})
		if err != nil {
			return nil, fmt.Errorf("read unit: %w", err)
		}
		if len(us) == 0 {
			return nil, notFound(id)
		}
		if slices.ContainsFunc(us, func(u ledger.Unit) bool { return u.MessageID != us[0].MessageID }) {
			return nil, ambiguous(id, us, 8)
		}
		for _, u := range us {
			if !slices.Contains(full, u.ID) {
				full = append(full, u.ID)
			}
		}
	}
	return full, nil
}

// A StartRequest starts a plan.
type StartRequest struct {
	// Rate is units a second at most; 0 = at the worker's own rate, and for a
	// replay that runs: as it is.
	Rate float64 `json:"rate,omitempty"`
}

func (a *api) start(r *http.Request) (any, error) {
	var req StartRequest
	if err := readJSON(r, &req); err != nil {
		return nil, err
	}
	if !(req.Rate >= 0 && req.Rate <= maxRate) {
		return nil, bad("rate is out of bounds", fmt.Sprintf("use units a second, up to %d; 0 is the worker's own", maxRate))
	}
	by, err := caller(r)
	if err != nil {
		return nil, err
	}
	rep, err := a.findReplay(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if rep.Done == rep.Total || rep.Running && (req.Rate == 0 || req.Rate == rep.Rate) {
		return rep, nil // asking twice is harmless
	}
	if err := a.cfg.Ledger.StartReplay(r.Context(), rep.ID, req.Rate); err != nil {
		return nil, fmt.Errorf("start replay %s: %w", rep.ID, err)
	}
	a.audit(r, "start replay", by, "replay", rep.ID, "units", rep.Total, "rate", req.Rate)
	return a.findReplay(r.Context(), rep.ID)
}

func (a *api) replay(r *http.Request) (any, error) {
	return a.findReplay(r.Context(), r.PathValue("id"))
}

// findReplay returns the replay with this id, or the one whose id begins so.
func (a *api) findReplay(ctx context.Context, id string) (ledger.Replay, error) {
	if len(id) < 4 || len(id) > maxName {
		return ledger.Replay{}, bad("that is not a replay's id", "`vagus replay --list` lists them; 4 characters are enough")
	}
	rep, err := a.cfg.Ledger.Replay(ctx, id)
	if !errors.Is(err, ledger.ErrNotFound) {
		if err != nil {
			err = fmt.Errorf("read replay: %w", err)
		}
		return rep, err
	}
	all, err := a.cfg.Ledger.Replays(ctx)
	if err != nil {
		return ledger.Replay{}, fmt.Errorf("list replays: %w", err)
	}
	all = slices.DeleteFunc(all, func(p ledger.Replay) bool { return !strings.HasPrefix(p.ID, id) })
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return ledger.Replay{}, &Error{http.StatusNotFound, "there is no such replay", "`vagus replay --list` lists them"}
	}
	return ledger.Replay{}, &Error{http.StatusConflict, fmt.Sprintf("%d replays have an id that begins so", len(all)), "give more of it: `vagus replay --list` lists them"}
}

func (a *api) replays(r *http.Request) (any, error) {
	all, err := a.cfg.Ledger.Replays(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list replays: %w", err)
	}
	if all == nil {
		all = []ledger.Replay{}
	}
	return all, nil
}

// An Item is one unit of a plan and where the unit stands now.
type Item struct {
	ledger.ReplayItem
	Feed   string        `json:"feed"`
	Target string        `json:"target"`
	Kind   string        `json:"kind"`
	Status ledger.Status `json:"status"` // "" if the ledger has forgotten the unit
	Class  string        `json:"class,omitempty"`
}

// items answers with a plan's items from the n-th on, in the plan's order, as
// many as limit says; fewer are the last ones.
func (a *api) items(r *http.Request) (any, error) {
	from, limit := 0, defaultPage
	for name, n := range map[string]*int{"from": &from, "limit": &limit} {
		if s := r.URL.Query().Get(name); s != "" {
			var err error
			if *n, err = strconv.Atoi(s); err != nil || *n < 0 {
				return nil, bad(name+" is not a number", "count from 0")
			}
		}
	}
	if limit < 1 || limit > maxPage {
		return nil, bad("limit is out of bounds", fmt.Sprintf("use 1 to %d", maxPage))
	}
	rep, err := a.findReplay(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	planned, err := a.cfg.Ledger.ReplayItems(r.Context(), rep.ID, from, limit, false)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	items := make([]Item, len(planned))
	for i := range planned {
		items[i].ReplayItem = planned[i]
	}
	const few = 100 // ids in one question to the ledger
	for part := range slices.Chunk(items, few) {
		at := make(map[string]*Item, few)
		ids := make([]string, 0, few)
		for i := range part {
			at[part[i].Unit] = &part[i]
			ids = append(ids, part[i].Unit)
		}
		us, err := a.cfg.Ledger.Units(r.Context(), ledger.Filter{IDs: ids, Limit: len(ids)})
		if err != nil {
			return nil, fmt.Errorf("read units of the plan: %w", err)
		}
		for _, u := range us {
			if it := at[u.ID]; it != nil {
				it.Feed, it.Target, it.Kind, it.Status, it.Class = u.Feed, u.Target, u.Kind, u.Status, u.Class
			}
		}
	}
	return items, nil
}
