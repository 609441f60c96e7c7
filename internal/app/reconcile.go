package app

import (
	"path/filepath"

	"github.com/vagus-health/vagus/internal/config"
)

// WorkerOf returns what the worker of `vagus up` is configured with. Its bundle
// is there once the hub has run.
func WorkerOf(cfg *config.All) *config.Worker {
	w := config.NewWorker()
	w.Name, w.Bundle = "worker-1", filepath.Join(cfg.DataDir, "hub", "workers", cfg.Tenant)
	w.Ledger, w.Targets, w.Grace, w.Process = cfg.Ledger, cfg.Targets, cfg.Grace, cfg.Process
	return w
}
