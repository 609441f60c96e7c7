-- What lists are asked for by: a value that is rare among millions is found, not looked for.
-- None of these columns changes when a unit is applied: class stays ''.
CREATE INDEX units_site ON units (site, received_at);
CREATE INDEX units_feed ON units (feed, received_at);
CREATE INDEX units_kind ON units (kind, received_at);
CREATE INDEX units_class ON units (class, received_at) WHERE class <> '';
CREATE INDEX history_discarded ON history (unit) WHERE what = 'discarded';
