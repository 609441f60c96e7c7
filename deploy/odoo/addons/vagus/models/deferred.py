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
    def _arrived(self, records):
        """Write the references that waited for these: {external id: record}."""
        for waiting in self.search([("xid", "in", list(records))]):
            target = self.env[waiting.model].browse(waiting.res_id).exists()
            if target and not target[waiting.field]:
                target.write({waiting.field: records[waiting.xid].id})
            waiting.unlink()
