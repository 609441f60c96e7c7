package relational

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker/ledger"
)

const (
	maxReplays = 1000
	maxItems   = 1000
)

// action is the expression that decides what a replay does with unit u, of
// which w waits; $1: whether a later unit of one of its keys does not matter. A unit
// that is claimed is in a worker's hands, or comes to it again by itself.
var action = `CASE
	WHEN u.status = 'claimed' THEN 'waits'
	WHEN u.status = 'discarded' THEN 'discarded'
	WHEN u.status = 'applied' OR u.status = 'skipped' AND NOT u.remappable THEN 'already applied'
	WHEN u.status = 'parked' AND (coalesce(w.due, 0) = 0 OR ` + fmt.Sprintf(lacksGate, "u.id") + `) THEN 'waits'
	WHEN NOT CAST($1 AS boolean) AND u.key <> '' AND (
		EXISTS (SELECT 1 FROM units l WHERE l.key = u.key AND l.key <> '' AND l.seq > u.seq AND l.target = u.target AND l.status = 'applied')
		OR EXISTS (SELECT 1 FROM other_keys k CROSS JOIN units l
			WHERE k.key = u.key AND k.seq > u.seq AND k.target = u.target AND l.id = k.unit AND l.status = 'applied')
		OR EXISTS (SELECT 1 FROM other_keys o CROSS JOIN units l
			WHERE o.unit = u.id AND l.key = o.key AND l.key <> '' AND l.seq > u.seq AND l.target = u.target AND l.status = 'applied')
		OR EXISTS (SELECT 1 FROM other_keys o CROSS JOIN other_keys k CROSS JOIN units l
			WHERE o.unit = u.id AND k.key = o.key AND k.seq > u.seq AND k.target = u.target AND l.id = k.unit AND l.status = 'applied')) THEN 'stale'
	WHEN u.remappable AND u.status <> 'parked' THEN 'map again'
	ELSE 'retry' END`

// PlanReplay implements [ledger.Ledger]. The plan goes from old to new.
func (s *Store) PlanReplay(ctx context.Context, p ledger.ReplayRequest) (ledger.Replay, error) {
	id := strings.ToLower(rand.Text()[:13])
	q := query{args: []any{p.AllowStale, id}}
	q.filter(p.Filter)
	tables, _, _ := from(p.Filter)
	limit := ""
	if p.Filter.Limit > 0 {
		q.args = append(q.args, int64(p.Filter.Limit))
		limit = " LIMIT $" + strconv.Itoa(len(q.args))
	}
	var planned []ledger.Replay
	err := s.db.Write(ctx, func(Tx) ([]Statement, error) {
		return append([]Statement{
			s.do(`INSERT INTO replay_items (replay, n, unit, action)
				SELECT CAST($2 AS text), row_number() OVER (ORDER BY p.seq, p.id) - 1, p.id, p.action FROM
					(SELECT u.seq, u.id, `+action+` AS action FROM `+tables+q.text()+
				` ORDER BY `+newest(p.Filter)+limit+`) AS p`, q.args...),
			s.do(`INSERT INTO replay_counts (replay, action, n) SELECT replay, action, count(*) FROM replay_items WHERE replay = $1 GROUP BY replay, action`, id),
			s.do(`INSERT INTO replays (id, person, created_at, allow_stale, total)
				SELECT CAST($1 AS text), CAST($2 AS text), {now}, CAST($3 AS boolean), (SELECT count(*) FROM replay_items WHERE replay = $1)`,
				id, clean(p.By, maxName), p.AllowStale),
		}, s.replays(&planned, "id = $1", id)...), nil
	})
	if err != nil {
		return ledger.Replay{}, fmt.Errorf("plan replay: %w", err)
	}
	return planned[0], nil
}

// replays returns the statements that read the replays that a condition
// selects, newest first.
func (s *Store) replays(into *[]ledger.Replay, condition string, args ...any) []Statement {
	*into = nil
	which := ` FROM replays WHERE ` + condition + ` ORDER BY created_at DESC, id DESC LIMIT ` + strconv.Itoa(maxReplays)
	return []Statement{
		s.ask(func(scan Scan) error {
			r := ledger.Replay{Actions: map[ledger.Action]int{}}
			var created int64
			err := scan(&r.ID, &r.By, &created, &r.Running, &r.AllowStale, &r.Rate, &r.Total, &r.Done)
			r.CreatedAt = at(created)
			*into = append(*into, r)
			return err
		}, `SELECT id, person, created_at, started AND done < total, allow_stale, rate, total, done`+which, args...),
		s.ask(func(scan Scan) error {
			var id, action string
			var n int
			err := scan(&id, &action, &n)
			for i := range *into {
				if (*into)[i].ID == id {
					(*into)[i].Actions[ledger.Action(action)] = n
				}
			}
			return err
		}, `SELECT c.replay, c.action, c.n FROM replay_counts c WHERE c.n > 0 AND c.replay IN (SELECT id`+which+`)`, args...),
	}
}

// Replay implements [ledger.Ledger].
func (s *Store) Replay(ctx context.Context, id string) (ledger.Replay, error) {
	var found []ledger.Replay
	err := s.db.Read(ctx, func(tx Tx) error { return tx.Run(ctx, s.replays(&found, "id = $1", clean(id, maxName))...) })
	if err == nil && len(found) == 0 {
		err = ledger.ErrNotFound
	}
	if err != nil {
		return ledger.Replay{}, fmt.Errorf("read replay: %w", err)
	}
	return found[0], nil
}

