package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/vagus-health/vagus/broker/stream"
)

// KeyVariable is the environment variable that a rendered configuration takes
// the store's encryption key from.
const KeyVariable = "VAGUS_HUB_KEY"

// connectionsMax bounds the sites, workers and people that are connected to one server: some 1.4 GB.
// More are refused, and try again.
const connectionsMax = 20_000

// Render makes what is missing in the hub's directory and returns the
// configuration of a stock nats-server 2.12 or newer that is equivalent to the
// embedded one. After AddSite or RemoveSite render it again and reload the
// server, twice: see Hub.Reload. It holds the cluster's secret: write it with mode 0600. A stock
// server does not look at the canary: provision once, and never again on a
// store that has been used.
func Render(c Config) (string, error) {
	if err := c.complete(); err != nil {
		return "", err
	}
	if _, err := c.ensure(); err != nil {
		return "", err
	}
	return c.render(c.Key != "")
}

// render writes the configuration that both servers run with.
func (c *Config) render(withKey bool) (string, error) {
	tenants, err := c.tenants()
	if err != nil {
		return "", err
	}
	sites, err := Sites(c.Dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	q := strconv.Quote
	tls := fmt.Sprintf("cert_file: %s, key_file: %s, ca_file: %s, verify: true, min_version: \"1.3\", timeout: 5",
		q(filepath.Join(c.serverDir(), "cert.pem")), q(filepath.Join(c.serverDir(), "key.pem")), q(filepath.Join(c.Dir, "ca", "ca.pem")))

	line("server_name: %s", q(c.Name))
	line("listen: %s", q(c.Listen))
	line("tls { %s, handshake_first: true }", tls)
	line("max_payload: %d\nmax_connections: %d", c.MaxPayload, connectionsMax)
	// A link that hangs is noticed after two pings; the server's own default is two minutes.
	line("ping_interval: %s\nping_max: 2\nwrite_deadline: \"10s\"", q(c.PingInterval.String()))
	line("jetstream {\n  store_dir: %s\n  sync_interval: always\n  max_mem: 0\n  max_file: %d", q(c.Store), c.reserve().Reserve()*int64(max(len(tenants), 1)))
	if withKey {
		line("  cipher: aes\n  key: $%s", KeyVariable)
	}
	line("}\naccounts {\n  SYS {}")
	for _, t := range tenants {
		if err := c.renderAccount(line, t, sites); err != nil {
			return "", err
		}
	}
	line("}\nsystem_account: SYS")
	if c.Cluster.Listen != "" {
		if err := c.renderCluster(line, tls); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// renderAccount writes a tenant's account and one for each of its sites. A
// site has an account of its own because a server does not check the reply
// subject of what a client asks: in the tenant's account a site could have its
// last unit, whose content it chooses, "answered" to another site's subject or
// to $JS.API.STREAM.DELETE, past all its permissions. From its own account a
// site reaches only what is exported to it, and answers stay in that account.
func (c *Config) renderAccount(line func(string, ...any), tenant string, sites []Site) error {
	q := strconv.Quote
	admin, err := readPublic(filepath.Join(c.Dir, "tenants", tenant, "admin.nkey"))
	if err != nil {
		return err
	}
	worker, err := readPublic(filepath.Join(c.Dir, "tenants", tenant, "worker.nkey"))
	if err != nil {
		return err
	}
	user := func(nkey string, publish, subscribe []string) {
		line("      { nkey: %s, permissions: { publish: { allow: [%s] }, subscribe: { allow: [%s] } } }", nkey, quoteAll(publish), quoteAll(subscribe))
	}
	line("  %s {", q(tenantAccount(tenant)))
	line("    jetstream { max_mem: 0, max_file: %d, max_streams: 3, max_consumers: 10000, max_bytes_required: true }", c.reserve().Reserve()*int64(max(c.Replicas, 1)))
	line("    users: [\n      { nkey: %s }", admin)
	user(worker, workerPublish, []string{"_INBOX.>", stream.AnswerSubject("*", "*")})
	line("    ]")
	line("    exports: [")
	for _, s := range sites {
		for _, subject := range sitePublish(s.Name) {
			if s.Tenant == tenant {
				line("      { service: %s, response_type: %s, accounts: [%s] }", q(subject), responseType(subject), q(siteAccount(s.Name)))
			}
		}
	}
	line("    ]\n  }")
	for _, s := range sites {
		if s.Tenant != tenant {
			continue
		}
		line("  %s {", q(siteAccount(s.Name)))
		line("    users: [")
		user(s.Nkey, sitePublish(s.Name), []string{"_INBOX_" + s.Name + ".>"})
		line("    ]\n    imports: [")
		for _, subject := range sitePublish(s.Name) {
			line("      { service: { account: %s, subject: %s } }", q(tenantAccount(tenant)), q(subject))
		}
		line("    ]\n  }")
	}
	return nil
}

func (c *Config) renderCluster(line func(string, ...any), tls string) error {
	secret, err := os.ReadFile(filepath.Join(c.Dir, "route.key"))
	if err != nil {
		return err
	}
	routes := make([]string, len(c.Cluster.Routes))
	for i, r := range c.Cluster.Routes {
		routes[i] = "nats://hub:" + string(secret) + "@" + r
	}
	line("cluster {\n  name: %s\n  listen: %s\n  no_advertise: true\n  compression: off", strconv.Quote(c.Cluster.Name), strconv.Quote(c.Cluster.Listen))
	// A site's certificate is of the same authority: the secret is what keeps sites out.
	line("  authorization { user: hub, password: %s, timeout: 5 }\n  tls { %s }\n  routes: [%s]\n}", strconv.Quote(string(secret)), tls, quoteAll(routes))
	return nil
}

// sitePublish is all that a site may publish: its units, the question for its
// own last one, what its agent tells of itself, the reading of its own commands
// and documents, and what it says of these.
func sitePublish(site string) []string {
	remaps, documents := stream.Down+"."+stream.Remaps(site), stream.Down+"."+stream.Documents(site)
	return []string{
		"unit." + site + ".>",
		"event." + site + ".agent.*.*",
		stream.SiteCertificate(site),
		"$JS.API.DIRECT.GET." + stream.Units + ".unit." + site + ".>",
		"$JS.API.CONSUMER.MSG.NEXT." + remaps,
		"$JS.ACK." + remaps + ".>",
		"$JS.API.CONSUMER.MSG.NEXT." + documents,
		stream.AnswerSubject(site, "*"),
	}
}

// workerPublish is what a worker may publish. It keeps a worker from making or
// deleting streams by mistake; a worker that is taken over is not held by it,
// because it is in the tenant's account (see renderAccount).
var workerPublish = []string{
	"down.>", "event.>", stream.WorkerCertificate,
	"$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES",
	"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.*",
	"$JS.API.CONSUMER.CREATE." + stream.Units + ".>", "$JS.API.CONSUMER.CREATE." + stream.Events + ".>",
	"$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.LIST.*",
	"$JS.API.CONSUMER.MSG.NEXT." + stream.Units + ".*", "$JS.API.CONSUMER.MSG.NEXT." + stream.Events + ".*",
	"$JS.API.CONSUMER.DELETE." + stream.Units + ".*", "$JS.API.CONSUMER.DELETE." + stream.Events + ".*",
	"$JS.ACK." + stream.Units + ".>", "$JS.ACK." + stream.Events + ".>", "$JS.FC.>",
}

// responseType says how many answers a question has: a pull gives messages and
// then a status.
func responseType(subject string) string {
	if strings.Contains(subject, ".MSG.NEXT.") {
		return "stream"
	}
	return "singleton"
}

// Accounts are named so that none can be taken for another's, or for SYS.
func tenantAccount(tenant string) string { return "tenant-" + tenant }
func siteAccount(site string) string     { return "site-" + site }

func (c *Config) tenants() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(c.Dir, "tenants"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && stream.CheckToken("tenant", e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

func isUserKey(s string) bool { return nkeys.IsValidPublicUserKey(s) }
