package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

type odooCmd struct {
	Check     odooCheckCmd     `cmd:"" help:"Look at an Odoo database: will units be applied, and what is in the way?"`
	Reconcile odooReconcileCmd `cmd:"" help:"Compare what the ledger says was applied with what Odoo holds."`
}

// configured is a configuration file of a process that applies units.
type configured struct {
	Config string `short:"c" type:"existingfile" placeholder:"FILE" help:"The file of vagus worker or vagus up."`
	Target string `placeholder:"NAME" help:"Which target of that file; not needed when it has one."`
}

var hasFeeds = regexp.MustCompile(`(?m)^feeds:`)

// load reads the file as what it is: a worker's, or that of all in one, whose
// feeds come with it.
func (f configured) load() (*config.Worker, []config.Feed, error) {
	text, err := os.ReadFile(f.Config)
	if err != nil {
		return nil, nil, err
	}
	w, feeds := config.NewWorker(), []config.Feed(nil)
	if !hasFeeds.Match(text) {
		err = config.Load(f.Config, w)
	} else {
		all := config.NewAll()
		if err = config.Load(f.Config, all); err == nil {
			w, feeds = app.WorkerOf(all), all.Feeds
		}
	}
	if err != nil {
		return nil, nil, err
	}
	for _, t := range w.Targets {
		if t.Odoo != nil {
			t.Odoo.UserAgent = cmp.Or(t.Odoo.UserAgent, userAgent())
		}
	}
	return w, feeds, nil
}

// userAgent is what Odoo's log has of us.
func userAgent() string { return "vagus/" + version }

// target returns the one that is named, or the only one.
func (f configured) target(w *config.Worker) (string, config.Target, error) {
	names := slices.Sorted(maps.Keys(w.Targets))
	switch t, ok := w.Targets[f.Target]; {
	case ok:
		return f.Target, t, nil
	case f.Target != "":
		return "", t, fmt.Errorf("%s has no target %q: it has %s", f.Config, clean(f.Target), strings.Join(names, ", "))
	case len(names) > 1:
		return "", t, fmt.Errorf("%s has several targets: name one of %s with --target", f.Config, strings.Join(names, ", "))
	}
	return names[0], w.Targets[names[0]], nil
}

// odooAddress says which Odoo: by a configuration file, or by itself.
type odooAddress struct {
	configured
	URL       string `placeholder:"URL" help:"Instead of a file: Odoo's address, https://odoo.example.org."`
	Database  string `aliases:"db" placeholder:"NAME" help:"The database."`
	User      string `placeholder:"LOGIN" help:"The integration user."`
	KeyFile   string `name:"key-file" type:"existingfile" placeholder:"FILE" help:"File with the user's API key; or the key itself in VAGUS_ODOO_KEY."`
	CAFile    string `name:"ca-file" type:"existingfile" placeholder:"FILE" help:"Authorities that may sign the server's certificate; default: the system's."`
	PlainHTTP bool   `name:"plain-http" help:"Allow http to another machine, where the network itself encrypts."`
	Protocol  string `placeholder:"NAME" help:"auto, json2, jsonrpc or xmlrpc; default: auto."`
}

// config returns how to reach Odoo, and the feeds that the file has.
func (a odooAddress) config(c *console) (odoo.Config, []config.Feed, error) {
	if a.Config == "" {
		if a.URL == "" || a.Database == "" || a.User == "" {
			return odoo.Config{}, nil, errors.New("which Odoo? give the worker's file with -c, or --url, --database, --user and --key-file")
		}
		key, err := a.key(c)
		return odoo.Config{URL: a.URL, Database: a.Database, User: a.User, Key: key, Protocol: a.Protocol, UserAgent: userAgent(), PlainHTTP: a.PlainHTTP, TLS: odoo.TLS{CAFile: a.CAFile}}, nil, err
	}
	if a.URL != "" || a.Database != "" || a.User != "" || a.KeyFile != "" {
		return odoo.Config{}, nil, errors.New("-c says which Odoo: leave out --url, --database, --user and --key-file, or leave out -c")
	}
	w, feeds, err := a.load()
	if err != nil {
		return odoo.Config{}, nil, err
	}
	name, t, err := a.target(w)
	if err != nil {
		return odoo.Config{}, nil, err
	}
	cfg := *t.Odoo
	if t.Concurrency > 0 {
		cfg.Concurrency = t.Concurrency
	}
	if a.Protocol != "" {
		cfg.Protocol = a.Protocol
	}
	return cfg, slices.DeleteFunc(feeds, func(f config.Feed) bool { return f.Target != name }), nil
}

