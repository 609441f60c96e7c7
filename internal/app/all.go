package app

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/vagus-health/vagus/internal/config"
)

// An All is a running `vagus up`: hub, worker and agent in one process, each
// exactly as it runs alone, over real sockets.
type All struct {
	Hub    *Hub
	Worker *Worker
	Agent  *Agent
	*base
}

// StartAll starts a hub, lets the site in, migrates the ledger, and starts
// worker and agent.
func StartAll(ctx context.Context, cfg *config.All, o Options) (_ *All, err error) {
	own, err := startBase(ctx, "vagus", cfg.Site, o, cfg.Process, cfg.Grace)
	if err != nil {
		return nil, err
	}
	a := &All{base: own}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop())
		}
	}()
	o.whole = &whole{failed: own.failed, telemetry: own.telemetry}

	hubCfg := config.NewHub()
	hubCfg.DataDir, hubCfg.Name, hubCfg.Listen, hubCfg.Tenant, hubCfg.Grace, hubCfg.Process = filepath.Join(cfg.DataDir, "hub"), "hub-1", cfg.Listen, cfg.Tenant, cfg.Grace, cfg.Process
	hubCfg.MaxBytes = cfg.MaxBytes
	if a.Hub, err = StartHub(ctx, hubCfg, o); err != nil {
		return nil, err
	}
	o.whole.hub = []string{a.Hub.URL()}
	bundle, err := a.Hub.AddSite(ctx, cfg.Site)
	if err != nil {
		return nil, err
	}
	if _, err := MigrateLedger(ctx, cfg.Ledger); err != nil {
		return nil, err
	}
	if a.Worker, err = StartWorker(ctx, WorkerOf(cfg), o); err != nil {
		return nil, err
	}
	agentCfg := AgentOf(cfg)
	agentCfg.Bundle = bundle
	if a.Agent, err = StartAgent(ctx, agentCfg, o); err != nil {
		return nil, err
	}
	return a, own.serve(ctx, o.whole.api, o.whole.checks...)
}

// AgentOf returns what the agent of `vagus up` is configured with, but for its
// bundle, which its hub makes.
func AgentOf(cfg *config.All) *config.Agent {
	a := config.NewAgent()
	a.DataDir, a.Journal, a.Feeds, a.Sinks, a.Mappings, a.Grace, a.Process = filepath.Join(cfg.DataDir, "agent"), cfg.Journal, cfg.Feeds, cfg.Sinks, cfg.Mappings, cfg.Grace, cfg.Process
	return a
}

// Stop ends the agent first, then the worker, then the hub.
func (a *All) Stop() error {
	var errs []error
	if a.Agent != nil {
		errs = append(errs, a.Agent.Stop())
	}
	if a.Worker != nil {
		errs = append(errs, a.Worker.Stop())
	}
	if a.Hub != nil {
		errs = append(errs, a.Hub.Stop())
	}
	return errors.Join(append(errs, a.base.Stop())...)
}
