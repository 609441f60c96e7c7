from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError

from . import guard

MAX_CHANGES = 1000
KEEP = timedelta(days=30)

# How far positions jump when the database turns out to be a restored one: further
# than the transactions that a restored copy can have lost.
JUMP = 10**8


class Change(models.Model):
    """That a record changed, in the transaction that changed it: polling by
    write_date misses what commits late, this does not.

    A change's position is the number of its transaction, which says what is older,
    plus a shift that is 0 until the database is restored from a copy: transactions
    are then counted anew. A row of kind "forgotten" stands where the changes of a
    model before it are not known: they were deleted for their age, nobody wrote
    them down, or they happened to another copy of the database."""

    _name = "vagus.change"
    _description = "Change that Vagus may read"
    _order = "xact, id"
    _log_access = False

    model = fields.Char(required=True)
    res_id = fields.Integer(required=True)
    kind = fields.Selection([("create", "Created"), ("write", "Changed"), ("unlink", "Deleted"), ("forgotten", "None known before")], required=True)
    xact = fields.Float("Position", digits=(20, 0))  # exact to 2^53; an Integer ends at 2^31
    at = fields.Datetime()

    def init(self):
        self.env.cr.execute("CREATE INDEX IF NOT EXISTS vagus_change_order ON vagus_change (model, xact, id)")
        self.env.cr.execute("CREATE INDEX IF NOT EXISTS vagus_change_record ON vagus_change (model, res_id, xact, id)")

    def _register_hook(self):
        self._shift()

    @api.model
    def _insert(self, model, kinds):
        """Write changes of a model down: {id: kind}."""
        shift = self._parameter()[1]
        gone = [i for i, kind in kinds.items() if kind == "unlink"]
        if gone:
            self.env.cr.execute("DELETE FROM vagus_change WHERE model = %s AND res_id IN %s AND xact = txid_current() + %s RETURNING res_id, kind", (model, tuple(gone), shift))
            made = {i for i, kind in self.env.cr.fetchall() if kind == "create"}
            kinds = {i: kind for i, kind in kinds.items() if i not in made}  # nobody saw them
        if kinds:
            self.env.cr.execute_values(
                "INSERT INTO vagus_change (model, res_id, kind, xact, at) VALUES %s",
                [(model, i, kind, shift) for i, kind in kinds.items()], "(%s, %s, %s, txid_current() + %s, now() AT TIME ZONE 'UTC')")

    @api.model
    def _begin(self, names):
        """Nothing is known of these models from before now."""
        for model in names:
            self._insert(model, {0: "forgotten"})

    @api.model
    def _parameter(self):
        """Which copy of the database the positions are of, and their shift."""
        copy, _, shift = (self.env["ir.config_parameter"].sudo().get_param("vagus.change.copy") or "").partition(" ")
        return copy, int(shift or 0)

    @api.model
    def _shift(self):
        """The shift of positions, after looking whether this is still the database
        that they were made in. A restored copy has another number, a server that
        went back in time or took over from another one another timeline."""
        self.env.cr.execute("""
            SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) || '.' || system_identifier || '.' || timeline_id
            FROM pg_control_system(), pg_control_checkpoint()""")
        now = self.env.cr.fetchone()[0]
        copy, shift = self._parameter()
        if copy != now:
            if copy:
                self.env.cr.execute("SELECT coalesce(max(xact), 0)::bigint, txid_current() FROM vagus_change")
                last, current = self.env.cr.fetchone()
                shift = max(last, shift) + JUMP - current
                self.env.cr.execute("DELETE FROM vagus_change")
            self.env["ir.config_parameter"].sudo().set_param("vagus.change.copy", "%s %d" % (now, shift))
            if copy:
                self._begin(m for m, (_, _, may_read) in self.env["vagus.policy"]._all().items() if may_read)
        return shift

    @api.model
    def read_changes(self, model, specification, cursor=None, limit=100):
        """Changes of a model after a cursor, oldest first, each record once.

        A transaction's changes appear when all older transactions have ended, so
        that a cursor passes nothing by. The answer: {changes: [{id, kind, values}],
        cursor, more, forgotten}; values is null for a record that is not there any
        more, and a record may have come and gone without having been told of.
        specification is that of web_read, for fields that a policy lets be read.

        The cursor is two integers that mean nothing to the reader, and are good for
        this model only; none, or [0, 0], is before all that is known. With forgotten
        there are no changes in the answer: some after the reader's cursor are not
        known any more, and it has to compare all records with what it has. Then it
        goes on with the cursor of the answer, which it takes before it compares."""
        self.env["vagus.policy"]._check_caller()
        policy = self.env["vagus.policy"]._all().get(model)
        if policy is None or not policy[2]:
            raise AccessError("No policy of Vagus lets changes of this model be read.")
        guard.readable(self.env, model, specification)
        xact, last = (int(n) for n in cursor or (0, 0))
        limit = min(int(limit), MAX_CHANGES)
        if limit < 1:
            raise ValidationError("limit is at least 1")
        me = self.sudo()
        shift, cr = me._shift(), self.env.cr
        self.env.flush_all()
        cr.execute("SELECT txid_snapshot_xmin(s) + %s, txid_snapshot_xmax(s) + %s FROM txid_current_snapshot() s", (shift, shift))
        horizon, end = cr.fetchone()
        cr.execute("SELECT xact::bigint, id FROM vagus_change WHERE model = %s AND kind = 'forgotten' AND xact < %s ORDER BY xact DESC, id DESC LIMIT 1", (model, horizon))
        mark = cr.fetchone() or (0, 0)
        if (xact, last) != (0, 0) and ((xact, last) < mark or xact > end):
            return {"changes": [], "cursor": list(mark), "more": True, "forgotten": True}
        cr.execute("""
            SELECT xact::bigint, id, res_id, kind FROM vagus_change c
            WHERE model = %s AND kind <> 'forgotten' AND (xact, id) > (%s, %s) AND xact < %s
                AND NOT EXISTS (SELECT FROM vagus_change n WHERE n.model = c.model AND n.res_id = c.res_id AND (n.xact, n.id) > (c.xact, c.id) AND n.xact < %s)
            ORDER BY xact, id LIMIT %s""", (model, xact, last, horizon, horizon, limit))
        rows = cr.fetchall()
        there = me.env[model].with_context(active_test=False, lang="en_US", tz="UTC").browse(r[2] for r in rows).exists()
        values = {v["id"]: v for v in there.web_read(specification)}
        return {
            "changes": [{"id": i, "kind": kind if i in values else "unlink", "values": values.get(i)} for _, _, i, kind in rows],
            "cursor": list(rows[-1][:2]) if rows else list(max((xact, last), mark)),
            "more": len(rows) == limit,
            "forgotten": False,
        }

    @api.autovacuum
    def _forget_old(self):
        """Delete old changes, and say of each model up to where."""
        self.env.cr.execute("""
            WITH old AS (SELECT id, row_number() OVER (PARTITION BY model ORDER BY xact DESC, id DESC) = 1 AS last FROM vagus_change WHERE at < %s),
                kept AS (UPDATE vagus_change SET kind = 'forgotten', res_id = 0 WHERE id IN (SELECT id FROM old WHERE last))
            DELETE FROM vagus_change WHERE id IN (SELECT id FROM old WHERE NOT last)""", (fields.Datetime.now() - KEEP,))
