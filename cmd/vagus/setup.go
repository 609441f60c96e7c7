package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

type ledgerCmd struct {
	Migrate ledgerMigrateCmd `cmd:"" help:"Create the ledger's tables, or bring them up to this program's version. Harmless to run again."`
}

type ledgerMigrateCmd struct {
	Config string `short:"c" required:"" type:"existingfile" help:"The worker's configuration file." placeholder:"worker.yaml"`
}

func (cmd ledgerMigrateCmd) Run(c *console) error {
	cfg := config.NewWorker()
	if err := config.Load(cmd.Config, cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Minute)
	defer cancel()
	applied, err := app.MigrateLedger(ctx, cfg.Ledger)
	if err != nil {
		return fmt.Errorf("migrate the ledger: %w", err)
	}
	for _, step := range applied {
		c.say("applied %s", step)
	}
	c.say("The ledger is at this program's version.")
	return nil
}
