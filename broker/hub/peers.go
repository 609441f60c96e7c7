package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/vagus-health/vagus/broker/stream"
)

// A Peer is who connects to a hub, or a server of it, and with what.
type Peer struct {
	Role      string    `yaml:"role" json:"role"` // "site", "worker" or "server"
	Name      string    `yaml:"name" json:"name"`
	Tenant    string    `yaml:"tenant" json:"tenant,omitempty"`
	Authority string    `yaml:"authority" json:"authority"` // that signed its certificate; "" if that is not known
	Until     time.Time `yaml:"until" json:"until,omitzero"`
	Trusts    []string  `yaml:"trusts" json:"trusts,omitempty"` // authorities
	Heard     time.Time `yaml:"heard" json:"heard,omitzero"`    // when it said so, within an hour; zero: never
}

const (
	heardEvery  = time.Hour          // what nobody needs to the second is not written at each word
	forgetAfter = 7 * 24 * time.Hour // a worker that was not heard for so long is gone: their names come and go
	peersDir    = "certificates"     // in a hub's directory: what sites and workers said of theirs
)

func (p Peer) trusts(authority string) bool { return slices.Contains(p.Trusts, authority) }

func peerFile(dir, role, tenant, name string) string {
	if role == "site" {
		return filepath.Join(dir, peersDir, "site."+name+".yaml")
	}
	return filepath.Join(dir, peersDir, role+"."+tenant+"."+name+".yaml")
}

// hear notes what a peer says of its certificate.
func hear(dir string, p Peer) error {
	path := peerFile(dir, p.Role, p.Tenant, p.Name)
	if old, err := readPeer(path); err == nil && old.Authority == p.Authority && old.Until.Equal(p.Until) && slices.Equal(old.Trusts, p.Trusts) && p.Heard.Sub(old.Heard).Abs() < heardEvery {
		return nil
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceFile(path, text)
}

func readPeer(path string) (p Peer, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	if err := yaml.UnmarshalWithOptions(text, &p, yaml.Strict()); err != nil {
		return p, fmt.Errorf("%s: %w: delete it, it is written again", path, err)
	}
	return p, nil
}

// peers are all sites, whether they said something or not, and the workers that did lately.
func peers(dir string) ([]Peer, error) {
	sites, err := Sites(dir)
	if err != nil {
		return nil, err
	}
	var all []Peer
	for _, s := range sites {
		p, err := readPeer(peerFile(dir, "site", s.Tenant, s.Name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && p.Tenant != s.Tenant {
			p, err = Peer{Role: "site", Name: s.Name, Tenant: s.Tenant}, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	workers, err := filepath.Glob(filepath.Join(dir, peersDir, "worker.*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range workers {
		p, err := readPeer(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if time.Since(p.Heard) < forgetAfter {
			all = append(all, p)
		}
	}
	return all, nil
}

// serverPeers are the servers whose certificates are in a directory.
func serverPeers(dir string, a *authority) ([]Peer, error) {
	files, err := filepath.Glob(filepath.Join(dir, "servers", "*", "cert.pem"))
	if err != nil {
		return nil, err
	}
	var all []Peer
	for _, f := range files {
		p := Peer{Role: "server", Name: filepath.Base(filepath.Dir(f))}
		if stream.CheckToken("server name", p.Name) != nil {
			continue // the half of one, see makeDir
		}
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		c, err := parseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		p.Authority, p.Until = a.signedBy(c), c.NotAfter
		all = append(all, p)
	}
	return all, nil
}

// RenewSite makes a certificate and a key for a site that can not get them over the
// link: it ran out, or its agent may not write its bundle. It returns the directory
// with the files to put over those of the site's bundle: ca.pem, site.pem and
// site.key. What the site is known by, its nkey, stays.
func RenewSite(dir, name string) (string, error) {
	if err := stream.CheckToken("site", name); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "sites", name+".yaml")); err != nil {
		return "", fmt.Errorf("renew site %s: there is none of this name: `vagus site ls` shows them", name)
	}
	ca, err := readAuthority(dir)
	if err != nil {
		return "", err
	}
	cert, key, err := ca.client(name)
	if err != nil {
		return "", err
	}
	to := renewedDir(dir, name)
	if err := os.RemoveAll(to); err != nil {
		return "", err
	}
	made, err := makeDir(to, map[string][]byte{"ca.pem": ca.pem, "site.pem": cert, "site.key": key})
	if err != nil {
		return "", fmt.Errorf("renew site %s: %w", name, err)
	}
	if !made {
		return "", fmt.Errorf("renew site %s: somebody else does it at this moment: look into %s", name, to)
	}
	return to, nil
}

// renewedDir is not a site's own name: no site's has a dot.
func renewedDir(dir, name string) string { return filepath.Join(dir, "bundles", name+".renewed") }

// workerName makes what a worker calls itself a name of a file.
func workerName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return s[max(0, len(s)-64):]
}
