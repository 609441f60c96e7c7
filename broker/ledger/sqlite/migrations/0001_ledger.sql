CREATE TABLE leases (
	target      text    NOT NULL,
	partition   integer NOT NULL,
	owner       text    NOT NULL DEFAULT '',
	token       integer NOT NULL DEFAULT 0,
	expires_at  integer NOT NULL DEFAULT 0,
	cursor      integer NOT NULL DEFAULT 0,
	cursor_unit text    NOT NULL DEFAULT '',
	PRIMARY KEY (target, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
	target text    NOT NULL,
	worker text    NOT NULL,
	until  integer NOT NULL,
	PRIMARY KEY (target, worker)
) STRICT, WITHOUT ROWID;

CREATE TABLE units (
	id          text    NOT NULL PRIMARY KEY,
	message_id  text    NOT NULL,
	tenant      text    NOT NULL,
	site        text    NOT NULL,
	feed        text    NOT NULL,
	target      text    NOT NULL,
	partition   integer NOT NULL,
	key         text    NOT NULL,
	idem        text    NOT NULL,
	kind        text    NOT NULL,
	sender_id   text    NOT NULL,
	mapping     text    NOT NULL,
	seq         integer NOT NULL,
	status      text    NOT NULL,
	attempts    integer NOT NULL,
	class       text    NOT NULL,
	reason      text    NOT NULL,
	warning     text    NOT NULL,
	records     text    NOT NULL,
	trace       text    NOT NULL,
	remappable  integer NOT NULL,
	hold        integer NOT NULL,
	received_at integer NOT NULL,
	mapped_at   integer NOT NULL,
	stored_at   integer NOT NULL,
	claimed_at  integer NOT NULL,
	settled_at  integer NOT NULL,
	took        integer NOT NULL,
	request     text    NOT NULL,
	worker      text    NOT NULL
) STRICT;
CREATE INDEX units_message ON units (message_id);
CREATE INDEX units_idem ON units (idem) WHERE idem <> '';
CREATE INDEX units_key ON units (key, seq) WHERE key <> '';
CREATE INDEX units_sender ON units (sender_id);
CREATE INDEX units_received ON units (received_at, id);

CREATE TABLE waiting (
	id          text    NOT NULL PRIMARY KEY,
	target      text    NOT NULL,
	partition   integer NOT NULL,
	key         text    NOT NULL,
	seq         integer NOT NULL,
	status      text    NOT NULL,
	holds       integer NOT NULL,
	due         integer NOT NULL,
	site        text    NOT NULL,
	feed        text    NOT NULL,
	received_at integer NOT NULL,
	body        blob    NOT NULL
) STRICT;
CREATE INDEX waiting_key ON waiting (target, partition, key, seq, id) WHERE holds AND key <> '';
CREATE INDEX waiting_head ON waiting (target, partition, key) WHERE due > 0 AND key <> '';
CREATE INDEX waiting_received ON waiting (received_at, id);
CREATE INDEX waiting_due ON waiting (target, partition, due) WHERE due > 0;

CREATE TABLE history (
	id     integer PRIMARY KEY,
	unit   text    NOT NULL,
	at     integer NOT NULL,
	what   text    NOT NULL,
	worker text    NOT NULL,
	took   integer NOT NULL,
	class  text    NOT NULL,
	reason text    NOT NULL,
	person text    NOT NULL
) STRICT;
CREATE INDEX history_unit ON history (unit, id);

CREATE TABLE tally (
	target text    NOT NULL,
	shard  integer NOT NULL,
	site   text    NOT NULL,
	feed   text    NOT NULL,
	status text    NOT NULL,
	n      integer NOT NULL,
	last   integer NOT NULL,
	PRIMARY KEY (target, shard, site, feed, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE replays (
	id          text    NOT NULL PRIMARY KEY,
	person      text    NOT NULL,
	created_at  integer NOT NULL,
	started     integer NOT NULL DEFAULT 0,
	allow_stale integer NOT NULL,
	rate        real    NOT NULL DEFAULT 0,
	total       integer NOT NULL,
	done        integer NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX replays_created ON replays (created_at);

CREATE TABLE replay_items (
	replay text    NOT NULL,
	n      integer NOT NULL,
	unit   text    NOT NULL,
	action text    NOT NULL,
	done   integer NOT NULL DEFAULT 0,
	PRIMARY KEY (replay, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_items_unit ON replay_items (replay, unit);
CREATE INDEX replay_items_pending ON replay_items (replay, n) WHERE NOT done;

CREATE TABLE replay_counts (
	replay text    NOT NULL,
	action text    NOT NULL,
	n      integer NOT NULL,
	PRIMARY KEY (replay, action)
) STRICT, WITHOUT ROWID;
