package hub

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/vagus-health/vagus/broker/stream"
)

// DefaultTenant is the tenant of a hub that serves one organisation.
const DefaultTenant = "main"

// SiteConfig says how a site is added.
type SiteConfig struct {
	Tenant string   // "" means DefaultTenant; made if it is new
	URLs   []string // where the site reaches the hub, for its link.yaml: "tls://hub.example.org:4222"
}

// A Site is a site that may connect.
type Site struct {
	Name   string    `yaml:"name"`
	Tenant string    `yaml:"tenant"`
	Nkey   string    `yaml:"nkey"` // public
	Added  time.Time `yaml:"added"`
}

// AddSite makes what a new site needs and returns the directory to carry
// there: ca.pem, site.pem, site.key, site.nkey, ordering.key and link.yaml. A
// hub that runs on dir lets the site in within a second or two. It is an error
// if the site is there already.
func AddSite(dir, name string, c SiteConfig) (bundle string, err error) {
	if c.Tenant == "" {
		c.Tenant = DefaultTenant
	}
	if err := errors.Join(stream.CheckToken("site", name), stream.CheckToken("tenant", c.Tenant)); err != nil {
		return "", err
	}
	if len(c.URLs) == 0 {
		return "", fmt.Errorf("add site %s: give the URL that the site reaches the hub at, such as tls://hub.example.org:4222", name)
	}
	entry := filepath.Join(dir, "sites", name+".yaml")
	if _, err := os.Stat(entry); err == nil {
		return "", fmt.Errorf("add site %s: it is there already; remove it first to give it new keys", name)
	}
	ca, err := openAuthority(dir)
	if err != nil {
		return "", err
	}
	if err := ensureTenant(dir, c.Tenant); err != nil {
		return "", err
	}
	ordering, err := os.ReadFile(filepath.Join(dir, "tenants", c.Tenant, "ordering.key"))
	if err != nil {
		return "", err
	}
	files, public, err := bundleFiles(ca, "site", name, c)
	if err != nil {
		return "", fmt.Errorf("add site %s: %w", name, err)
	}
	files["ordering.key"] = ordering
	bundle = filepath.Join(dir, "bundles", name)
	made, err := makeDir(bundle, files)
	if err != nil {
		return "", fmt.Errorf("add site %s: %w", name, err)
	}
	if !made {
		return "", fmt.Errorf("add site %s: %s is left of an earlier attempt: remove the site and add it again", name, bundle)
	}
	atBundled.Hit()
	data, err := yaml.Marshal(Site{Name: name, Tenant: c.Tenant, Nkey: public, Added: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(entry), 0o700); err != nil {
		return "", err
	}
	if err := replaceFile(entry, data); err != nil {
		return "", fmt.Errorf("add site %s: %w", name, err)
	}
	return bundle, nil
}

// RemoveSite shuts a site out: a hub that runs on dir closes its connection
// within a second or two and lets it in no more. What it sent stays.
func RemoveSite(dir, name string) error {
	if err := stream.CheckToken("site", name); err != nil {
		return err
	}
	bundle := filepath.Join(dir, "bundles", name)
	err := os.Remove(filepath.Join(dir, "sites", name+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, left := os.Stat(bundle); left != nil {
			return fmt.Errorf("remove site %s: there is none of this name", name)
		}
		err = nil // an earlier attempt to add or remove it was cut off
	}
	atRemoved.Hit()
	said := os.Remove(peerFile(dir, "site", "", name))
	if errors.Is(said, fs.ErrNotExist) {
		said = nil
	}
	return errors.Join(err, os.RemoveAll(bundle), os.RemoveAll(renewedDir(dir, name)), said)
}

// Sites returns the sites of a hub's directory, by name.
func Sites(dir string) ([]Site, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "sites"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var sites []Site
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok {
			continue
		}
		path := filepath.Join(dir, "sites", e.Name())
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		var s Site
		if err := yaml.UnmarshalWithOptions(data, &s, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if s.Name != name || stream.CheckToken("site", name) != nil || stream.CheckToken("tenant", s.Tenant) != nil || !isUserKey(s.Nkey) {
			return nil, fmt.Errorf("%s: name must be %s, tenant a name, nkey a public user key (U…)", path, name)
		}
		sites = append(sites, s)
	}
	return sites, nil
}

// ensureTenant makes a tenant's keys and the bundle of its workers.
func ensureTenant(dir, tenant string) error {
	path := filepath.Join(dir, "tenants", tenant)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	admin, _, err := newSeed()
	if err != nil {
		return err
	}
	worker, _, err := newSeed()
	if err != nil {
		return err
	}
	if _, err := makeDir(path, map[string][]byte{"admin.nkey": admin, "worker.nkey": worker, "ordering.key": newSecret()}); err != nil {
		return fmt.Errorf("make tenant %s: %w", tenant, err)
	}
	return nil
}

// ensureWorkerBundle writes the directory that a tenant's workers connect
// with. In one that is there, what has changed is replaced: the URL, the authorities, a
// certificate that is due; the keys stay.
func ensureWorkerBundle(dir, tenant string, ca *authority, url string) error {
	path := filepath.Join(dir, "workers", tenant)
	files, _, err := bundleFiles(ca, "worker", "worker", SiteConfig{Tenant: tenant, URLs: []string{url}})
	if err != nil {
		return err
	}
	if files["worker.nkey"], err = os.ReadFile(filepath.Join(dir, "tenants", tenant, "worker.nkey")); err != nil {
		return err
	}
	made, err := makeDir(path, files)
	if err != nil || made {
		return err
	}
	has, err := os.ReadFile(filepath.Join(path, "worker.pem"))
	if err != nil {
		return err
	}
	cert, err := parseCertificate(has)
	if err != nil {
		return fmt.Errorf("%s/worker.pem: %w", path, err)
	}
	put := []string{"ca.pem"} // trust before the certificate, as everywhere
	if url != "" {
		put = append(put, "link.yaml")
	}
	if ca.due(cert, time.Now()) {
		if files["worker.pem"], err = ca.again("worker", cert.PublicKey); err != nil {
			return err
		}
		put = append(put, "worker.pem")
	}
	for _, name := range put {
		if old, err := os.ReadFile(filepath.Join(path, name)); err == nil && bytes.Equal(old, files[name]) {
			continue
		}
		if err := replaceFile(filepath.Join(path, name), files[name]); err != nil {
			return err
		}
	}
	return nil
}

// bundleFiles makes a peer's certificate, key and nkey, and the link.yaml that
// names them.
func bundleFiles(ca *authority, role, name string, c SiteConfig) (files map[string][]byte, public string, err error) {
	cert, key, err := ca.client(name)
	if err != nil {
		return nil, "", err
	}
	seed, public, err := newSeed()
	if err != nil {
		return nil, "", err
	}
	link := yaml.MapSlice{{Key: "role", Value: role}, {Key: "name", Value: name}, {Key: "tenant", Value: c.Tenant}, {Key: "urls", Value: c.URLs}, {Key: "ca", Value: "ca.pem"},
		{Key: "certificate", Value: role + ".pem"}, {Key: "key", Value: role + ".key"}, {Key: "nkey", Value: role + ".nkey"}}
	if role == "site" {
		link = append(link, yaml.MapItem{Key: "ordering_key", Value: "ordering.key"})
	}
	text, err := yaml.Marshal(link)
	if err != nil {
		return nil, "", err
	}
	return map[string][]byte{"ca.pem": ca.pem, role + ".pem": cert, role + ".key": key, role + ".nkey": seed, "link.yaml": text}, public, nil
}
