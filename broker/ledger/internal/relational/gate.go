package relational

import (
	"context"
	"fmt"
	"slices"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// A gate is a row of waiting that holds a key for the unit gate_of. Its status
// is gate, or asked when it is to be put anew: then it becomes due like a
// parked unit, and the worker of its partition puts it when its turn has come.
// Gates make a key wait and come to its front as parked units do, by the same statements.

// A gateRow is one of a unit's other keys.
type gateRow struct {
	ID         string `json:"id"` // of the gate
	Unit       string `json:"unit"`
	Target     string `json:"target"`
	Partition  int    `json:"partition"`
	Key        string `json:"key"`
	Seq        int64  `json:"seq"`
	Site       string `json:"site"`
	Feed       string `json:"feed"`
	ReceivedAt int64  `json:"received_at"`
	Again      bool   `json:"again"` // the unit comes by a request
}

func newGateRow(u *ledger.Unit, key string) gateRow {
	g := gateRow{Unit: clean(u.ID, maxName), Target: u.Target, Partition: broker.Partition(key, ""), Key: clean(key, maxName), Seq: int64(u.Seq),
		Site: clean(u.Site, maxName), Feed: clean(u.Feed, maxName), ReceivedAt: micros(u.ReceivedAt), Again: u.Request != ""}
	g.ID = g.Unit + "~" + g.Key
	return g
}

func (g *gateRow) keyRow() keyRow { return keyRow{g.Target, g.Partition, g.Key} }

const gateColumns = `id text, unit text, target text, partition integer, key text, seq bigint, site text, feed text, received_at bigint, again boolean`

const (
	putGates = `INSERT INTO waiting (id, target, partition, key, seq, status, holds, due, since, site, feed, received_at, body, gate_of)
		SELECT d.id, d.target, d.partition, d.key, coalesce(u.seq, d.seq), 'gate', true, 0, 0, d.site, d.feed, d.received_at, {bytes ''}, d.unit
		FROM {$1: ` + gateColumns + `} AS d LEFT JOIN units u ON u.id = d.unit
		WHERE u.id IS NULL OR u.status IN ('claimed', 'parked') OR u.hold OR d.again AND u.remappable AND u.status IN ('dead', 'skipped')
		ON CONFLICT (id) DO UPDATE SET status = 'gate', due = 0`

	// askGates makes the gates of unit $1 again that are gone.
	askGates = `INSERT INTO waiting (id, target, partition, key, seq, status, holds, due, since, site, feed, received_at, body, gate_of)
		SELECT o.unit || '~' || o.key, o.target, o.partition, o.key, o.seq, 'asked', true, 0, 0, u.site, u.feed, u.received_at, {bytes ''}, o.unit
		FROM other_keys o CROSS JOIN units u WHERE o.unit = $1 AND u.id = o.unit ON CONFLICT (id) DO NOTHING`

	putOtherKeys = `INSERT INTO other_keys (unit, target, partition, key, seq)
		SELECT d.unit, d.target, d.partition, d.key, u.seq FROM {$1: ` + gateColumns + `} AS d CROSS JOIN units u WHERE u.id = d.unit ON CONFLICT (unit, key) DO NOTHING`

	// placeGates gives gates that were put before their unit was known its place in the order,
	// should a stream that was cut short have given it another one meanwhile.
	placeGates = `UPDATE waiting SET seq = u.seq FROM units u WHERE waiting.gate_of <> '' AND u.id = waiting.gate_of AND u.seq <> waiting.seq
		AND waiting.gate_of IN (SELECT d.unit FROM {$1: unit text} AS d)`

	dropGates = `DELETE FROM waiting WHERE gate_of <> '' AND gate_of IN (SELECT d.id FROM {$1: id text} AS d)`
	// dropOldKeys and dropOldGates forget what a unit had under the mapping before ($2: what it has now).
	dropOldKeys  = `DELETE FROM other_keys WHERE unit IN (SELECT d.id FROM {$1: id text} AS d)`
	dropOldGates = `DELETE FROM waiting WHERE gate_of <> '' AND gate_of IN (SELECT d.id FROM {$1: id text} AS d)
		AND id NOT IN (SELECT n.id FROM {$2: id text} AS n)`
)

// lacksGate is the condition that unit %s is not at the front of all its other keys. It has the form of a value: where many
// units are asked for, PostgreSQL would answer an EXISTS by reading all other keys that there are, once.
const lacksGate = `(SELECT 1 FROM other_keys o WHERE o.unit = %s AND NOT EXISTS
	(SELECT 1 FROM waiting g WHERE g.gate_of = o.unit AND g.gate_of <> '' AND g.key = o.key AND g.status = 'gate' AND NOT EXISTS
		(SELECT 1 FROM waiting e WHERE e.target = g.target AND e.partition = g.partition AND e.key = g.key AND e.key <> '' AND e.holds
			AND (e.seq, e.id) < (g.seq, g.id))) LIMIT 1) IS NOT NULL`

// splitGates parts the settlements of gates from those of units.
func splitGates(done []ledger.Settlement) (units []ledger.Settlement, gates []gateRow, err error) {
	if !slices.ContainsFunc(done, func(s ledger.Settlement) bool { return s.Unit.Gate != "" }) {
		return done, nil, nil
	}
	for i := range done {
		switch u := &done[i].Unit; {
		case u.Gate == "":
			units = append(units, done[i])
		case u.Status != ledger.Parked:
			return nil, nil, fmt.Errorf("settle unit %s: %q is not what becomes of a gate", u.ID, u.Status)
		default:
			gates = append(gates, newGateRow(u, u.Gate))
		}
	}
	return units, gates, nil
}

// touchGates adds the partitions of gates and of their units, or returns an
// error if no lease names that of a gate.
func (g guard) touchGates(gates []gateRow, done []ledger.Settlement) error {
	for _, r := range gates {
		if !slices.ContainsFunc(g.leases, func(l ledger.Lease) bool { return l.Target == r.Target && l.Partition == r.Partition }) {
			return fmt.Errorf("a gate of unit %s is of partition %d of %s, and no lease that was given is", r.Unit, r.Partition, r.Target)
		}
		g.touched[place{r.Target, r.Partition}] = true
	}
	for i := range done {
		if u := &done[i].Unit; u.Gate != "" {
			g.touched[place{u.Target, u.Partition}] = true
		}
	}
	return nil
}

// otherKeys returns the other keys that the ledger has of units.
func (s *Store) otherKeys(ctx context.Context, tx Tx, units []probe) (keys []keyRow, err error) {
	err = tx.Run(ctx, s.ask(func(scan Scan) error {
		var k keyRow
		err := scan(&k.Target, &k.Partition, &k.Key)
		keys = append(keys, k)
		return err
	}, `SELECT o.target, o.partition, o.key FROM {$1: id text} AS d CROSS JOIN other_keys o WHERE o.unit = d.id ORDER BY o.unit, o.key`, table(units)))
	return keys, err
}

// gateStatements returns what becomes of the gates of the units that are
// settled, and adds the keys that this changes.
func (b *book) gateStatements(keys map[keyRow]bool) (list []Statement) {
	now := []gateRow{}
	var through, again []probe
	for i := range b.units {
		u := &b.units[i]
		if u.Request != "" {
			again = append(again, probe{ID: b.rows[i].ID})
		}
		for _, k := range u.OtherKeys {
			now = append(now, newGateRow(u, k))
		}
		if len(u.OtherKeys) > 0 && u.Status != ledger.Parked && !(u.Status == ledger.Dead && u.Hold) {
			through = append(through, probe{ID: b.rows[i].ID})
		}
	}
	for _, k := range b.oldKeys {
		keys[k] = true
	}
	for i := range now {
		keys[now[i].keyRow()] = true
	}
	if len(b.oldKeys) > 0 {
		list = append(list, b.s.do(dropOldKeys, table(again)), b.s.do(dropOldGates, table(again), table(now)))
	}
	if len(now) > 0 {
		list = append(list, b.s.do(putOtherKeys, table(now)), b.s.do(placeGates, table(now)))
	}
	if len(through) > 0 {
		list = append(list, b.s.do(dropGates, table(through)))
	}
	if len(b.gates) > 0 {
		list = append(list, b.s.do(putGates, table(b.gates)))
		for i := range b.gates {
			keys[b.gates[i].keyRow()] = true
		}
	}
	return list
}

// waits says what a parked unit waits for.
func (s *Store) waits(ctx context.Context, tx Tx, u *ledger.Unit) error {
	return tx.Run(ctx, s.ask(func(scan Scan) error {
		var w ledger.Wait
		var other, there bool
		err := scan(&w.Key, &w.Partition, &other, &there, &w.Unit)
		if other {
			u.OtherKeys = append(u.OtherKeys, w.Key)
		}
		if u.Status == ledger.Parked && w.Key != "" && (!there || w.Unit != u.ID) {
			if w.Unit == u.ID {
				w.Unit = ""
			}
			u.Waits = append(u.Waits, w)
		}
		return err
	}, `SELECT k.key, k.partition, k.other, k.there, coalesce((SELECT CASE WHEN e.gate_of = '' THEN e.id ELSE e.gate_of END FROM waiting e
			WHERE e.target = k.target AND e.partition = k.partition AND e.key = k.key AND e.key <> '' AND e.holds ORDER BY e.seq, e.id LIMIT 1), '')
		FROM (SELECT u.key, u.target, u.partition, false AS other, true AS there FROM units u WHERE u.id = $1
			UNION ALL SELECT o.key, o.target, o.partition, true, EXISTS (SELECT 1 FROM waiting g WHERE g.gate_of = o.unit AND g.gate_of <> '' AND g.key = o.key AND g.status = 'gate')
			FROM other_keys o WHERE o.unit = $1) AS k ORDER BY k.other, k.key`, u.ID))
}
