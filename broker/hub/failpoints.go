package hub

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atRotated     = failpoint.New("hub.rotated", "the server has a new key", "it has the certificate of the old one")
	atProvisioned = failpoint.New("hub.provisioned", "the streams of a tenant are made", "the store does not say so")
	atReloaded    = failpoint.New("hub.reloaded", "the server knows the sites that were added", "they have no consumers")
	atBundled     = failpoint.New("site.bundled", "the bundle of a new site is made", "the hub does not let it in")
	atRemoved     = failpoint.New("site.removed", "a site is shut out", "its bundle is there")
)
