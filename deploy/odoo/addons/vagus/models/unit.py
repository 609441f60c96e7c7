import logging

import psycopg2
from psycopg2 import errorcodes

from odoo import api, fields, models
from odoo.exceptions import AccessError, MissingError, UserError, ValidationError

from .effects import Effects, Refusal

_logger = logging.getLogger(__name__)

# Odoo runs the whole request again for these.
CONCURRENCY = (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED)

MAX_UNITS = 200
MAX_OPERATIONS = 500


class Unit(models.Model):
    """What a message meant: one row for each unit that came. It holds no content."""

    _name = "vagus.unit"
    _description = "Vagus unit"
    _order = "id desc"
    _rec_name = "message"

    unit = fields.Char(required=True, readonly=True)
    message = fields.Char("Message", readonly=True, index=True)
    site = fields.Char(readonly=True)
    feed = fields.Char(readonly=True)
    kind = fields.Char("Type", readonly=True)
    mapping = fields.Char(readonly=True)
    result = fields.Selection([("applied", "Applied"), ("retry", "To be tried again"), ("rejected", "Rejected")], readonly=True, index=True)
    error = fields.Char(readonly=True, help="Class of the fault and the operation; never the text of it, which may quote a person")
    attempts = fields.Integer(readonly=True)
    record_ids = fields.One2many("vagus.record", "unit_id", "Records", readonly=True)

    def init(self):
        # Not a constraint of the class: how they are declared differs between 17 and 19.
        self.env.cr.execute("CREATE UNIQUE INDEX IF NOT EXISTS vagus_unit_once ON vagus_unit (unit)")

    @api.model
    def apply(self, units):
        """Apply units in their order, each under a savepoint of its own.

        The answer has one item for each unit: {unit, result: applied | retry |
        rejected, class, op, again, records: [{op, model, id, made}]}. The unit's id is
        stored in the transaction that has its effects: a repetition is answered
        from there and changes nothing. No text of an exception is in an answer.
        """
        self.env["vagus.policy"]._check_caller()
        if not isinstance(units, list) or len(units) > MAX_UNITS:
            raise ValidationError("units is a list of at most %d" % MAX_UNITS)
        return [self.sudo()._apply_one(unit) for unit in units]

    @api.model
    def version(self):
        """What the caller needs to know of this addon."""
        self.env["vagus.policy"]._check_caller()
        return {"protocol": 1, "policies": {m: {"write": w, "methods": sorted(c), "read": r} for m, (w, c, r) in self.env["vagus.policy"]._all().items()}}

    def _apply_one(self, unit):
        if not isinstance(unit, dict) or not isinstance(unit.get("id"), str) or len(unit.get("ops") or ()) > MAX_OPERATIONS:
            return {"unit": None, "result": "rejected", "class": "odoo.bad_call", "records": []}
        answer = {"unit": unit["id"], "records": []}
        effects = Effects(self.env, unit)
        try:
            with self.env.cr.savepoint():
                row = self._claim(unit)
                if row.result == "applied":
                    answer.update(result="applied", again=True, records=[r._answer() for r in row.record_ids])
                    return answer
                answer["records"] = effects.run()
                row.write({
                    "result": "applied", "error": False, "attempts": row.attempts + 1, "mapping": unit.get("mapping"),
                    "record_ids": [(0, 0, {"operation": r["op"], "model": r["model"], "res_id": r["id"], "made": r["made"]}) for r in answer["records"]],
                })
            answer["result"] = "applied"
            return answer
        except Exception as e:  # every fault of one unit is that unit's answer
            if isinstance(e, psycopg2.OperationalError) or getattr(e, "pgcode", None) in CONCURRENCY:
                raise
            answer.update(records=[], op=effects.op, **self._fault(e))
        row = self._claim(unit)
        row.write({
            "result": answer["result"], "error": "%s %s" % (answer["class"], answer["op"] or ""), "mapping": unit.get("mapping"),
            "attempts": row.attempts + 1})
        _logger.info("vagus: unit %s: %s %s at %s", unit["id"], answer["result"], answer["class"], answer["op"])
        return answer

    def _claim(self, unit):
        """The row of a unit, ours until the transaction ends. Of two workers that
        bring one unit at one moment the later one gets a serialization failure,
        for which Odoo runs his request again: then he sees what the first did."""
        self.flush_model()
        self.env.cr.execute("""
            INSERT INTO vagus_unit (unit, message, site, feed, kind, create_uid, create_date, write_uid, write_date)
            VALUES (%s, %s, %s, %s, %s, %s, now() AT TIME ZONE 'UTC', %s, now() AT TIME ZONE 'UTC')
            ON CONFLICT (unit) DO UPDATE SET unit = EXCLUDED.unit RETURNING id""",
            (unit["id"], *(unit.get(k) for k in ("message_id", "site", "feed", "kind")), self.env.uid, self.env.uid))
        row = self.browse(self.env.cr.fetchone()[0])
        row.invalidate_recordset()
        return row

    def _fault(self, e):
        if isinstance(e, Refusal):
            return {"result": e.result, "class": e.fault, **({"field": e.field} if e.field else {})}
        if isinstance(e, MissingError):
            return {"result": "retry", "class": "odoo.missing_record"}
        for kind, name in ((ValidationError, "ValidationError"), (AccessError, "AccessError"), (UserError, "UserError")):
            if isinstance(e, kind):
                return {"result": "rejected", "class": "odoo." + name}
        if isinstance(e, psycopg2.IntegrityError):
            return {"result": "rejected", "class": "odoo.constraint"}
        if isinstance(e, (psycopg2.DataError, ValueError, TypeError, KeyError)):
            return {"result": "rejected", "class": "odoo.bad_value"}
        _logger.warning("vagus: a fault of class %s", type(e).__name__)
        return {"result": "rejected", "class": "odoo.unknown"}


class Record(models.Model):
    """A record that a unit made or changed."""

    _name = "vagus.record"
    _description = "Record that a Vagus unit touched"
    _order = "id"
    _rec_name = "operation"

    unit_id = fields.Many2one("vagus.unit", required=True, ondelete="cascade", index=True, readonly=True)
    operation = fields.Char(readonly=True)
    model = fields.Char(readonly=True)
    res_id = fields.Integer("Record", readonly=True)
    made = fields.Boolean("Created", readonly=True)

    def init(self):
        self.env.cr.execute("CREATE INDEX IF NOT EXISTS vagus_record_of ON vagus_record (model, res_id)")

    def _answer(self):
        return {"op": self.operation, "model": self.model, "id": self.res_id, "made": self.made}

    def open_record(self):
        self.ensure_one()
        return {"type": "ir.actions.act_window", "res_model": self.model, "res_id": self.res_id, "views": [(False, "form")]}
