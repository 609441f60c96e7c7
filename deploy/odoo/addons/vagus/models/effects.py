"""What the operations of a unit do. The shapes are those of the broker's units:
values are plain, null clears, and references are symbolic ($ref, $xid, $op,
$add, $replace, $merge, $distribution). What is done by a step is yielded, so that
the steps of many units are done together."""

from odoo import fields

from . import guard
from .lines import Lines
from .rounds import scope
from .steps import Alone, Call, Create, Refusal, Write


class Effects(Lines):
    """The effects of one unit, in the order of its operations."""

    def __init__(self, batch, unit):
        self.batch, self.env, self.policies, self.unit = batch, batch.env, batch.policies, unit
        self.op = None  # the operation in hand, for the answer
        self.done = {}  # operation → record
        self.records = []
        self.overwrote = []  # fields in which the values of others went
        self.dirty = False  # whether something was done

    def run(self):
        for op in self.unit.get("ops") or ():
            self.op = str(op.get("op"))
            self.env = self.batch.within(scope(guard.context(op)))
            do = {"upsert": self.upsert, "create": self.create, "update": self.update, "archive": self.archive, "merge": self.merge, "call": self.call}.get(op.get("do"))
            if do is None:
                raise Refusal("rejected", "odoo.invalid")
            yield from do(op)
        self.op = None

    # --- operations

    def upsert(self, op):
        model = self.model(op)
        record = self.find(model, op)
        if not record:
            yield from self.make(model, op)
        elif self.holds(record, op):
            yield from self.change(record, op)
        else:
            self.touched(op, record)

    def create(self, op):
        model = self.model(op)
        record = self.find(model, op)
        if record:
            self.touched(op, record)
        else:
            yield from self.make(model, op)

    def update(self, op):
        record = self.existing(op)
        if record and self.holds(record, op):
            yield from self.change(record, op)
        elif record:
            self.touched(op, record)

    def archive(self, op):
        record = self.existing(op)
        if record and self.holds(record, op):
            active = record._active_name or "active"
            if record[active]:
                self.about_to_change(record, op, (active,))
                yield Call(record, "action_archive", {})
            self.touched(op, record)

    def merge(self, op):
        """The wizard of Odoo moves everything that points at the record,
        its external ids too: a repetition finds one record."""
        if op.get("model") != "res.partner":
            raise Refusal("rejected", "odoo.unsupported")
        record, into = self.existing(op), self.earlier(op.get("on"))
        if record and into and record != into:
            self.policy("base.partner.merge.automatic.wizard")
            guard.check(self, record | into)
            wizard = self.env["base.partner.merge.automatic.wizard"]
            yield Alone(lambda: wizard.create({})._merge((record | into).ids, into))
        if into:
            self.touched(op, into)

    def call(self, op):
        for record in self.meant(op["on"]) if op.get("on") else self.existing(op):
            name = op.get("method")
            if not isinstance(name, str) or name not in self.policy(record._name)[1]:
                raise Refusal("rejected", "odoo.not_allowed")
            if self.holds(record, op):
                guard.check(self, record)
                record = record.with_context(**guard.context(op))
                yield Call(record, name, {k: self.plain(k, v) for k, v in (op.get("args") or {}).items()})
            self.touched(op, record)

    def meant(self, name):
        """The records of an earlier operation, of all its repetitions when it is
        named without their number."""
        if name not in (str(o.get("op")).partition("#")[0] for o in self.unit["ops"]):
            return [self.earlier(name)]
        return [r for op, r in list(self.done.items()) if op.partition("#")[0] == name]

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
        return self.env[name].with_context(active_test=False, **guard.context(op))

    def find(self, model, op):
        if op.get("xid"):
            record = self.by_xid(op["xid"])
            if record and record._name != model._name:
                raise Refusal("rejected", "odoo.other_model")
            return self.batch.browse(model, record.id) if record else model
        record = self.by_fields(model, op.get("by") or {})
        if len(record) > 1:
            raise Refusal("rejected", "odoo.ambiguous")
        return record and self.batch.browse(model, record.id)

    def existing(self, op):
        model = self.model(op)
        record = self.find(model, op)
        what = op.get("on_none") or "retry"
        if not record and what != "skip":
            raise Refusal("retry" if what == "retry" else "rejected", "odoo.missing_record")
        return record

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
        named, after = {}, []
        for name, value in lines.items():
            commands, digests = self.new_lines(model, name, value)
            if self.apart(model, name):
                after.append((name, [vals for _, _, vals in commands], digests))
            else:
                vals[name] = commands
                named[name] = lambda record, name=name, digests=digests: [self.line_xid(record, name, d) for d in digests]
        record = yield Create(model, vals, op.get("xid"), named)
        record = self.batch.browse(model, record.id)
        guard.check(self, record)
        for name, many, digests in after:
            for vals, digest in zip(many, digests):
                yield from self.line_apart(record, name, vals, digest)
        self.defer(record, later)
        self.touched(op, record, made=True)

    def change(self, record, op):
        vals, lines, later = self.values(record, {**(op.get("vals") or {}), **(op.get("on_update") or {})})
        self.overtake(record, [*vals, *later])
        differ = [name for name, value in vals.items() if not self.same(record, name, value)]
        if not differ:
            vals = {}  # else all: one that is left out may be computed anew from one that is not
        named, apart = {}, []
        for name, value in lines.items():
            commands, xids = yield from self.line_commands(record, name, value, self.owner(op))
            if commands:
                differ.append(name)
            if commands and self.apart(record, name):
                apart.append((name, commands, xids))
            elif commands:
                vals[name], named[name] = commands, xids
        if differ:
            self.about_to_change(record, op, differ)
        if vals:
            yield Write(record, vals, named)
            guard.check(self, record)
        for name, commands, xids in apart:
            yield from self.lines_apart(record, name, commands, xids)
        self.defer(record, later)
        self.touched(op, record)

    def about_to_change(self, record, op, names):
        """Whether somebody else wrote the record last, whose values go."""
        guard.check(self, record)
        if not record._log_access or record.write_uid.id == self.env.uid or record.write_uid.id is False:
            return
        since = op.get("unchanged_since")
        if not since:
            self.overwrote.append({"op": self.op, "model": record._name, "fields": sorted(names)})
        elif record.write_date.replace(microsecond=0) > fields.Datetime.to_datetime(since):
            raise Refusal("rejected", "odoo.changed_since")

    def overtake(self, record, names):
        """What a field waited for is out of date when it is named again."""
        if record._name in self.batch.deferred:
            self.env["vagus.deferred"]._of(record, names).unlink()

    def defer(self, record, later):
        for name, xid in later.items():
            self.batch.deferred.add(record._name)
            self.env["vagus.deferred"].create({"model": record._name, "res_id": record.id, "field": name, "xid": xid})
