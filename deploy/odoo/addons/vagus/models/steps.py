"""What a unit may want done. Steps of one group, of many units, are done together:
do gives an answer for each."""


class Refusal(Exception):
    """A unit that is not applied, by our own judgement. It holds no value."""

    def __init__(self, result, fault, field=None):
        super().__init__(fault)
        self.result, self.fault, self.field = result, fault, field


class Names:
    """Look external ids up."""

    def __init__(self, xids):
        self.xids = xids

    def group(self):
        return (Names,)

    @staticmethod
    def do(batch, wants):
        batch.lookup([x for w in wants for x in w.xids])
        return [None] * len(wants)


class Create:
    """Create a record with its lines; xid may be None. lines says how those of a
    field are named: {field: function of record → [external ids]}."""

    def __init__(self, model, vals, xid, lines=None):
        self.model, self.vals, self.xid, self.lines = model, vals, xid, lines or {}

    def group(self):
        return (Create, self.model.env, self.model._name)

    @staticmethod
    def do(batch, wants):
        records = list(wants[0].model.create([w.vals for w in wants]))
        named = [(w.xid, r) for w, r in zip(wants, records) if w.xid]
        for want, record in zip(wants, records):
            for name, xids in want.lines.items():
                named += paired(record, name, xids(record), ())
        batch.name(named)
        return records


class Write:
    """Write a record, and name the lines that come into being: {field: [external ids]}."""

    def __init__(self, record, vals, lines=None):
        self.record, self.vals, self.lines = record, vals, lines or {}

    def group(self):
        # Equal values of many records are one call; lines are of one record.
        return (Write, self.record.env, self.record._name, repr(sorted(self.vals.items())), self.record.id if self.lines else 0)

    @staticmethod
    def do(batch, wants):
        first = wants[0]
        before = {name: set(first.record[name].ids) for name in first.lines}
        first.record.union(*(w.record for w in wants[1:])).write(first.vals)
        for name, xids in first.lines.items():
            first.record.invalidate_recordset([name])
            batch.name(paired(first.record, name, xids, before[name]))
        return [None] * len(wants)


def paired(record, name, xids, before):
    """New lines with their external ids: they are made in the order of the commands."""
    new = sorted(set(record[name].ids) - set(before))
    if len(new) != len(xids):
        raise Refusal("rejected", "odoo.unknown_lines", name)
    return list(zip(xids, record[name].browse(new)))


class Call:
    """Call a method that says nothing with its answer."""

    def __init__(self, record, method, args):
        self.record, self.method, self.args = record, method, args

    def group(self):
        return (Call, self.record.env, self.record._name, self.method, repr(sorted(self.args.items())))

    @staticmethod
    def do(batch, wants):
        first = wants[0]
        together = [first.record.union(*(w.record for w in wants[1:]))] if batch.one_call else [w.record for w in wants]
        batch.calls = batch.calls or len(wants) > 1 and batch.one_call
        for records in together:
            answer = getattr(records, first.method)(**first.args)
            if isinstance(answer, dict) and str(answer.get("type", "")).startswith("ir.actions.act_window"):
                raise Refusal("rejected", "odoo.asks_back")  # a wizard: nothing was done
        batch.forget()
        return [None] * len(wants)


class Alone:
    """Something that is done for each unit by itself."""

    def __init__(self, do):
        self.function = do

    def group(self):
        return (Alone,)

    @staticmethod
    def do(batch, wants):
        answers = [w.function() for w in wants]
        batch.forget()
        return answers
