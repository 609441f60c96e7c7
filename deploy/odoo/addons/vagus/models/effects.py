"""What the operations of a unit do. The shapes are those of the broker's units:
values are plain, null clears, and references are symbolic ($ref, $xid, $op,
$add, $replace, $merge, $distribution)."""

import hashlib
import json
import re

from odoo import SUPERUSER_ID

XID = re.compile(r"^[a-z][a-z0-9_]*\.[A-Za-z0-9_.%\-]+$")
LINES = "vagus_line"  # module of the external ids of lines
CONTEXT = {"tracking_disable": True, "mail_create_nosubscribe": True, "tz": "UTC", "lang": "en_US"}


class Refusal(Exception):
    """A unit that is not applied, by our own judgement. It holds no value."""

    def __init__(self, result, fault, field=None):
        super().__init__(fault)
        self.result, self.fault, self.field = result, fault, field


def invalid(field=None):
    return Refusal("rejected", "odoo.invalid", field)


class Effects:
    """The effects of one unit, in the order of its operations."""

    def __init__(self, env, unit):
        self.env = env(user=SUPERUSER_ID, context=CONTEXT)
        self.policies = env["vagus.policy"]._all()
        self.unit = unit
        self.op = None  # the operation in hand, for the answer
        self.done = {}  # operation → record
        self.records = []

    def run(self):
        for op in self.unit.get("ops") or ():
            self.op = str(op.get("op"))
            do = {"upsert": self.upsert, "create": self.create, "update": self.update, "archive": self.archive, "merge": self.merge, "call": self.call}.get(op.get("do"))
            if do is None:
                raise invalid()
            do(op)
        self.op = None
        return self.records

    # --- operations

    def upsert(self, op):
        model = self.model(op)
        record = self.find(model, op)
        if not record:
            self.make(model, op)
        elif self.holds(record, op):
            self.change(record, op)
        else:
            self.touched(op, record)

    def create(self, op):
        model = self.model(op)
        record = self.find(model, op)
        if record:
            self.touched(op, record)
        else:
            self.make(model, op)

    def update(self, op):
        record = self.existing(op)
        if record and self.holds(record, op):
            self.change(record, op)
        elif record:
            self.touched(op, record)

    def archive(self, op):
        record = self.existing(op)
        if record and self.holds(record, op):
            if record[record._active_name or "active"]:
                record.action_archive()
            self.touched(op, record)

    def merge(self, op):
        """The wizard of Odoo moves everything that points at the record,
        its external ids too: a repetition finds one record."""
        if op.get("model") != "res.partner":
            raise Refusal("rejected", "odoo.unsupported")
        record, into = self.existing(op), self.earlier(op.get("on"))
        if record and into and record != into:
            self.policy("base.partner.merge.automatic.wizard")
            self.env["base.partner.merge.automatic.wizard"].create({})._merge((record | into).ids, into)
        if into:
            self.touched(op, into)

    def call(self, op):
        for record in self.meant(op["on"]) if op.get("on") else self.existing(op):
            self.call_one(op, record)

    def meant(self, name):
        """The records of an earlier operation, of all its repetitions when it is
        named without their number."""
        if name not in (str(o.get("op")).partition("#")[0] for o in self.unit["ops"]):
            return self.earlier(name)
        return [r for op, r in list(self.done.items()) if op.partition("#")[0] == name]

    def call_one(self, op, record):
        name = op.get("method")
        if not isinstance(name, str) or name not in self.policy(record._name)[1]:
            raise Refusal("rejected", "odoo.not_allowed")
        if self.holds(record, op):
            record = record.with_context(**(op.get("context") or {}))
            answer = getattr(record, name)(**{k: self.plain(k, v) for k, v in (op.get("args") or {}).items()})
            if isinstance(answer, dict) and str(answer.get("type", "")).startswith("ir.actions.act_window"):
                raise Refusal("rejected", "odoo.asks_back")  # a wizard: nothing was done
        self.touched(op, record)

    # --- finding

    def policy(self, model):
        policy = self.policies.get(model)
        if policy is None or not policy[0]:
            raise Refusal("rejected", "odoo.not_allowed")
        return policy

    def model(self, op):
        name = op.get("model")
        if name not in self.env:
            raise Refusal("rejected", "odoo.missing_model")
        self.policy(name)
        return self.env[name].with_context(active_test=False, **(op.get("context") or {}))

    def by_xid(self, xid):
        if not isinstance(xid, str) or not XID.match(xid):
            raise Refusal("rejected", "odoo.invalid_xid")
        module, name = xid.split(".", 1)
        data = self.env["ir.model.data"].search([("module", "=", module), ("name", "=", name)], limit=1)
        return self.env[data.model].browse(data.res_id).exists() if data and data.model in self.env else None

    def by_fields(self, model, by):
        domain = []
        for name, value in by.items():
            value = self.plain(name, value)
            domain.append((name, "=", False if value is None else value))
        if not domain:
            raise invalid()
        return model.with_context(active_test=False).search(domain, limit=2)

    def find(self, model, op):
        if op.get("xid"):
            record = self.by_xid(op["xid"])
            if record and record._name != model._name:
                raise Refusal("rejected", "odoo.other_model")
            return model.browse(record.ids) if record else model
        record = self.by_fields(model, op.get("by") or {})
        if len(record) > 1:
            raise Refusal("rejected", "odoo.ambiguous")
        return record

    def existing(self, op):
        model = self.model(op)
        record = self.find(model, op)
        if not record:
            self.none(op.get("on_none") or "retry")
        return record

    @staticmethod
    def none(what):
        if what == "retry":
            raise Refusal("retry", "odoo.missing_record")
        if what != "skip":
            raise Refusal("rejected", "odoo.missing_record")

    def earlier(self, name):
        if name not in self.done:
            raise Refusal("rejected", "odoo.missing_operation")
        return self.done[name]

    def holds(self, record, op):
        """only_if: nothing is done unless the record has these values."""
        for name, value in (op.get("only_if") or {}).items():
            have = record[name]
            if self.field(record, name).relational:
                have = have.ids[:1] and have.ids[0]
            if have != self.plain(name, value) and not (have is False and value in (None, "")):
                return False
        return True

    def touched(self, op, record, made=False):
        self.done[self.op] = record
        self.records.append({"op": self.op, "model": record._name, "id": record.id, "made": made})

    # --- writing

    def make(self, model, op):
        vals, lines, later = self.values(model, {**(op.get("vals") or {}), **(op.get("on_create") or {})})
        record = model.create(vals)
        if op.get("xid"):
            self.name(op["xid"], record)
        self.lines(record, lines, op)
        self.defer(record, later)
        if op.get("xid"):
            self.env["vagus.deferred"]._arrived(op["xid"], record)
        self.touched(op, record, made=True)

    def change(self, record, op):
        vals, lines, later = self.values(record, {**(op.get("vals") or {}), **(op.get("on_update") or {})})
        # All or nothing: a value that is left out may be computed anew from one that is not.
        if not all(self.same(record, name, value) for name, value in vals.items()):
            record.write(vals)
        self.lines(record, lines, op)
        self.defer(record, later)
        self.touched(op, record)

    def name(self, xid, record):
        module, name = xid.split(".", 1)
        self.env["ir.model.data"].create({"module": module, "name": name, "model": record._name, "res_id": record.id, "noupdate": True})

    def same(self, record, name, value):
        """Whether the record has the value: what has not changed is not written."""
        field = self.field(record, name)
        if field.type in ("one2many", "html", "properties", "binary"):
            return False
        if field.type == "json":
            return record[name] == value
        if field.type == "many2many":
            command, _, ids = value[0]
            have = set(record[name].ids)
            return have == set(ids) if command == 6 else len(value) == len([c for c in value if c[1] in have])
        if field.type == "many2one":
            return record[name].id == value
        # As the field reads it: rounded, and a date for a text.
        return field.convert_to_record(field.convert_to_cache(value or False, record), record) == record[name]

    def field(self, record, name):
        field = record._fields.get(name)
        if field is None:
            raise Refusal("rejected", "odoo.unknown_field", name)
        return field

    def values(self, model, vals):
        """Values as create and write take them, the lines apart, and the
        references whose record is still to come."""
        out, lines, later = {}, {}, {}
        for name, value in vals.items():
            field = self.field(model, name)
            if field.type == "one2many":
                lines[name] = value
            elif field.type == "many2many":
                out[name] = self.many(name, value)
                if not out[name]:
                    del out[name]
            elif isinstance(value, dict) and "$distribution" in value:
                out[name] = {str(self.ref(name, share["account"])): float(share["percent"]) for share in value["$distribution"]}
            elif isinstance(value, dict):
                found = self.ref(name, value)
                if found is None:
                    later[name] = value["$xid"]
                elif found:
                    out[name] = found
            else:
                out[name] = False if value is None else value
        return out, lines, later

    def plain(self, name, value):
        if isinstance(value, dict):
            return self.ref(name, value) or False
        return value

    def many(self, name, value):
        if value is None:
            return [(6, 0, [])]
        if not isinstance(value, dict) or ("$add" in value) == ("$replace" in value):
            raise invalid(name)
        items = value.get("$add", value.get("$replace"))
        ids = [i for i in (self.ref(name, item) for item in items) if i]
        if "$add" in value:
            return [(4, i, 0) for i in ids]
        return [(6, 0, ids)] if ids or not items else []

    def ref(self, name, value):
        """The id of a record; 0 to leave the value out; None to defer it."""
        if not isinstance(value, dict):
            raise invalid(name)
        if "$op" in value:
            return self.earlier(value["$op"]).id
        if "$xid" in value:
            record = self.by_xid(value["$xid"])
        elif value.get("$ref") in self.env:
            record = self.by_fields(self.env[value["$ref"]], value.get("by") or {})
        else:
            raise invalid(name)
        if record and len(record) > 1:
            if value.get("on_many") == "skip":
                return 0
            raise Refusal("rejected", "odoo.ambiguous", name)
        if record:
            return record.id
        what = value.get("on_none") or "dead_letter"
        if what == "defer" and "$xid" in value:
            return None
        if what == "retry":
            raise Refusal("retry", "odoo.missing_reference", name)
        if what != "skip":
            raise Refusal("rejected", "odoo.missing_reference", name)
        return 0

    def defer(self, record, later):
        for name, xid in later.items():
            self.env["vagus.deferred"].create({"model": record._name, "res_id": record.id, "field": name, "xid": xid})

    # --- lines

    def lines(self, record, fields, op):
        for name, value in fields.items():
            if value is None:
                record.write({name: [(5, 0, 0)]})
                continue
            if not isinstance(value, dict) or ("$merge" in value) == ("$replace" in value):
                raise invalid(name)
            self.some_lines(record, name, value.get("$merge", value.get("$replace")), "$replace" in value, self.owner(op))

    def owner(self, op):
        """What names a record before it exists, as the broker writes it: without
        this addon it names lines by that."""
        if op.get("xid"):
            return op["xid"]
        text = op["model"] + "+"
        for name, value in sorted((op.get("by") or {}).items()):
            value = self.plain(name, value)
            if value is None or isinstance(value, bool):
                text += " %s?%s" % (name, str(bool(value)).lower())
            elif isinstance(value, str):
                text += ' %s"%d:%s' % (name, len(value.encode()), value)
            else:
                text += " %s=%s" % (name, value)
        return text

    def some_lines(self, record, name, items, replace, owner):
        """A line is known by an external id made of its record and a digest of
        its key: a key may be a number that only the hospital should read. One
        that was made without this addon has another name."""
        comodel = self.env[record._fields[name].comodel_name].with_context(active_test=False)
        commands, made, named = [], [], set()
        for item in items:
            digest = hashlib.sha256(json.dumps(item["key"]).encode()).hexdigest()[:24]
            xid = "%s.%s_%d_%s_%s" % (LINES, record._name.replace(".", "_"), record.id, name, digest)
            if xid in named:
                raise Refusal("rejected", "odoo.duplicate_line", name)
            named.add(xid)
            other = "%s.%s_%s_%s" % (LINES, hashlib.sha256(owner.encode()).hexdigest()[:24], name, digest)
            line = self.by_xid(xid)
            if not line:
                line = self.by_xid(other)
                named.add(other)
            vals, inner, later = self.values(comodel, {**(item.get("vals") or {}), **({} if line else item.get("on_create") or {})})
            if inner or later:
                raise invalid(name)
            if line:
                line = comodel.browse(line.ids)
                if not all(self.same(line, k, v) for k, v in vals.items()):
                    commands.append((1, line.id, vals))
            else:
                commands.append((0, 0, vals))
                made.append(xid)
        if replace:
            keep = {d.res_id for d in self.env["ir.model.data"].search([("module", "=", LINES), ("model", "=", comodel._name), ("name", "in", [x.split(".", 1)[1] for x in named])])}
            commands += [(2, i, {}) for i in record[name].ids if i not in keep]
        if not commands:
            return
        inverse = record._fields[name].inverse_name
        if not getattr(comodel, "_allow_sudo_commands", True) and inverse:
            # Odoo runs such commands with the rights of the request's user. The
            # policy has decided already.
            self.policy(comodel._name)
            for command, line, vals in commands:
                if command == 0:
                    self.name(made.pop(0), comodel.create({inverse: record.id, **vals}))
                elif command == 1:
                    comodel.browse(line).write(vals)
                else:
                    comodel.browse(line).unlink()
            return
        before = set(record[name].ids)
        record.write({name: commands})
        record.invalidate_recordset([name])
        new = sorted(set(record[name].ids) - before)
        if len(new) != len(made):
            raise Refusal("rejected", "odoo.unknown_lines", name)
        for xid, line in zip(made, new):
            self.name(xid, comodel.browse(line))
