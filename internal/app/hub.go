package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// A Hub is a running `vagus hub`.
type Hub struct {
	*base
	hub *hub.Hub
	cfg *config.Hub
}

// HubSettings turns a configuration into the hub's own.
func HubSettings(cfg *config.Hub, log *slog.Logger) hub.Config {
	return hub.Config{
		Dir: cfg.DataDir, Store: cfg.StoreDir, Name: cfg.Name, Listen: cfg.Listen, Names: cfg.Names, Tenant: cfg.Tenant,
		MaxBytes: cfg.MaxBytes, MaxAge: cfg.MaxAge, Replicas: cfg.Replicas, Production: cfg.Production,
		Cluster: hub.Cluster{Name: cfg.Cluster.Name, Listen: cfg.Cluster.Listen, Routes: cfg.Cluster.Routes},
		Key:     cfg.EncryptionKey.Reveal(), Logger: log,
	}
}

// StartHub starts the message server. On a store that has never been used it
// creates the streams; on any other it checks them.
func StartHub(ctx context.Context, cfg *config.Hub, o Options) (*Hub, error) {
	base, err := startBase(ctx, "vagus-hub", cfg.Name, o, cfg.Process, cfg.Grace)
	if err != nil {
		return nil, err
	}
	h := &Hub{base: base, cfg: cfg}
	if err := h.start(ctx); err != nil {
		return nil, base.abandon(err)
	}
	return h, nil
}

func (h *Hub) start(ctx context.Context) error {
	var err error
	if h.hub, err = hub.Open(ctx, HubSettings(h.cfg, h.log)); err != nil {
		return err
	}
	h.run("hub", h.hub.Run)
	// In a cluster this waits until most servers are up.
	provision, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := h.hub.Provision(provision); err != nil {
		return err
	}
	if err := h.serve(ctx, ops.APIConfig{Bounds: h.bounds}, ops.Check{Name: "streams", Run: h.hub.Check}); err != nil {
		return err
	}
	h.log.Info("hub is up", "url", h.hub.URL(), "worker_bundle", h.WorkerBundle())
	return nil
}

// URL is where sites and workers connect.
func (h *Hub) URL() string { return h.hub.URL() }

// WorkerBundle is the directory that workers connect with.
func (h *Hub) WorkerBundle() string {
	tenant := h.cfg.Tenant
	if tenant == "" {
		tenant = hub.DefaultTenant
	}
	return h.hub.WorkerBundle(tenant)
}

// AddSite lets a site in at once and returns its bundle. A site that is there
// already keeps the bundle that it has.
func (h *Hub) AddSite(ctx context.Context, site string, urls ...string) (string, error) {
	bundle := filepath.Join(h.cfg.DataDir, "bundles", site)
	if _, err := os.Stat(bundle); err == nil {
		return bundle, nil
	}
	if len(urls) == 0 {
		urls = []string{h.URL()}
	}
	bundle, err := hub.AddSite(h.cfg.DataDir, site, hub.SiteConfig{Tenant: h.cfg.Tenant, URLs: urls})
	if err != nil {
		return "", err
	}
	if err := h.hub.Reload(ctx); err != nil {
		return "", fmt.Errorf("let site %s in: %w", site, err)
	}
	return bundle, nil
}
