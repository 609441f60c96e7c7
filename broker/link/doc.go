// Package link carries a site's units to the cloud and the cloud's commands to
// the site, over one outbound TLS 1.3 connection with the site's own
// certificate and nkey. Nothing connects to the site.
//
// Each feed has a lane. It reads the feed's journal in order, maps what it
// reads (several messages at once, the order kept), and publishes the units
// to UNITS. After every cut, restart or refusal it asks the cloud for the last
// unit that it has of the lane, and goes on after that one, also in the middle
// of a message that made several. Nothing about progress is kept at the site.
//
// # How units are published
//
// One publish, or one atomic batch of up to 500, is under way at a time, and
// the next waits for the cloud's confirmation. That is why order holds without
// conditions: what a broken connection delivers late is either exactly what
// comes next, or has a Msg-Id that the cloud knows. A batch goes whole or not
// at all, also over a change of the stream's leader.
//
// Measured on 2 cores, 1,500-byte units over loopback TLS, hub and link in one
// process, R1, sync_interval always (units a second; CPU of both together):
//
//	units waiting    one by one          fast ingest         atomic batch
//	1                1,670/s  510 µs     -                   -
//	4                1,490/s  530 µs     1,430/s  480 µs     1,070/s  540 µs
//	8                1,300/s  600 µs     2,070/s  300 µs     1,930/s  300 µs
//	32               1,240/s  690 µs     2,730/s  200 µs     6,140/s  120 µs
//	128              -                   2,360/s  270 µs     12,500/s  77 µs
//	500              -                   2,910/s  210 µs     22,200/s  56 µs
//
// A whole lane with a backlog (mapping, encoding, and the hub's account for
// each site included) does 14,000/s at 97 µs.
//
// Fast ingest syncs the disk for every unit; a batch once, after 3 to 5 ms of
// its own. So up to three units go one by one and more go as a batch. Fast
// ingest is not used: it is never clearly the best, does not pass from a site's
// own account, and needs a hub of 2.14 where batches need 2.12. A unit that comes after a pause goes at once; while units
// keep coming, a lane sends every 20 ms what has gathered. A batch's bytes
// adapt to the link, because a hub gives up a batch that takes 10 s.
//
// # How documents come down
//
// A sink at a site is a target that a worker reaches through a [Remote]: it puts
// the unit into DOWN, and the site's link hands it to the sink and says what came
// of it. Nobody promises anything of a document on its way: the worker's unit stays
// in UNITS and the ledger until there is an outcome, and who hears none gives
// it again. What the site keeps is the memory of what was delivered, by
// unit id, so that a unit that is given again is answered and not sent again.
// Documents of one sink go one at a time, in the order in which they were given;
// the hub forgets those that nobody waits for any more. So a key's
// later unit, which is given only after the outcome of the earlier one, is
// never overtaken.
//
// A unit with several keys is one message like others, on a subject that the
// workers of all partitions read: so it has one place in UNITS, and no break can come between
// its keys.
//
// A unit that is larger than the hub takes is sent as a dead letter without
// its content, so that it stops nobody.
package link
