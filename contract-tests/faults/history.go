package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

// close writes down what is there at the end: the ledger's rows, by plain SQL, and what Odoo has and what was
// done to it.
func (r *run) close(ctx context.Context) error {
	units, err := r.units(ctx)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	for _, u := range units {
		r.history.Add(audit.Line{Unit: &u})
	}
	effects := r.sys.odoo.Effects()
	for _, e := range effects {
		if watched[e.Model] == nil {
			continue
		}
		r.history.Add(audit.Line{At: r.history.Since(e.At), Effect: &audit.Effect{Ref: audit.Ref{Model: e.Model, ID: e.ID}, Kind: e.Kind, Values: e.Values}})
	}
	records, err := r.sys.odoo.records(ctx)
	if err != nil {
		return err
	}
	for _, rec := range records {
		r.history.Add(audit.Line{Record: &rec})
	}
	return r.history.Flush()
}

func (r *run) units(ctx context.Context) (all []audit.Unit, err error) {
	err = r.query(ctx, "SELECT id, feed, sender_id, status, class, reason, attempts, records FROM units", func(scan scanner) error {
		var u audit.Unit
		var records string
		if err := scan(&u.ID, &u.Feed, &u.SenderID, &u.Status, &u.Class, &u.Reason, &u.Attempts, &records); err != nil {
			return err
		}
		if records != "" {
			if err := json.Unmarshal([]byte(records), &u.Records); err != nil {
				return fmt.Errorf("records of unit %.13s: %w", u.ID, err)
			}
		}
		all = append(all, u)
		return nil
	})
	return all, err
}

// statuses counts the ledger's rows by status.
func (r *run) statuses(ctx context.Context) (map[string]int, error) {
	n := map[string]int{}
	return n, r.query(ctx, "SELECT status, count(*) FROM units GROUP BY status", func(scan scanner) error {
		var status string
		var count int
		if err := scan(&status, &count); err != nil {
			return err
		}
		n[status] = count
		return nil
	})
}

// A scanner reads a row's columns.
type scanner func(...any) error

// query asks the ledger, whichever it is, by plain SQL.
func (r *run) query(ctx context.Context, text string, each func(scanner) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	driver, where := "sqlite", "file:"+r.sys.ledger+"?mode=ro&_pragma=busy_timeout(5000)"
	if r.sys.pg != nil {
		driver, where = "pgx", r.sys.pg.DSN
	}
	db, err := sql.Open(driver, where)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
