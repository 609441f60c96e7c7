"""Which units of a request may be applied together: those for which it makes no
difference in which order they are."""

import re
from collections import defaultdict

XID = re.compile(r"^[a-z][a-z0-9_]*\.[A-Za-z0-9_.%#\-]+$")

PARTS = ("vals", "on_create", "on_update", "by", "only_if", "args")


def scope(context):
    """The part of a context that changes what is found and read: language and companies."""
    companies = context.get("allowed_company_ids")
    return context.get("lang") or None, tuple(companies) if companies else None


class Plan:
    """What a unit names, without asking the database."""

    def __init__(self, body, row):
        self.id, self.body, self.row = body["id"], body, row
        self.named, self.refs = set(), set()  # external ids that it makes or changes, or refers to
        self.searches = []  # (model, {field: value}, scope)
        self.ops = []  # (operation, what it is matched by)
        self.whole = True  # whether it may share a round
        try:
            for op in body.get("ops") or ():
                self.operation(op)
        except Exception:  # it is no unit, which is found out where it is applied
            self.named, self.refs, self.searches, self.ops, self.whole = set(), set(), [], [], False

    def operation(self, op):
        for part in PARTS:
            (op.get(part) or {}).items()
        within = scope(op.get("context") or {})
        hash((op["model"], op.get("xid"), within))
        self.ops.append((op, key_of(op)))
        if op.get("do") == "merge":  # what pointed at one record points at another
            self.whole = False
        if op.get("xid"):
            self.named.add(op["xid"])
        elif op.get("by"):
            self.searches.append((op["model"], op["by"], within))
        for part in PARTS:
            self.value(op.get(part), within)

    def value(self, value, within):
        if isinstance(value, dict):
            if isinstance(value.get("$xid"), str):
                self.refs.add(value["$xid"])
            elif isinstance(value.get("$ref"), str):
                self.searches.append((value["$ref"], value.get("by") or {}, within))
            for v in value.values():
                self.value(v, within)
        elif isinstance(value, list):
            for v in value:
                self.value(v, within)

    @property
    def xids(self):
        return [x for x in self.named | self.refs if isinstance(x, str) and XID.match(x)]


def plain(value):
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def key_of(op):
    """What an operation is matched by when that is plain fields which it does not
    change: then two of them with other values, in one language and company, have
    nothing to do with each other."""
    by = op.get("by")
    if op.get("xid") or not by:
        return None
    written = {**(op.get("vals") or {}), **(op.get("on_create") or {}), **(op.get("on_update") or {})}
    if all("." not in name and plain(v) and written.get(name, v) == v for name, v in by.items()):
        return scope(op.get("context") or {}), tuple(sorted(by))
    return None


def rounds(env, plans, records):
    """Units in rounds: within one, none depends on another. records says which
    (model, id) an external id has by now: several may have one."""
    related = {}

    def also(name):
        """The models that a write of one may write."""
        if name not in related:
            related[name] = {name}
            if name in env:
                related[name].update(env[name]._inherits, env.registry.descendants([name], "_inherits"))
        return related[name]

    for plan in plans:
        plan.models = set()
        for op, _ in plan.ops:
            plan.models |= also(op["model"])
            if op["model"] in env:
                fields = env[op["model"]]._fields
                for part in ("vals", "on_create", "on_update"):
                    for name, value in (op.get(part) or {}).items():
                        if isinstance(value, dict) and name in fields and fields[name].type == "one2many":
                            plan.models |= also(fields[name].comodel_name)

    # Models all of whose uses are operations that match by the same fields.
    shapes = defaultdict(set)
    for plan in plans:
        own = {op["model"] for op, _ in plan.ops}
        for op, key in plan.ops:
            shapes[op["model"]].add(key)
        for model in plan.models - own | {m for m, by, _ in plan.searches if not any(op.get("by") is by for op, _ in plan.ops)}:
            shapes[model].add(None)
    keyed = {m for m, s in shapes.items() if len(s) == 1 and None not in s}

    last = defaultdict(lambda: -1)
    out, first = [], 0
    for plan in plans:
        makes = {("x", x) for x in plan.named} | {records[x] for x in plan.named if x in records}
        makes |= {("by", op["model"], *sorted(op["by"].items())) for op, _ in plan.ops if op["model"] in keyed}
        uses = {("x", x) for x in plan.refs} | {records[x] for x in plan.refs if x in records}
        uses |= {("m", m) for m, _, _ in plan.searches if m not in keyed}
        makes |= {("w", m) for m in plan.models if m not in keyed}
        at = first
        for k in makes:
            if k[0] == "w":  # two may write one model: only who searches it waits
                at = max(at, last["used", ("m", k[1])] + 1)
            else:
                at = max(at, last["made", k] + 1, last["used", k] + 1)
        for k in uses:
            at = max(at, last["made", ("w", k[1]) if k[0] == "m" else k] + 1)
        if not plan.whole:
            at = first = len(out)
            first += 1
        while len(out) <= at:
            out.append([])
        out[at].append(plan)
        for k in makes:
            last["made", k] = max(at, last["made", k])
        for k in uses:
            last["used", k] = max(at, last["used", k])
    return out
