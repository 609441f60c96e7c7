// Package hub is the cloud's message server: nats-server embedded, with the
// settings that Vagus' promises need, for those who have none of their own. A
// stock nats-server 2.12 or newer serves as well: [Render] writes its
// configuration from the same directory.
//
// A hub's directory is all that a hub knows. It is the same on every server of
// a cluster (copy it, or mount it); the store is each server's own.
//
//	ca/ca.pem ca.key                  the hub's own certificate authority; two of them while it is rotated
//	certificates/                     what sites and workers said of theirs
//	servers/<server>/cert.pem key.pem one per server, renewed by itself
//	route.key                         secret that servers of a cluster know each other by
//	tenants/<tenant>/                 admin.nkey, worker.nkey, ordering.key
//	workers/<tenant>/                 bundle for the tenant's workers
//	sites/<site>.yaml                 a site that may connect: its tenant and public key
//	bundles/<site>/                   what is carried to the site, then deleted here
//	store/                            streams, canary, provisioning marker
//
// Who may do what: an account per tenant is a wall that nothing crosses. A site
// has an account of its own, to which its tenant's exports three things: to
// publish below unit.<site>, to ask for its own last unit, and to read its own
// consumer of DOWN. A worker may read UNITS, write DOWN and EVENTS. Only the
// administrator, whose key stays in the directory, makes streams. Every
// connection needs TLS 1.3, a certificate of the hub's authority and a key.
//
// At rest the store may be encrypted. A canary in the store tells a wrong key
// before the server starts: started with a wrong key it looks healthy and
// empty, and creating the streams again would delete what is there.
package hub
