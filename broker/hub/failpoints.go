package hub

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atRotated     = failpoint.New("hub.rotated", "the server has a new key", "it has the certificate of the old one")
	atProvisioned = failpoint.New("hub.provisioned", "the streams of a tenant are made", "the store does not say so")
	atReloaded    = failpoint.New("hub.reloaded", "the server knows the sites that were added", "they have no consumers")
	atBundled     = failpoint.New("site.bundled", "the bundle of a new site is made", "the hub does not let it in")
	atKeyed       = failpoint.New("authority.keyed", "the key of a new authority is there", "it has no certificate that anybody trusts")
	atSigned      = failpoint.New("authority.signed", "a site's certificate is signed anew", "the site does not have it")
	atSwitched    = failpoint.New("authority.switched", "the new authority signs servers as well", "they have certificates of the old one")
	atFinished    = failpoint.New("authority.finished", "the old authority is trusted no more", "the servers trust it")
	atRemoved     = failpoint.New("site.removed", "a site is shut out", "its bundle is there")
)