// Replays implements [ledger.Ledger]: the newest 1000.
func (s *Store) Replays(ctx context.Context) (all []ledger.Replay, err error) {
	err = s.db.Read(ctx, func(tx Tx) error { return tx.Run(ctx, s.replays(&all, "true")...) })
	if err != nil {
		return nil, fmt.Errorf("read replays: %w", err)
	}
	return all, nil
}

// StartReplay implements [ledger.Ledger]. Starting a plan twice is harmless.
func (s *Store) StartReplay(ctx context.Context, id string, rate float64) error {
	id = clean(id, maxName)
	err := s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		found := false
		err := tx.Run(ctx, s.ask(func(Scan) error { found = true; return nil }, `UPDATE replays SET started = true, rate = $2 WHERE id = $1 RETURNING id`, id, rate))
		if err == nil && !found {
			err = ledger.ErrNotFound
		}
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("start replay: %w", err)
	}
	return nil
}

// ReplayItems implements [ledger.Ledger].
func (s *Store) ReplayItems(ctx context.Context, id string, from, limit int, pending bool) (items []ledger.ReplayItem, err error) {
	text := `SELECT unit, action, done FROM replay_items WHERE replay = $1 AND n >= $2 ORDER BY n LIMIT $3`
	if pending {
		text = `SELECT unit, action, done FROM replay_items WHERE replay = $1 AND n >= $2 AND NOT done ORDER BY n LIMIT $3`
	}
	err = s.read(ctx, func(scan Scan) error {
		var it ledger.ReplayItem
		var action string
		err := scan(&it.Unit, &action, &it.Done)
		it.Action = ledger.Action(action)
		items = append(items, it)
		return err
	}, text, clean(id, maxName), int64(from), int64(min(max(limit, 0), maxItems)))
	if err != nil {
		return nil, fmt.Errorf("read replay items: %w", err)
	}
	return items, nil
}

var errNotStarted = errors.New("it was not started")

// Requeue implements [ledger.Ledger].
func (s *Store) Requeue(ctx context.Context, replayID, unitID string) (item ledger.ReplayItem, err error) {
	replayID, unitID = clean(replayID, maxName), clean(unitID, maxName)
	err = s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		item = ledger.ReplayItem{Unit: unitID}
		u, err := s.hold(ctx, tx, unitID)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
		pruned := err != nil
		var by, planned string
		var stale, started bool
		if err := tx.Run(ctx, s.ask(func(scan Scan) error { return scan(&by, &started, &stale, &planned, &item.Done) },
			`SELECT r.person, r.started, r.allow_stale, i.action, i.done FROM replays r CROSS JOIN replay_items i
			WHERE r.id = $1 AND i.replay = $1 AND i.unit = $2{lock}`, replayID, unitID)); err != nil {
			return nil, err
		}
		item.Action = ledger.Action(planned)
		switch {
		case planned == "":
			return nil, ledger.ErrNotFound
		case !started:
			return nil, errNotStarted
		case item.Done:
			return nil, nil
		}
		item.Action, item.Done = ledger.Nothing, true
		if !pruned {
			if err := tx.Run(ctx, s.ask(func(scan Scan) error {
				var a string
				err := scan(&a)
				item.Action = ledger.Action(a)
				return err
			}, `SELECT `+action+` FROM units u LEFT JOIN waiting w ON w.id = u.id WHERE u.id = $2`, stale, unitID)); err != nil {
				return nil, err
			}
		}
		return append(s.requeue(u, item.Action, by), s.markItem(replayID, item, ledger.Action(planned))...), nil
	})
	if err != nil {
		return ledger.ReplayItem{}, fmt.Errorf("requeue unit %s: %w", unitID, err)
	}
	return item, nil
}

// requeue carries an action out.
func (s *Store) requeue(u ledger.Unit, a ledger.Action, by string) []Statement {
	if a != ledger.RetryNow && a != ledger.Remap {
		return nil
	}
	list := []Statement{s.do(addHops, table([]hopRow{{Unit: u.ID, What: "replay asked", Person: by}}))}
	switch {
	case a == ledger.Remap:
		return list
	case u.Status == ledger.Parked:
		return append(list, s.do(`UPDATE waiting SET due = {now} WHERE id = $1`, u.ID))
	}
	list = append(list,
		s.do(`UPDATE units SET status = 'parked', hold = false, attempts = 0 WHERE id = $1`, u.ID),
		s.do(`UPDATE waiting SET status = 'parked', holds = true, due = {now} WHERE id = $1`, u.ID),
		s.move(u, ledger.Parked))
	if len(u.OtherKeys) > 0 {
		list = append(list, s.do(askGates, u.ID))
	}
	return append(list, s.settleKeys(keysOf(u))...)
}

// markItem records that an item was carried out, and as what.
func (s *Store) markItem(replay string, item ledger.ReplayItem, planned ledger.Action) []Statement {
	list := []Statement{
		s.do(`UPDATE replay_items SET done = true, action = $3 WHERE replay = $1 AND unit = $2`, replay, item.Unit, string(item.Action)),
		s.do(`UPDATE replays SET done = done + 1 WHERE id = $1`, replay),
	}
	if item.Action != planned {
		list = append(list,
			s.do(`UPDATE replay_counts SET n = n - 1 WHERE replay = $1 AND action = $2`, replay, string(planned)),
			s.do(`INSERT INTO replay_counts (replay, action, n) VALUES ($1, $2, 1)
				ON CONFLICT (replay, action) DO UPDATE SET n = replay_counts.n + 1`, replay, string(item.Action)))
	}
	return list
}
