package hub

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/stream"
)

// ProvisionStock creates, on a stock server that runs with what [Render] gave,
// the streams of every tenant and the consumers of its sites, and writes the
// bundle that workers connect with. url is where the server is,
// "tls://hub.example.org:4222". Doing it again after [AddSite] adds what the
// new site needs; what exists with other settings is an error, never altered.
func ProvisionStock(ctx context.Context, c Config, url string) error {
	if err := c.complete(); err != nil {
		return err
	}
	if _, err := c.ensure(); err != nil {
		return err
	}
	if err := c.ensureWorkers(url); err != nil {
		return err
	}
	worker := filepath.Join(c.Dir, "workers", c.Tenant) // any certificate of the authority will do: the key says who we are
	err := c.eachTenant(ctx, func(admin nats.Option) (*nats.Conn, error) {
		return nats.Connect(url, admin, nats.Name("provision"), nats.NoReconnect(), nats.Timeout(10*time.Second), nats.TLSHandshakeFirst(),
			nats.RootCAs(filepath.Join(c.Dir, "ca", "ca.pem")), nats.ClientCert(filepath.Join(worker, "worker.pem"), filepath.Join(worker, "worker.key")))
	}, func(ctx context.Context, js jetstream.JetStream, _ string, s stream.Settings) error {
		return stream.Provision(ctx, js, s)
	})
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return nil
}

// ensureWorkers writes the bundle of each tenant's workers, or what is not as it should be
// in it; with no url that stays.
func (c *Config) ensureWorkers(url string) error {
	ca, err := openAuthority(c.Dir)
	if err != nil {
		return err
	}
	tenants, err := c.tenants()
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := ensureWorkerBundle(c.Dir, t, ca, url); err != nil {
			return err
		}
	}
	return nil
}
