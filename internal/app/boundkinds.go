package app

// A boundKind is what is the same of a bound wherever it is found.
type boundKind struct {
	unit  string // ops.Bytes, or what is counted
	paces bool   // see ops.Bound
	where string // agent, worker, hub
	limit string // and the setting that changes it, for people
	then  string // follows "when it is full" and "; then"
}

// Those that this package reports itself.
const (
	boundJournal = "journal"
	boundDisk    = "disk of data_dir"
	boundEvents  = "events for the hub"
	boundUnits   = "UNITS at the hub"
	boundDown    = "DOWN at the hub"
)

// boundKinds are all bounds by their names. deploy/LIMITS.md is made of it.
var boundKinds = map[string]boundKind{
	// What keeps its content: full is for a person.
	boundJournal: {"bytes", false, "agent, each feed", "`journal.max_bytes`, 8 GiB",
		"the feed refuses, and its senders keep their messages: raise journal.max_bytes or shorten journal.retention"},
	boundDisk: {"bytes", false, "agent", "the file system",
		"every feed refuses: make room, or shorten journal.retention"},
	boundUnits: {"bytes", false, "hub, seen by the worker", "`max_bytes` of the hub, 32 GiB; 30 days",
		"sites keep what they have and send no more: raise the hub's max_bytes, or shorten the stream's max_age (nats stream edit UNITS)"},
	boundDown: {"bytes", false, "hub, seen by the worker", "a part of `max_bytes` of the hub",
		"documents for sites wait with the worker: see which site does not take its documents (vagus status), or raise the hub's max_bytes"},
	"connections of senders": {"connections", false, "agent, each feed to which senders connect", "`max_connections`, 256",
		"a new connection is closed at once, and its sender tries again: raise max_connections, or see who opens so many"},
	"connections to the hub": {"connections", false, "hub", "20,000",
		"sites and workers that connect are refused and try again: add a hub server"},
	"connections to the API": {"connections", false, "every process", "256",
		"who connects waits until others end"},
	"large frames being received": {"bytes", false, "agent, each MLLP feed", "256 MiB, or four times `max_frame`",
		"a message over 64 KiB is answered with AE, and its sender sends it again: lower max_connections, or see who sends so many large messages"},
	"files in the folder": {"files", false, "agent, each feed of a folder or an SFTP server", "200,000",
		"no file is taken: move those that are not for this feed"},
	"records of a model remembered": {"records", false, "agent, each feed that reads Odoo", "2,000,000",
		"the model is not read any more: restrict it by domain"},
	"keys that wait": {"keys", false, "worker, each target", "1,048,576",
		"the worker takes nothing more for this target: see to its dead letters (vagus dead ls)"},
	"units put aside": {"units", false, "worker, each target", "524,288",
		"the target is read on only as its slower lanes go on, so that live units wait too: give those lanes more weight, or send less of them"},
	"documents that wait": {"documents", false, "agent, each sink", "1,000",
		"the site says that its sink is busy, and workers give the documents again: see to the sink"},
	"bytes of documents that wait": {"bytes", false, "agent, each sink", "64 MiB",
		"the site says that its sink is busy, and workers give the documents again: see to the sink"},
	"replays under way": {"replays", true, "worker", "8",
		"those beyond take turns with them: nothing is lost"},

	// What is full whenever there is much to do: who is before it waits.
	"requests in hand": {"requests", true, "agent, each HTTP feed", "`max_requests`",
		"a request is answered with 429 and Retry-After"},
	"large requests in hand": {"requests", true, "agent, each FHIR endpoint", "2",
		"a request over 1 MiB waits, then it is answered with 503 and Retry-After"},
	"deliveries in hand": {"deliveries", true, "agent, each X12 feed", "8",
		"the next delivery waits, and its sender or its file with it"},
	"tokens of messages on the way to the disk": {"tokens", true, "agent, each feed", "4,096: one a message and one each 32 KiB",
		"senders wait for their acknowledgements"},
	"entries on the way": {"entries", true, "agent, each feed", "1,024",
		"what is in the journal is read later"},
	"bytes on the way": {"bytes", true, "agent, each feed", "16 MiB",
		"what is in the journal is read later"},
	"mappings at once": {"mappings", true, "agent", "one for each processor (GOMAXPROCS)",
		"the next one waits"},
	"units in hand": {"units", true, "worker, each target", "512 live, or two of the largest calls of the target; a third of that for each other lane",
		"the stream is read later, units of slower lanes are put aside"},
	"bytes of units in hand": {"bytes", true, "worker, each target", "64 MiB live and 8 MiB for each other lane; one unit more",
		"the stream is read later, units of slower lanes are put aside"},
	"units of the ledger in hand": {"units", true, "worker, each target", "twice `batch`",
		"what waits in the ledger is tried later"},
	"units before the cursor": {"units", true, "worker, each target", "8,192; new ones up to half of it",
		"the stream is read later"},
	"units read ahead": {"units", true, "worker, each target", "256, 8 MiB",
		"the stream is read later"},
	"calls of the target at once": {"calls", true, "worker, each target", "`concurrency`, this worker's part of it",
		"units wait for a call"},
	"calls of Odoo at once": {"calls", true, "worker, each Odoo target; agent, each feed that reads Odoo", "`concurrency`, this process's part of it",
		"the next call waits"},
	"connections of the ledger": {"connections", true, "worker", "8, or `pool_max_conns` of the DSN; SQLite: 4",
		"a transaction waits for one"},

	// Memories: what is older is forgotten, and looked up or done again.
	"bytes of messages just stored": {"bytes", true, "agent, each feed", "512 KiB",
		"the oldest is read from the journal instead"},
	"resources remembered": {"resources", true, "agent, each feed that reads a FHIR server", "20,000",
		"a resource is offered again; the journal knows it"},
	"interchanges received that are remembered": {"interchanges", true, "agent with X12", "100,000",
		"the oldest is forgotten: if it comes again, it is no duplicate control number"},
	"interchanges sent that are remembered": {"interchanges", true, "agent with X12", "100,000",
		"the oldest is forgotten: an acknowledgment of it is a stray one"},
	"deliveries remembered": {"units", true, "agent, each sink", "50,000 units, 30 days",
		"the oldest is forgotten: it would be delivered twice if it were given again"},
	"answers kept for the cloud": {"answers", true, "agent", "4,000, 5 min",
		"an answer that the link loses is asked for again"},
	"references remembered": {"references", true, "worker, each Odoo target", "10,000, 20 min",
		"the oldest half is forgotten and looked up again"},
	"fields remembered": {"fields", true, "worker, each Odoo target", "50,000, 10 min",
		"all are forgotten and asked for again"},

	// What is for others to read and is dropped, with a count of what was.
	"events to publish": {"events", true, "worker", "256",
		"an event is dropped and counted (vagus.worker.events.dropped); the ledger has what it said"},
	boundEvents: {"events", true, "agent", "64",
		"an event is dropped and logged"},
}
