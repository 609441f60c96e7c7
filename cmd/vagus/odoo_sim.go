package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

type odooSimCmd struct {
	Listen  string        `default:"127.0.0.1:8069" help:"Address to listen on." placeholder:"ADDRESS"`
	Version string        `name:"odoo" default:"18.0" enum:"17.0,18.0,19.0" help:"The Odoo to be: 17.0, 18.0 or 19.0, which speaks JSON-2 too."`
	DB      string        `default:"demo" help:"Name of its database."`
	User    string        `default:"vagus" help:"Login of the integration user."`
	Key     string        `default:"simulated" help:"Its API key: no secret, all records are invented."`
	Addon   bool          `help:"Have the addon installed."`
	Latency time.Duration `help:"What every answer takes at least." placeholder:"200ms"`
	Fail    []string      `help:"Calls that fail, calls:kind:times, such as res.partner.load:serialization:3 (repeatable; the page lists the kinds)." placeholder:"RULE"`
	Data    string        `type:"existingfile" help:"JSON file of records from the start: [{\"model\": …, \"xid\": …, \"values\": {…}}]." placeholder:"FILE"`
}

func (cmd odooSimCmd) Run(c *console) error {
	seeds, err := readSeeds(cmd.Data)
	if err != nil {
		return err
	}
	if cmd.Latency < 0 {
		return errors.New("--latency: not below 0")
	}
	srv := simulated.New(simulated.Config{Version: cmd.Version, Database: cmd.DB, User: cmd.User, Key: cmd.Key, Addon: cmd.Addon, Seeds: seeds, Page: true})
	srv.SetLatency(cmd.Latency)
	for _, rule := range cmd.Fail {
		f, err := simulated.Rule(rule)
		if err != nil {
			return fmt.Errorf("--fail %s: %w", rule, err)
		}
		srv.Fail(f)
	}
	url, err := srv.Start(cmd.Listen)
	if err != nil {
		return err
	}
	c.say("A simulated Odoo %s answers at %s", cmd.Version, url)
	c.say("  database %s, user %s, key %s", cmd.DB, cmd.User, cmd.Key)
	c.note("Its page shows what it holds: %s/ (ctrl-C ends it)", url)
	<-c.ctx.Done()
	return srv.Close()
}

// maxSeeds bounds the file of --data.
const maxSeeds = 64 << 20

func readSeeds(path string) ([]simulated.Seed, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSeeds+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSeeds {
		return nil, fmt.Errorf("--data %s: more than 64 MB", path)
	}
	var records []struct {
		Model  string         `json:"model"`
		ID     int64          `json:"id"`
		XID    string         `json:"xid"`
		Values map[string]any `json:"values"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&records); err != nil {
		return nil, fmt.Errorf("--data %s: not a list of records: %w", path, err)
	}
	seeds := make([]simulated.Seed, len(records))
	for i, r := range records {
		for name, v := range r.Values {
			if n, ok := v.(json.Number); ok {
				if r.Values[name], err = seedNumber(n); err != nil {
					return nil, fmt.Errorf("--data %s: record %d, %s: %w", path, i+1, name, err)
				}
			}
		}
		seeds[i] = simulated.Seed{Model: r.Model, ID: r.ID, XID: r.XID, Values: r.Values}
	}
	return seeds, nil
}

// seedNumber is an integer unless it is written with a point.
func seedNumber(n json.Number) (any, error) {
	if strings.ContainsAny(n.String(), ".eE") {
		return n.Float64()
	}
	return n.Int64()
}
