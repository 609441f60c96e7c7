import logging

import psycopg2
from psycopg2 import errorcodes

from odoo import api, fields, models
from odoo.exceptions import AccessError, MissingError, UserError, ValidationError

from .batch import Batch, Spoiled
from .effects import Effects
from .quiet import quiet
from .rounds import Plan, rounds
from .steps import Refusal

_logger = logging.getLogger(__name__)

# Odoo runs the whole request again for these.
CONCURRENCY = (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED)


MAX_UNITS = 200
MAX_OPERATIONS = 500
MAX_TEXT = 300


def concurrent(e):
    return isinstance(e, psycopg2.OperationalError) or getattr(e, "pgcode", None) in CONCURRENCY


def is_unit(unit):
    return isinstance(unit, dict) and isinstance(unit.get("id"), str) and unit["id"] == text(unit["id"]) and len(unit.get("ops") or ()) <= MAX_OPERATIONS


def text(value):
    """A name as a column takes it."""
    return value.replace("\0", "")[:MAX_TEXT] if isinstance(value, str) else None


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
    touched = fields.Integer("Records touched", compute="_compute_touched")

    def init(self):
        # Not a constraint of the class: how they are declared differs between 17 and 19.
        self.env.cr.execute("CREATE UNIQUE INDEX IF NOT EXISTS vagus_unit_once ON vagus_unit (unit)")

    @api.depends("record_ids")
    def _compute_touched(self):
        for unit in self:
            unit.touched = len(set(unit.record_ids.mapped(lambda r: (r.model, r.res_id))))

    @api.model
    def apply(self, units):
        """Apply units in their order, each whole or not at all.

        The answer has one item for each unit: {unit, result: applied | retry |
        rejected, class, op, field, again, records: [{op, model, id, made}],
        overwrote: [{op, model, fields}]}. The unit's id is stored in the transaction that
        has its effects: a repetition is answered from there and changes nothing.
        Units that do not touch the same records are applied together, and one by
        one when that fails. No text of an exception is in an answer.
        """
        self.env["vagus.policy"]._check_caller()
        if not isinstance(units, list) or len(units) > MAX_UNITS:
            raise ValidationError("units is a list of at most %d" % MAX_UNITS)
        return self.sudo()._apply(units)

    @api.model
    def version(self):
        """What the caller needs to know of this addon."""
        self.env["vagus.policy"]._check_caller()
        return {"protocol": 1, "policies": {m: {"write": w, "methods": sorted(c), "read": r} for m, (w, c, r) in self.env["vagus.policy"]._all().items()}}

    def _apply(self, units):
        bodies = {}
        for unit in units:
            if is_unit(unit):
                bodies.setdefault(unit["id"], unit)
        self._settle()
        rows = self._claim(bodies)
        answers = self._done(rows)
        plans = [Plan(body, rows[i]) for i, body in bodies.items() if i not in answers]
        for together in rounds(self.env, plans, self._places(plans)):
            self._apply_together(together, answers)
        self._record(plans, answers)
        out, seen = [], set()
        for unit in units:
            if not is_unit(unit):
                out.append({"unit": None, "result": "rejected", "class": "odoo.bad_call", "records": []})
                continue
            answer = answers[unit["id"]]
            out.append({**answer, "again": True} if unit["id"] in seen and answer["result"] == "applied" else answer)
            seen.add(unit["id"])
        return out

    def _settle(self):
        """Write the references whose record is there, which its own unit did not
        see waiting: their transactions ran at the same time, or it was made by hand."""
        deferred = Batch(self.env, []).env["vagus.deferred"]
        for xid, record in deferred._come().items():
            try:
                with quiet(), self.env.cr.savepoint():
                    deferred._arrived({xid: record})
            except Exception as e:  # a rule of Odoo's: it holds up nobody else
                if concurrent(e):
                    raise
                deferred.search([("xid", "=", xid)]).unlink()
                _logger.warning("vagus: a reference that waited was not written: %s", type(e).__name__)

    def _apply_together(self, plans, answers, one_call=True):
        """Apply units that do not depend on each other under one savepoint, and
        when that fails in smaller parts, down to a savepoint for each."""
        batch = Batch(self.env, plans, one_call)
        try:
            with quiet(), self.env.cr.savepoint():
                batch.run()
        except Exception as e:  # every fault of one unit is that unit's answer
            if concurrent(e):
                raise
            # What was remembered of what is taken back: groups of users, say.
            if self.env.registry.cache_invalidated:
                self.env.registry.clear_cache(*self.env.registry.cache_invalidated)
            if len(plans) == 1:
                answers[plans[0].id] = self._refused(plans[0], batch, e)
            elif isinstance(e, Spoiled):
                self._apply_together([p for p in plans if p not in e.plans], answers)
                for plan in e.plans:
                    self._apply_together([plan], answers)
            elif batch.calls:
                self._apply_together(plans, answers, one_call=False)
            else:
                half = len(plans) // 2
                self._apply_together(plans[:half], answers)
                self._apply_together(plans[half:], answers)
            return
        alone = len(plans) == 1 or not any(effects.dirty for effects in batch.effects.values())
        for plan in plans:
            effects = batch.effects[plan]
            if plan not in batch.failed:
                answers[plan.id] = {"unit": plan.id, "result": "applied", "records": effects.records}
                if effects.overwrote:
                    answers[plan.id]["overwrote"] = effects.overwrote
            elif alone:
                answers[plan.id] = self._refused(plan, batch, batch.failed[plan])
            else:  # what the others did may have been what it needs
                self._apply_together([plan], answers)

    def _refused(self, plan, batch, e):
        fault = self._fault(e)
        if fault["class"] == "odoo.constraint" and self._came_meanwhile(plan):
            fault = {"result": "retry", "class": "odoo.SerializationFailure"}
        effects = batch.effects.get(plan)
        answer = {"unit": plan.id, "records": [], "op": effects and effects.op, **fault}
        _logger.info("vagus: unit %s: %s %s at %s", plan.id, answer["result"], answer["class"], answer["op"])
        return answer

    def _came_meanwhile(self, plan):
        """Whether somebody else committed a record of the unit after this
        transaction began, which cannot see it: the next attempt will."""
        xids = [x for x in plan.xids if x in plan.named]
        if not xids and all(not by for _, by, _ in plan.searches):
            return False
        with self.env.registry.cursor() as cr:
            here, there = Batch(self.env, [plan]), Batch(self.env(cr=cr), [plan])
            for op, _ in plan.ops:
                try:
                    found = [bool(e.find(e.model(op), op)) for e in (Effects(here, plan.body), Effects(there, plan.body))]
                except Exception:  # it refers to what the unit was to make
                    continue
                if found == [False, True]:
                    return True
        return False

    def _claim(self, bodies):
        """The rows of units, ours until the transaction ends. Of two workers that
        bring one unit at one moment the later one gets a serialization failure,
        for which Odoo runs the request again: then it sees what the first did."""
        if not bodies:
            return {}
        values = [v for i in sorted(bodies) for v in (i, *(text(bodies[i].get(k)) for k in ("message_id", "site", "feed", "kind")), self.env.uid, self.env.uid)]
        self.env.cr.execute("""
            INSERT INTO vagus_unit (unit, message, site, feed, kind, create_uid, create_date, write_uid, write_date)
            VALUES %s ON CONFLICT (unit) DO UPDATE SET unit = EXCLUDED.unit RETURNING unit, id, result""" %
            ", ".join(["(%s, %s, %s, %s, %s, %s, now() AT TIME ZONE 'UTC', %s, now() AT TIME ZONE 'UTC')"] * len(bodies)), values, log_exceptions=False)
        return {unit: (row, result) for unit, row, result in self.env.cr.fetchall()}

    def _done(self, rows):
        """The answers for units that were applied before."""
        done = {row: unit for unit, (row, result) in rows.items() if result == "applied"}
        answers = {unit: {"unit": unit, "result": "applied", "again": True, "records": []} for unit in done.values()}
        if done:
            self.env.cr.execute("SELECT unit_id, operation, model, res_id, made FROM vagus_record WHERE unit_id IN %s ORDER BY id", (tuple(done),))
            for row, op, model, res_id, made in self.env.cr.fetchall():
                answers[done[row]]["records"].append({"op": op, "model": model, "id": res_id, "made": made})
        return answers

    def _places(self, plans):
        """Which record an external id has: {external id: (model, id)}."""
        names = {tuple(x.split(".", 1)) for p in plans for x in p.xids}
        if not names:
            return {}
        self.env.cr.execute("SELECT module || '.' || name, model, res_id FROM ir_model_data WHERE (module, name) IN %s", (tuple(names),))
        return {xid: (model, i) for xid, model, i in self.env.cr.fetchall()}

    def _record(self, plans, answers):
        """Write down what became of the units, in the transaction of their effects."""
        results, records = [], []
        for plan in plans:
            answer, (row, _) = answers[plan.id], plan.row
            where = ", ".join(str(answer[k]) for k in ("op", "field") if answer.get(k))
            error = ": ".join(filter(None, (answer.get("class"), where))) or None
            results.append((row, answer["result"], error, text(plan.body.get("mapping"))))
            records += [(row, r["op"], r["model"], r["id"], r["made"], self.env.uid, self.env.uid) for r in answer["records"]]
        if results:
            self.env.cr.execute_values("""
                UPDATE vagus_unit SET result = v.result, error = v.error, mapping = v.mapping, attempts = coalesce(attempts, 0) + 1,
                    write_date = now() AT TIME ZONE 'UTC'
                FROM (VALUES %s) AS v (id, result, error, mapping) WHERE vagus_unit.id = v.id""", results, "(%s::int, %s, %s, %s)")
        if records:
            self.env.cr.execute_values("""
                INSERT INTO vagus_record (unit_id, operation, model, res_id, made, create_uid, create_date, write_uid, write_date) VALUES %s""",
                records, "(%s, %s, %s, %s, %s, %s, now() AT TIME ZONE 'UTC', %s, now() AT TIME ZONE 'UTC')")
        self.invalidate_model(flush=False)
        self.env["vagus.record"].invalidate_model(flush=False)

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
        return {"result": "retry", "class": "odoo.unknown"}


