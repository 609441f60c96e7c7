"""Many units at once: each unit says in turn what it wants done, and what
several want of one model is done in one call. Units that have nothing to do with
each other take part; `rounds` says which do."""

from collections import defaultdict

import psycopg2

from .effects import Effects
from .guard import context, kept
from .rounds import scope
from .steps import Names

SIMPLE = ("char", "integer")  # fields whose values a search finds as they are read


class Spoiled(Exception):
    """Units that cannot be applied, found when something of them was in effect."""

    def __init__(self, plans):
        super().__init__()
        self.plans = plans


class Batch:
    """The effects of units that do not touch the same records."""

    def __init__(self, env, units, one_call=True):
        # Whoever may hand in units has no rights of his own: sudo, and the policies.
        # Of his context language and companies are taken, which an operation's own replaces.
        own = {k: v for k, v in env.context.items() if k in ("lang", "allowed_company_ids") and v}
        self.env = env(su=True, context={"tracking_disable": True, "mail_create_nosubscribe": True, "tz": "UTC", "lang": "en_US", **context({"context": own})})
        self.policies = env["vagus.policy"]._all()
        self.units = units
        self.one_call = one_call  # whether a method is called on many records at once
        self.calls = False  # whether that was done
        self.known = {}  # external id → (model, id), or None
        self.found = {}  # (scope, model, field, value) → ids
        self.ids = defaultdict(set)  # model → ids that are read together
        self.changing = set().union(*(u.models for u in units))
        self.effects = {}  # unit → its effects
        self.failed = {}  # unit → exception, of those with nothing in effect
        self.deferred = self.env["vagus.deferred"]._models()  # of which records have references that wait

    def run(self):
        """Apply the units. Those in `failed` were left out."""
        self.lookup([x for u in self.units for x in u.xids])
        self.search_together()
        waiting = {}  # unit → (its generator, what it is sent)
        for unit in self.units:
            effects = self.effects[unit] = Effects(self, unit.body)
            waiting[unit] = (effects.run(), None)
        while waiting:
            wants, spoiled = defaultdict(list), []
            for unit, (steps, answer) in waiting.items():
                try:
                    want = steps.send(answer)
                except StopIteration:
                    continue
                except psycopg2.Error:
                    raise  # the savepoint is of no use any more
                except Exception as e:
                    if self.effects[unit].dirty:
                        spoiled.append(unit)
                    self.failed[unit] = e
                    continue
                wants[want.group()].append((unit, steps, want))
            if spoiled:
                raise self.failed[spoiled[0]] if len(self.units) == 1 else Spoiled(spoiled)
            waiting = {}
            for asked in wants.values():
                kind = type(asked[0][2])
                if kind is not Names:
                    for unit, _, _ in asked:
                        self.effects[unit].dirty = True
                for (unit, steps, _), answer in zip(asked, kind.do(self, [want for _, _, want in asked])):
                    waiting[unit] = (steps, answer)
            waiting = {u: waiting[u] for u in self.units if u in waiting}

    # --- finding

    def lookup(self, xids):
        """Find the records of external ids, in one query and one for each model."""
        names = {tuple(x.split(".", 1)) for x in xids if x not in self.known}
        if not names:
            return
        self.env.cr.execute("SELECT module || '.' || name, model, res_id FROM ir_model_data WHERE (module, name) IN %s", (tuple(names),))
        by_model = defaultdict(dict)
        for xid, model, res_id in self.env.cr.fetchall():
            by_model[model][xid] = res_id
        for name in names:
            self.known[".".join(name)] = None
        for model, rows in by_model.items():
            if model in self.env:
                there = set(self.env[model].browse(set(rows.values())).exists().ids)
                self.ids[model] |= there
                self.known.update({xid: (model, i) for xid, i in rows.items() if i in there})

    def by_xid(self, xid):
        if xid not in self.known:
            self.lookup([xid])
        if self.known[xid] is None:
            return None
        model, i = self.known[xid]
        return self.browse(self.env[model], i)

    def browse(self, model, i):
        """A record that is read together with all of its model."""
        self.ids[model._name].add(i)
        return model.browse(i).with_prefetch(self.ids[model._name])

    def search_together(self):
        """Find what many units look for by one simple field, in one query for each."""
        asked = defaultdict(set)
        for unit in self.units:
            for model, by, within in unit.searches:
                if len(by) == 1 and model in self.env and model not in self.changing:
                    (name, value), = by.items()
                    field = self.env[model]._fields.get(name)
                    if field is not None and field.store and field.type in SIMPLE and not field.company_dependent and type(value) in (str, int) and not kept(field):
                        asked[within, model, name].add(value)
        for (within, model, name), values in asked.items():
            if len(values) > 1:
                there = self.within(within)[model].with_context(active_test=False)
                of = scope(there.env.context)
                for value in values:
                    self.found[of, model, name, value] = []
                for record in there.search([(name, "in", list(values))]):
                    if (of, model, name, record[name]) in self.found:
                        self.found[of, model, name, record[name]].append(record.id)

    def within(self, those):
        """The environment of operations whose context has this scope."""
        lang, companies = those
        more = {**({"lang": lang} if lang else {}), **({"allowed_company_ids": list(companies)} if companies else {})}
        return self.env(context={**self.env.context, **more}) if more else self.env

    def search(self, model, domain):
        """At most two records. What no unit of the batch changes is remembered."""
        key = (scope(model.env.context), model._name, *domain[0][::2]) if len(domain) == 1 and isinstance(domain[0][2], (str, int)) else None
        if key not in self.found or key is None:
            records = model.with_context(active_test=False).search(domain, limit=2)
            if key is None or model._name in self.changing:
                return records
            self.found[key] = records.ids
        return model.browse(self.found[key][:2])

    def forget(self):
        """What was found may be gone."""
        self.known.clear()
        self.found.clear()

    def name(self, named):
        """Give records external ids. An id that somebody gave away after this
        transaction began is a serialization failure, for which Odoo runs the
        request again; one whose record is gone is moved."""
        if not named:
            return
        rows = [(*xid.split(".", 1), r._name, r.id, self.env.uid, self.env.uid) for xid, r in named]
        self.env.cr.execute("""
            INSERT INTO ir_model_data (module, name, model, res_id, noupdate, create_uid, create_date, write_uid, write_date)
            VALUES %s
            ON CONFLICT (module, name) DO UPDATE SET model = EXCLUDED.model, res_id = EXCLUDED.res_id, write_date = EXCLUDED.write_date
            RETURNING create_date <> write_date""" % ", ".join(["(%s, %s, %s, %s, true, %s, now() AT TIME ZONE 'UTC', %s, now() AT TIME ZONE 'UTC')"] * len(rows)),
            [v for row in rows for v in row], log_exceptions=False)
        if any(moved for moved, in self.env.cr.fetchall()):
            self.env.registry.clear_cache()
        for xid, record in named:
            self.known[xid] = (record._name, record.id)
        self.env["vagus.deferred"]._arrived(dict(named))
