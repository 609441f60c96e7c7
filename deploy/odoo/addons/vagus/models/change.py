from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError

MAX_CHANGES = 1000
KEEP = timedelta(days=30)


class Deferred(models.Model):
    """A reference whose record had not come when it was written."""

    _name = "vagus.deferred"
    _description = "Reference that waits for its record"

    model = fields.Char(required=True)
    res_id = fields.Integer(required=True)
    field = fields.Char(required=True)
    xid = fields.Char(required=True, index=True)

    @api.model
    def _arrived(self, xid, record):
        for waiting in self.search([("xid", "=", xid)]):
            target = self.env[waiting.model].browse(waiting.res_id).exists()
            if target and not target[waiting.field]:
                target.write({waiting.field: record.id})
            waiting.unlink()


class Change(models.Model):
    """That a record changed, in the transaction that changed it: polling by
    write_date misses what commits late, this does not."""

    _name = "vagus.change"
    _description = "Change that Vagus may read"
    _order = "xact, id"
    _log_access = False

    model = fields.Char(required=True)
    res_id = fields.Integer(required=True)
    kind = fields.Selection([("create", "Created"), ("write", "Changed"), ("unlink", "Deleted")], required=True)
    xact = fields.Float("Transaction", digits=(20, 0))  # of PostgreSQL: 64 bits, more than an Integer has
    at = fields.Datetime()

    def init(self):
        self.env.cr.execute("CREATE INDEX IF NOT EXISTS vagus_change_order ON vagus_change (model, xact, id)")

    @api.model
    def _note(self, model, ids, kind):
        self.env.cr.execute("""
            INSERT INTO vagus_change (model, res_id, kind, xact, at)
            SELECT %s, unnest(%s), %s, txid_current(), now() AT TIME ZONE 'UTC'""", (model, list(ids), kind))

    @api.model
    def read_changes(self, model, specification, cursor=None, limit=100):
        """Changes of a model after a cursor, oldest first, each record once.

        A transaction's changes appear when all older transactions have ended, so
        that a cursor passes nothing by. The answer: {changes: [{id, kind, values}],
        cursor, more}; values is null for a deleted record. specification is that
        of web_read."""
        self.env["vagus.policy"]._check_caller()
        policy = self.env["vagus.policy"]._all().get(model)
        if policy is None or not policy[2]:
            raise AccessError("No policy of Vagus lets changes of this model be read.")
        xact, last = cursor or (0, 0)
        limit = min(int(limit), MAX_CHANGES)
        if limit < 1:
            raise ValidationError("limit is at least 1")
        self.env.cr.execute("""
            SELECT xact::bigint, id, res_id, kind FROM vagus_change
            WHERE model = %s AND (xact, id) > (%s, %s) AND xact < txid_snapshot_xmin(txid_current_snapshot())
            ORDER BY xact, id LIMIT %s""", (model, xact, last, limit))
        rows = self.env.cr.fetchall()
        newest = {}
        for row in rows:
            newest.pop(row[2], None)
            newest[row[2]] = row[3]
        there = self.env[model].sudo().with_context(active_test=False, lang="en_US", tz="UTC").browse(newest).exists()
        values = {v["id"]: v for v in there.web_read(specification)}
        return {
            "changes": [{"id": i, "kind": "unlink" if i not in values else kind, "values": values.get(i)} for i, kind in newest.items()],
            "cursor": [rows[-1][0], rows[-1][1]] if rows else [xact, last],
            "more": len(rows) == limit,
        }

    @api.autovacuum
    def _forget_old(self):
        self.env.cr.execute("DELETE FROM vagus_change WHERE at < %s", (fields.Datetime.now() - KEEP,))


class Base(models.AbstractModel):
    _inherit = "base"

    def _vagus_noted(self, kind):
        if self.ids and not self._abstract and not self._transient and self._name[:6] != "vagus.":
            policy = self.env["vagus.policy"]._all().get(self._name) if "vagus.policy" in self.env and self.env.registry.ready else None
            if policy and policy[2]:
                self.env["vagus.change"]._note(self._name, self.ids, kind)

    @api.model_create_multi
    def create(self, vals_list):
        records = super().create(vals_list)
        records._vagus_noted("create")
        return records

    def write(self, vals):
        result = super().write(vals)
        self._vagus_noted("write")
        return result

    def unlink(self):
        self._vagus_noted("unlink")
        return super().unlink()
