from collections import defaultdict

from odoo import api, models, tools

PENDING = "vagus.changes"


class Base(models.AbstractModel):
    """Every model notes its changes, when a policy lets them be read: those that
    are written, those that Odoo computes and stores, and those that the database
    makes by itself when a record is deleted. What a table of two models' relation
    changes is noted for the record that was written."""

    _inherit = "base"

    def _vagus_noted(self, kind):
        if self._abstract or self._transient or self._name.startswith(("vagus.", "ir.")) or not self.ids or "vagus" not in self.env.registry._init_modules:
            return
        policies = self.env["vagus.policy"]._all()
        if kind != "unlink":
            if self._name in policies and policies[self._name][2]:
                note(self.env, self._name, self.ids, kind)
        elif any(may_read for _, _, may_read in policies.values()):
            for name, ids, what in self.env["vagus.policy"].sudo()._swept(self._name, self.ids):
                note(self.env, name, ids, what)

    @api.model_create_multi
    def create(self, vals_list):
        records = super().create(vals_list)
        records._vagus_noted("create")
        return records

    def write(self, vals):
        result = super().write(vals)
        self._vagus_noted("write")
        return result

    def _write(self, vals):
        result = super()._write(vals)
        self._vagus_noted("write")
        return result

    if hasattr(models.BaseModel, "_write_multi"):  # from Odoo 18

        def _write_multi(self, vals_list):
            result = super()._write_multi(vals_list)
            self._vagus_noted("write")
            return result

    def unlink(self):
        self._vagus_noted("unlink")
        return super().unlink()


def note(env, name, ids, kind):
    """Remember changes until the transaction is flushed, of each record the last."""
    hooks = env.cr.precommit
    if PENDING not in hooks.data:
        hooks.data[PENDING] = defaultdict(dict)

        @hooks.add
        def write_down():
            for model, kinds in hooks.data.pop(PENDING, {}).items():
                env["vagus.change"].sudo()._insert(model, kinds)

    kinds = hooks.data[PENDING][name]
    for i in ids:
        if kind == "unlink" and kinds.get(i) == "create":
            del kinds[i]  # nobody has seen it
        elif kind != "write" or i not in kinds:
            kinds[i] = kind


class Sweeping(models.Model):
    _inherit = "vagus.policy"

    @api.model
    @tools.ormcache()
    def _ties(self):
        """What the database does when a record is deleted, as far as it touches
        models whose changes are read: {model: [(model, field, cascade)]}."""
        read = {m for m, (_, _, may_read) in self._all().items() if may_read}
        ties, wanted, done = defaultdict(list), list(read), set()
        while wanted:
            name = wanted.pop()
            if name in done or name not in self.env:
                continue
            done.add(name)
            model = self.env[name]
            for field in model._fields.values():
                if model._auto and field.type == "many2one" and field.store and field.column_type and field.comodel_name in self.env:
                    if field.ondelete == "cascade":
                        ties[field.comodel_name].append((name, field.name, True))
                        wanted.append(field.comodel_name)
                    elif field.ondelete == "set null" and name in read:
                        ties[field.comodel_name].append((name, field.name, False))
        return dict(ties)

    @api.model
    def _swept(self, name, ids):
        """The records that change with the deletion of some: (model, ids, kind)."""
        gone, cleared, queue = {(name, i) for i in ids}, set(), [(name, tuple(ids))]
        while queue:
            name, ids = queue.pop()
            for model, field, cascade in self._ties().get(name, ()):
                self.env[model].flush_model([field])
                self.env.cr.execute('SELECT id FROM "%s" WHERE "%s" IN %%s' % (self.env[model]._table, field), (ids,))
                found = {(model, i) for i, in self.env.cr.fetchall()} - gone
                if cascade and found:
                    gone |= found
                    queue.append((model, tuple(i for _, i in found)))
                elif found:
                    cleared |= found
        read = {m for m, (_, _, may_read) in self._all().items() if may_read}
        return [(m, [i], kind) for records, kind in ((gone, "unlink"), (cleared - gone, "write")) for m, i in records if m in read]