class Record(models.Model):
    """A record that a unit made or changed."""

    _name = "vagus.record"
    _description = "Record that a Vagus unit touched"
    _order = "id"
    _rec_name = "operation"

    unit_id = fields.Many2one("vagus.unit", required=True, ondelete="cascade", index=True, readonly=True)
    operation = fields.Char(readonly=True)
    model = fields.Char(readonly=True)
    res_id = fields.Integer("Id", readonly=True)
    made = fields.Boolean("Created", readonly=True)
    document = fields.Char(compute="_compute_name")
    name = fields.Char("Record", compute="_compute_name", help="As the user may see it")
    message = fields.Char(related="unit_id.message")
    feed = fields.Char(related="unit_id.feed")
    kind = fields.Char(related="unit_id.kind")

    def init(self):
        self.env.cr.execute("CREATE INDEX IF NOT EXISTS vagus_record_of ON vagus_record (model, res_id)")

    @api.depends("model", "res_id")
    def _compute_name(self):
        for model, records in self.grouped("model").items() if hasattr(self, "grouped") else [(r.model, r) for r in self]:
            names = {}
            if model in self.env:
                try:  # what this user may read
                    names = {r.id: r.display_name for r in self.env[model].with_context(active_test=False).search([("id", "in", records.mapped("res_id"))])}
                except AccessError:
                    pass
            for record in records:
                record.document = self.env["ir.model"]._get(model).name if model in self.env else model
                record.name = names.get(record.res_id) or "%s,%d" % (model, record.res_id)

    def open_record(self):
        self.ensure_one()
        return {"type": "ir.actions.act_window", "res_model": self.model, "res_id": self.res_id, "views": [(False, "form")]}

    def open_unit(self):
        self.ensure_one()
        return {"type": "ir.actions.act_window", "res_model": "vagus.unit", "res_id": self.unit_id.id, "views": [(False, "form")]}
