"""Lines of a record. A line is known by an external id made of its record and a
digest of its key: a key may be a number that only the hospital should read."""

import hashlib
import json

from . import guard
from .steps import Alone, Create, Names, Refusal, Write
from .values import Values, invalid

LINES = "vagus_line"  # module of the external ids of lines


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Lines(Values):
    def items(self, name, value):
        if not isinstance(value, dict) or ("$merge" in value) == ("$replace" in value):
            raise invalid(name)
        items = value.get("$merge", value.get("$replace"))
        digests = [digest(json.dumps(item["key"])) for item in items]
        if len(set(digests)) < len(digests):
            raise Refusal("rejected", "odoo.duplicate_line", name)
        return list(zip(items, digests)), "$replace" in value

    def comodel(self, record, name):
        comodel = record.env[record._fields[name].comodel_name].with_context(active_test=False)
        self.policy(comodel._name)
        return comodel

    @staticmethod
    def line_xid(record, name, key):
        return "%s.%s_%d_%s_%s" % (LINES, record._name.replace(".", "_"), record.id, name, key)

    def line_values(self, comodel, name, vals):
        vals, inner, later = self.values(comodel, vals)
        if inner or later:
            raise invalid(name)
        return vals

    def apart(self, record, name):
        """Whether Odoo runs commands on these lines with the rights of the request's
        user, who has none. The policy has decided already: then they are made one by one."""
        field = record._fields[name]
        return field.inverse_name and not getattr(self.env[field.comodel_name], "_allow_sudo_commands", True)

    def new_lines(self, model, name, value):
        """The lines of a record that is to be made: commands, and digests of their keys."""
        if value is None:
            return [], []
        comodel = self.comodel(model, name)
        items, _ = self.items(name, value)
        commands = [(0, 0, self.line_values(comodel, name, {**(i.get("vals") or {}), **(i.get("on_create") or {})})) for i, _ in items]
        return commands, [d for _, d in items]

    def line_commands(self, record, name, value, owner):
        """The commands that change the lines of a record, and the external ids of those to be made."""
        comodel = self.comodel(record, name)
        if value is None:
            return [(2, i, 0) for i in record[name].ids], []
        items, replace = self.items(name, value)
        # A line that was made without this addon has another name.
        pairs = [(self.line_xid(record, name, d), "%s.%s_%s_%s" % (LINES, digest(owner), name, d)) for _, d in items]
        yield Names([x for pair in pairs for x in pair])
        found = [self.by_xid(ours) or self.by_xid(others) for ours, others in pairs]
        keep = {line.id for line in found if line}
        commands, made = [], []
        for (item, _), (xid, _), line in zip(items, pairs, found):
            vals = self.line_values(comodel, name, {**(item.get("vals") or {}), **({} if line else item.get("on_create") or {})})
            if not line:
                commands.append((0, 0, vals))
                made.append(xid)
                continue
            if line._name != comodel._name:
                raise Refusal("rejected", "odoo.other_model", name)
            line = self.batch.browse(comodel, line.id)
            if not all(self.same(line, k, v) for k, v in vals.items()):
                guard.check(self, line)
                commands.append((1, line.id, vals))
        if replace:
            commands += [(2, i, 0) for i in record[name].ids if i not in keep]
        return commands, made

    def line_apart(self, record, name, vals, key):
        inverse = record._fields[name].inverse_name
        line = yield Create(self.comodel(record, name), {inverse: record.id, **vals}, self.line_xid(record, name, key))
        guard.check(self, line)

    def lines_apart(self, record, name, commands, xids):
        comodel, inverse, xids = self.comodel(record, name), record._fields[name].inverse_name, list(xids)
        for command, line, vals in commands:
            if command == 0:
                made = yield Create(comodel, {inverse: record.id, **vals}, xids.pop(0))
                guard.check(self, made)
            elif command == 1:
                yield Write(comodel.browse(line), vals)
            else:
                yield Alone(comodel.browse(line).unlink)

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
