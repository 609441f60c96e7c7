-- The keys of a unit beside the one in units.
CREATE TABLE other_keys (
	unit      text COLLATE "C" NOT NULL,
	target    text COLLATE "C" NOT NULL,
	partition integer NOT NULL,
	key       text COLLATE "C" NOT NULL,
	seq       bigint  NOT NULL,
	PRIMARY KEY (unit, key)
);
CREATE INDEX other_keys_key ON other_keys (key, seq);

-- A row with gate_of is a gate: the unit of that id holds the row's key.
ALTER TABLE waiting ADD COLUMN gate_of text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX waiting_gate ON waiting (gate_of) WHERE gate_of <> '';
