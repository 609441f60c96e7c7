from odoo.tests import TransactionCase


class LinkCase(TransactionCase):
    """A link that may do something with contacts and their tags."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        groups = "group_ids" if "group_ids" in cls.env["res.users"]._fields else "groups_id"
        cls.groups = groups
        cls.link = cls.env["res.users"].with_context(no_reset_password=True).create(
            {"name": "Vagus", "login": "vagus-link-test", groups: [(6, 0, [cls.env.ref("vagus.group_link").id])]})
        cls.env["vagus.policy"].search([]).unlink()
        for model in ("res.partner", "res.partner.category", "base.partner.merge.automatic.wizard"):
            cls.allow(model)
        cls.units = cls.env["vagus.unit"].with_user(cls.link)

    @classmethod
    def allow(cls, model, **more):
        return cls.env["vagus.policy"].create({"model_id": cls.env["ir.model"]._get_id(model), **more})

    def unit(self, uid, *ops):
        return {"id": uid, "message_id": "m-" + uid, "site": "north", "feed": "adt", "kind": "ADT^A08", "mapping": "t@1", "ops": list(ops)}

    def patient(self, number, **vals):
        return {"op": "patient", "model": "res.partner", "do": "upsert", "xid": "vagus_test.patient_%s" % number, "vals": {"name": "Doe", **vals}}

    def one(self, *ops, uid="u1"):
        return self.units.apply([self.unit(uid, *ops)])[0]

    def record(self, xid):
        return self.env.ref(xid)

    def missing(self, xid):
        return not self.env.ref(xid, raise_if_not_found=False)
