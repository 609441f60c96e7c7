// Package journal is the site's durable log: what a source has accepted, in
// the order in which it came, until the cloud has it and the retention is over.
//
// It is an embedded nats-server that listens nowhere, with one stream per feed:
// JOURNAL_<feed>, subject journal.<feed>.message, file storage, one replica,
// limits retention, discard new. A message's fields are headers, its body is
// the payload. The stream refuses at max_bytes and never drops; [Journal.Trim]
// is the only thing that removes.
//
// # Durable
//
// [Journal.Append] returns nil when the message survives a power failure. A
// server that syncs each message (sync_interval: always) does that with one
// fsync per message however many are waiting. Here the server runs at its
// default, which only writes, and the journal syncs the block files that were
// written, once for all messages acknowledged meanwhile. A lone sender waits for
// one write and one fsync. While one sync runs the next group gathers, and then
// waits a moment for those whom the last one let go, at most as long as a sync
// takes and at most 2 ms: with 8 senders, each waiting for its answer, a sync serves
// 6 of them and not 2 to 3, and an Append takes a fifth less of the processor.
// A round of one message is synced by the caller
// who waits for it: a sync in another goroutine costs about 185 µs more, to
// wake the caller when the thread comes back from the disk.
//
// Why this way, on 2 shared cores with ext4, 1,200-byte messages:
//
//	bare publish, always, one at a time        450 to 850 µs   1,000 to 2,000 msg/s
//	Append, 1 sender                           1.04 to 1.21 times that, taking turns with it
//	Append, 8 senders                          4,000 to 5,700 msg/s
//	Append, 64 senders                         11,000 to 20,500 msg/s, 60 to 70 µs CPU each
//	Append, 64 senders, sync always            600 to 2,400 msg/s
//	atomic batch publish, always, of 8         4.8 ms a batch   1,700 msg/s
//	                              of 64         17 ms a batch   3,800 msg/s
//	                              of 500        38 ms a batch  13,000 msg/s
//	Append of one step of 100 / 1,000          14,000 to 24,000 / 23,000 to 41,000 msg/s
//
// A batch publish builds and removes a staging store each time, takes at most
// 1,000 messages and refuses all of them for one duplicate. A write-ahead file
// of our own in front of the stream would sync faster (205 µs where the
// stream's file takes 300), but writes everything twice, has to find out after a power
// failure which of its entries the stream has kept, and put the others back in order.
//
// It leans on where the server keeps its blocks. The server is part of this
// binary, so its version can not change alone, and every sync checks that the
// files have grown by what the server acknowledged. It also leans on ext4: the
// server rewrites a block that was mostly trimmed and renames it over the old
// one, and only ext4 keeps that in order without a sync in between. On any
// other file system, and with [Config.SyncAlways], the server syncs each message itself.
// contract-tests/powercut fails the power under all of this.
//
// After a failed fsync nothing is accepted until the process starts again: the
// kernel may report the next one as a success without having written anything.
//
// # All or none
//
// Before the messages of one Append of several are written, a small file says up to
// which sequence the stream is acknowledged; after they are synced it
// says nothing again. A start that finds it removes what is after that
// sequence. Nothing is read before it is synced, so nobody has seen those.
//
// # Once
//
// A message is recognised for as long as the journal has it, however long ago it came
// and wherever the clock was set to, by a table of the journal's own: a hash of its id, and where it
// stands, where the message itself is compared. Who brings one that is on its way waits for it. Of two
// messages with the same short id both are kept.
//
// The server's own ways cost more. A Msg-Id window goes by the clock. A subject for each message, on
// condition that it has none yet, took 190 bytes of memory a message where the table takes 36, and of the processor
// 53 µs for each message of a large step where it is 36 now, and 1.5 s for a start with 500,000 messages, now 1.0 s.
//
// # Provisioned
//
// journal.json says which streams were created and proves the key. A start
// creates only what that file says was never used: a server with a wrong key
// starts as if there were no streams, and creating them then destroys them.
package journal