func (a odooAddress) key(c *console) (broker.Secret, error) {
	key := strings.TrimSpace(c.getenv("VAGUS_ODOO_KEY"))
	if a.KeyFile != "" {
		f, err := os.Open(a.KeyFile)
		if err != nil {
			return broker.Secret{}, err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, 4096))
		if err != nil {
			return broker.Secret{}, err
		}
		key = strings.TrimSpace(string(data))
	}
	if key == "" {
		return broker.Secret{}, errors.New("no API key: name a file with --key-file, or set VAGUS_ODOO_KEY (Odoo: Preferences, Account Security, New API Key)")
	}
	return broker.NewSecret(key), nil
}

// needs are those of the named mappings, else of the feeds', else of those that
// come with Vagus for the target's version; whose says in words which these are.
func (c *console) needs(paths []string, feeds []config.Feed, target *odoo.Target) (needs []odoo.Need, whose string, err error) {
	var ms []*mapping.Mapping
	switch {
	case len(paths) > 0:
		whose = "the mappings named"
	case len(feeds) > 0:
		whose = "the mappings of the file's feeds"
		for _, f := range feeds {
			for _, entry := range f.Mappings {
				name, builtin := strings.CutPrefix(entry, config.Builtin)
				switch {
				case builtin:
					m, err := mapping.Load(mappings.FS, name, app.Formats())
					if err != nil {
						return nil, "", err
					}
					ms = append(ms, m)
				case strings.Contains(filepath.Base(entry), ".vmb"):
					return nil, "", fmt.Errorf("feed %s takes its mappings from a bundle: name the directory that it was built from with --mappings", f.Name)
				default:
					paths = append(paths, entry)
				}
			}
		}
	default:
		whose = "the mappings that come with Vagus"
		names := []string{}
		version, _ := target.Version(c.ctx) // why there is none the examination tells
		version, _, _ = strings.Cut(version, ".")
		err = fs.WalkDir(mappings.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && name == "examples" {
				return fs.SkipDir
			}
			if strings.HasSuffix(name, ".map.yaml") && isFor(mappings.FS, name, version) {
				names = append(names, name)
			}
			return err
		})
		if err == nil {
			ms, err = mapping.LoadSet(mappings.FS, names, app.Formats())
		}
	}
	if err == nil && len(paths) > 0 {
		var more []*mapping.Mapping
		more, err = mappingsIn(paths)
		ms = append(ms, more...)
	}
	if err != nil {
		return nil, "", err
	}
	for _, m := range ms {
		for _, n := range m.Needs() {
			needs = append(needs, odoo.Need(n))
		}
	}
	return needs, fmt.Sprintf("%s (%d)", whose, len(ms)), nil
}

// mappingsIn loads all mappings of files and directories, without those that
// others of them extend.
func mappingsIn(paths []string) ([]*mapping.Mapping, error) {
	b, err := mappingRoot{}.bench()
	if err != nil {
		return nil, err
	}
	names, err := b.find(paths, "file that ends in .map.yaml", endsIn(".map.yaml"))
	if err != nil {
		return nil, err
	}
	bases, found := map[string]bool{}, map[string]*mapping.Mapping{}
	for _, name := range names {
		if found[name], err = mapping.Load(b.FS, name, b.Formats); err != nil {
			return nil, err
		}
		for _, base := range found[name].Bases {
			bases[base] = true
		}
	}
	var out []*mapping.Mapping
	for _, name := range names {
		if !bases[name] {
			out = append(out, found[name])
		}
	}
	return out, nil
}

// isFor says whether a shipped mapping is for a version of Odoo: one below
// alternatives/odoo19 is for 19, and there takes the place of that with the same path.
func isFor(files fs.FS, name, version string) bool {
	if rest, ok := strings.CutPrefix(name, "alternatives/odoo"); ok {
		of, _, _ := strings.Cut(rest, "/")
		return of == version
	}
	_, err := fs.Stat(files, path.Join("alternatives", "odoo"+version, name))
	return err != nil
}
