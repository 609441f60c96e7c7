CREATE INDEX history_discarded ON history (unit) WHERE what = 'discarded';
