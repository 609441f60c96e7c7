-- Times are microseconds since 1970, 0 for none. Text that is compared by its
-- beginning or that orders rows is compared by its bytes (COLLATE "C").

CREATE TABLE leases (
	target      text COLLATE "C" NOT NULL,
	partition   integer NOT NULL,
	owner       text    NOT NULL DEFAULT '',
	token       bigint  NOT NULL DEFAULT 0,
	expires_at  bigint  NOT NULL DEFAULT 0,
	cursor      bigint  NOT NULL DEFAULT 0,
	cursor_unit text    NOT NULL DEFAULT '',
	PRIMARY KEY (target, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE workers (
	target text   NOT NULL,
	worker text   NOT NULL,
	until  bigint NOT NULL,
	PRIMARY KEY (target, worker)
) WITH (fillfactor = 20);

-- More than half of each page is left for the second version of its rows, the
-- longer one: the claimed and the settled one. No index names a column that
-- settling changes.
CREATE TABLE units (
	id          text COLLATE "C" NOT NULL PRIMARY KEY,
	message_id  text COLLATE "C" NOT NULL,
	tenant      text    NOT NULL,
	site        text    NOT NULL,
	feed        text    NOT NULL,
	target      text COLLATE "C" NOT NULL,
	partition   integer NOT NULL,
	key         text COLLATE "C" NOT NULL,
	idem        text COLLATE "C" NOT NULL,
	kind        text    NOT NULL,
	sender_id   text COLLATE "C" NOT NULL,
	mapping     text    NOT NULL,
	seq         bigint  NOT NULL,
	status      text    NOT NULL,
	attempts    integer NOT NULL,
	class       text    NOT NULL,
	reason      text    NOT NULL,
	warning     text    NOT NULL,
	records     text    NOT NULL,
	trace       text    NOT NULL,
	remappable  boolean NOT NULL,
	hold        boolean NOT NULL,
	received_at bigint  NOT NULL,
	mapped_at   bigint  NOT NULL,
	stored_at   bigint  NOT NULL,
	claimed_at  bigint  NOT NULL,
	settled_at  bigint  NOT NULL,
	took        bigint  NOT NULL,
	request     text    NOT NULL,
	worker      text    NOT NULL
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX units_message ON units (message_id);
CREATE INDEX units_idem ON units (idem) WHERE idem <> '';
CREATE INDEX units_key ON units (key, seq) WHERE key <> '';
CREATE INDEX units_sender ON units (sender_id);
CREATE INDEX units_received ON units (received_at, id);

CREATE TABLE waiting (
	id          text COLLATE "C" NOT NULL PRIMARY KEY,
	target      text COLLATE "C" NOT NULL,
	partition   integer NOT NULL,
	key         text COLLATE "C" NOT NULL,
	seq         bigint  NOT NULL,
	status      text    NOT NULL,
	holds       boolean NOT NULL,
	due         bigint  NOT NULL,
	site        text    NOT NULL,
	feed        text    NOT NULL,
	received_at bigint  NOT NULL,
	body        bytea   NOT NULL
);
CREATE INDEX waiting_key ON waiting (target, partition, key, seq, id) WHERE holds AND key <> '';
CREATE INDEX waiting_head ON waiting (target, partition, key) WHERE due > 0 AND key <> '';
CREATE INDEX waiting_received ON waiting (received_at, id);
CREATE INDEX waiting_due ON waiting (target, partition, due) WHERE due > 0;

CREATE TABLE history (
	id     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	unit   text COLLATE "C" NOT NULL,
	at     bigint  NOT NULL,
	what   text    NOT NULL,
	worker text    NOT NULL,
	took   bigint  NOT NULL,
	class  text    NOT NULL,
	reason text    NOT NULL,
	person text    NOT NULL
);
CREATE INDEX history_unit ON history (unit, id);

CREATE TABLE tally (
	target text COLLATE "C" NOT NULL,
	shard  integer NOT NULL,
	site   text    NOT NULL,
	feed   text    NOT NULL,
	status text    NOT NULL,
	n      bigint  NOT NULL,
	last   bigint  NOT NULL,
	PRIMARY KEY (target, shard, site, feed, status)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE replays (
	id          text COLLATE "C" NOT NULL PRIMARY KEY,
	person      text    NOT NULL,
	created_at  bigint  NOT NULL,
	started     boolean NOT NULL DEFAULT false,
	allow_stale boolean NOT NULL,
	rate        double precision NOT NULL DEFAULT 0,
	total       bigint  NOT NULL,
	done        bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
CREATE INDEX replays_created ON replays (created_at);

CREATE TABLE replay_items (
	replay text COLLATE "C" NOT NULL,
	n      bigint  NOT NULL,
	unit   text COLLATE "C" NOT NULL,
	action text    NOT NULL,
	done   boolean NOT NULL DEFAULT false,
	PRIMARY KEY (replay, n)
);
CREATE INDEX replay_items_unit ON replay_items (replay, unit);
CREATE INDEX replay_items_pending ON replay_items (replay, n) WHERE NOT done;

CREATE TABLE replay_counts (
	replay text COLLATE "C" NOT NULL,
	action text   NOT NULL,
	n      bigint NOT NULL,
	PRIMARY KEY (replay, action)
);
