from odoo import api, fields, models


class Deferred(models.Model):
    """A reference whose record had not come when it was written."""

    _name = "vagus.deferred"
    _description = "Reference that waits for its record"

    model = fields.Char(required=True)
    res_id = fields.Integer(required=True)
    field = fields.Char(required=True)
    xid = fields.Char(required=True, index=True)

    @api.model
    def _models(self):
        """The models of records that have references which wait."""
        self.env.cr.execute("SELECT DISTINCT model FROM vagus_deferred")
        return {model for model, in self.env.cr.fetchall()}

    @api.model
    def _of(self, record, names):
        return self.search([("model", "=", record._name), ("res_id", "=", record.id), ("field", "in", names)])

    @api.model
    def _come(self):
        """The records that are waited for and there: {external id: record}."""
        self.env.cr.execute("""
            SELECT DISTINCT d.xid, m.model, m.res_id FROM vagus_deferred d
            JOIN ir_model_data m ON m.module = split_part(d.xid, '.', 1) AND m.name = substr(d.xid, strpos(d.xid, '.') + 1)""")
        records = {xid: self.env[model].browse(i).exists() for xid, model, i in self.env.cr.fetchall() if model in self.env}
        return {xid: record for xid, record in records.items() if record}

    @api.model
    def _arrived(self, records):
        """Write the references that waited for these: {external id: record}."""
        for waiting in self.search([("xid", "in", list(records))]):
            record = records[waiting.xid]
            target = self.env[waiting.model].browse(waiting.res_id).exists() if waiting.model in self.env else None
            field = target and target._fields.get(waiting.field)
            if field and record._name == field.comodel_name and not waiting._settled(target):
                target.write({waiting.field: record.id})
            waiting.unlink()

    def _settled(self, target):
        """Whether somebody else wrote the record since, and something is there."""
        return target[self.field] and target._log_access and target.write_uid.id != self.env.uid and target.write_date > self.create_date
