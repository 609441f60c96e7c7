CREATE TABLE other_keys (
	unit      text    NOT NULL,
	target    text    NOT NULL,
	partition integer NOT NULL,
	key       text    NOT NULL,
	seq       integer NOT NULL,
	PRIMARY KEY (unit, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX other_keys_key ON other_keys (key, seq);

ALTER TABLE waiting ADD COLUMN gate_of text NOT NULL DEFAULT '';
CREATE INDEX waiting_gate ON waiting (gate_of) WHERE gate_of <> '';
