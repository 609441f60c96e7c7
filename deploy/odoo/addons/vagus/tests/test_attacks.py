from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged

from .common import LinkCase


@tagged("post_install", "-at_install", "vagus")
class TestAttacks(LinkCase):
    """A link whose key was stolen, or a broker that was taken over."""

    def refused(self, op, uid="u1", fault="odoo.not_allowed"):
        answer = self.one(op, uid=uid)
        self.assertEqual((answer["result"], answer.get("class")), ("rejected", fault), answer)

    def test_nobody_else_may_hand_in_units(self):
        administrator = self.env["res.users"].with_context(no_reset_password=True).create(
            {"name": "A", "login": "vagus-admin-test", self.groups: [(6, 0, [self.env.ref("base.group_system").id])]})
        for user in (self.env.ref("base.public_user"), administrator):
            with self.assertRaises(AccessError):
                self.env["vagus.unit"].with_user(user).apply([])
            with self.assertRaises(AccessError):
                self.env["vagus.unit"].with_user(user).version()
            with self.assertRaises(AccessError):
                self.env["vagus.change"].with_user(user).read_changes("res.partner", {"name": {}})

    def test_the_link_may_do_nothing_else(self):
        partner, policy = self.env["res.partner"].create({"name": "x"}), self.env["vagus.policy"].search([], limit=1)
        as_link = lambda record: record.with_user(self.link)
        for attempt in (
            lambda: as_link(partner).read(["name", "email"]),
            lambda: as_link(partner).write({"name": "y"}),
            lambda: as_link(partner).unlink(),
            lambda: self.env["res.partner"].with_user(self.link).create({"name": "x"}),
            lambda: self.env["res.partner"].with_user(self.link).load(["name"], [["x"]]) and as_link(partner).read(["name"]),
            lambda: as_link(policy).read(["model"]),
            lambda: as_link(policy).write({"methods": "action_x"}),
            lambda: self.env["vagus.policy"].with_user(self.link).create({"model_id": policy.model_id.id}),
            lambda: self.units.search([]),
            lambda: self.env["vagus.record"].with_user(self.link).search([]),
            lambda: self.env["vagus.change"].with_user(self.link).search([]),
            lambda: self.env["vagus.deferred"].with_user(self.link).search([]),
            lambda: self.env["res.users"].with_user(self.link).create({"name": "x", "login": "x"}),
            lambda: self.env["ir.config_parameter"].with_user(self.link).get_param("database.secret"),
            lambda: self.env["ir.model.data"].with_user(self.link).create({"module": "x", "name": "y", "model": "res.partner"}),
        ):
            with self.assertRaises(AccessError):
                attempt()

    def test_what_no_policy_names_is_refused(self):
        self.refused({"op": "u", "model": "res.users", "do": "upsert", "xid": "vagus_test.user", "vals": {"name": "x", "login": "x"}})
        self.one(self.patient(1), uid="u2")
        for method in ("unlink", "write", "action_archive", "_compute_display_name", "with_user", "sudo"):
            self.refused({"op": "c", "model": "res.partner", "do": "call", "xid": "vagus_test.patient_1", "method": method}, uid="u-" + method)
        for model in ("ir.rule", "ir.cron", "ir.actions.server", "vagus.policy", "res.groups", "res.users.apikeys", "ir.model.data"):
            with self.assertRaises(ValidationError):
                self.allow(model)
        for method in ("unlink", "write", "_write", "sudo"):
            with self.assertRaises(ValidationError):
                self.env["vagus.policy"].search([], limit=1).methods = method

    def test_a_policy_that_only_lets_read_does_not_let_write(self):
        self.allow("res.country", may_write=False, may_read=True)
        self.refused({"op": "c", "model": "res.country", "do": "update", "by": {"code": "FR"}, "vals": {"name": "x"}})

    def test_commands_are_nobodys_to_give(self):
        admin = self.env.ref("base.user_admin")
        for n, vals in enumerate((
            {"user_ids": [[0, 0, {"name": "x", "login": "evil"}]]},
            {"user_ids": [[1, admin.id, {"password": "evil"}]]},
            {"category_id": [[0, 0, {"name": "x"}]]},
            {"category_id": [[2, self.env["res.partner.category"].create({"name": "x"}).id, 0]]},
            {"bank_ids": [[0, 0, {"acc_number": "1"}]]},
            {"parent_id": [[0, 0, {"name": "x"}]]},
        )):
            answer = self.one(self.patient(n, **vals), uid="u%d" % n)
            self.assertIn((answer["result"], answer.get("class")), (("rejected", "odoo.invalid"), ("rejected", "odoo.not_allowed")))
        self.assertFalse(self.env["res.users"].search([("login", "=", "evil")]))

    def test_lines_of_models_that_no_policy_names_are_refused(self):
        def line(field, **vals):
            return {field: {"$merge": [{"key": "1", "vals": vals}]}}

        self.refused(self.patient(1, **line("user_ids", name="x", login="evil")))
        self.refused(self.patient(1, **line("bank_ids", acc_number="1")), uid="u2")
        self.one(self.patient(1), uid="u3")
        self.refused(self.patient(1, **line("bank_ids", acc_number="1")), uid="u4")
        self.assertFalse(self.env["res.users"].search([("login", "=", "evil")]))

    def test_a_context_carries_no_commands(self):
        for n, context in enumerate((
            {"default_user_ids": [[0, 0, {"name": "x", "login": "evil"}]]},
            {"default_category_id": [1]},
            {"default_bank_ids": [[0, 0, {"acc_number": "1"}]]},
            {"anything": {"deep": 1}},
            {"allowed_company_ids": [[1]]},
        )):
            self.refused(dict(self.patient(1), context=context), uid="u%d" % n)
        self.assertTrue(self.missing("vagus_test.patient_1"))
        self.assertEqual(self.one(dict(self.patient(1), context={"default_color": 4, "allowed_company_ids": [1]}), uid="ok")["result"], "applied")

    def test_the_contact_of_somebody_who_logs_in_is_not_changed(self):
        user = self.env["res.users"].with_context(no_reset_password=True).create(
            {"name": "Clerk", "login": "clerk-test", self.groups: [(6, 0, [self.env.ref("base.group_user").id])]})
        self.env["ir.model.data"].create({"module": "vagus_test", "name": "clerk", "model": "res.partner", "res_id": user.partner_id.id})
        email = {"op": "p", "model": "res.partner", "do": "upsert", "xid": "vagus_test.clerk", "vals": {"email": "evil@example.org"}}
        self.refused(email)
        self.refused(dict(email, do="archive", vals={}), uid="u2")
        admin = dict(email, xid="base.partner_admin")
        self.refused(admin, uid="u3")
        self.one(self.patient(1), uid="u4")
        merge = {"op": "m", "model": "res.partner", "do": "merge", "xid": "base.partner_admin", "on": "patient"}
        self.assertEqual(self.one(self.patient(1), merge, uid="u5")["class"], "odoo.not_allowed")
        self.allow("res.users")
        self.assertEqual(self.one(email, uid="u6")["result"], "applied")
        self.refused(admin, uid="u7")
        self.assertNotEqual(self.env.ref("base.partner_admin").email, "evil@example.org")

    def test_nobody_becomes_an_administrator(self):
        self.allow("res.users")
        group = lambda xid: {self.groups: {"$add": [{"$xid": xid}]}}
        user = {"op": "u", "model": "res.users", "do": "upsert", "xid": "vagus_test.user", "vals": {"name": "x", "login": "evil"}, "context": {"no_reset_password": True}}
        clerk = dict(user, on_create={self.groups: {"$replace": [{"$xid": "base.group_user"}]}})
        for n, xid in enumerate(("base.group_system", "base.group_erp_manager")):
            self.refused(dict(user, vals={**user["vals"], **group(xid)}), uid="u%d" % n)
        self.assertEqual(self.one(clerk, uid="u3")["result"], "applied")
        self.refused(dict(user, vals=group("base.group_system")), uid="u4")
        self.assertFalse(self.record("vagus_test.user").has_group("base.group_system"))
        self.refused(dict(user, xid="base.user_admin", vals={"password": "evil"}), uid="u5")
        self.refused(dict(user, do="archive", xid="base.user_admin"), uid="u6")

    def test_secrets_are_not_searched_for(self):
        key = self.env["ir.config_parameter"].search([("key", "=", "database.secret")])
        self.refused(self.patient(1, parent_id={"$ref": "ir.config_parameter", "by": {"value": key.value}}))
        self.refused({"op": "p", "model": "res.partner", "do": "update", "by": {"user_ids.api_key_ids.name": "x"}, "vals": {"city": "A"}}, uid="u2")

    def test_rich_text_is_made_harmless(self):
        self.one(self.patient(1, comment='<p>a<script>alert(1)</script><img src="x" onerror="alert(1)"/></p>'))
        comment = str(self.record("vagus_test.patient_1").comment)
        self.assertNotIn("script", comment)
        self.assertNotIn("onerror", comment)

    def test_changes_are_read_of_nothing_but_what_a_policy_names(self):
        changes = self.env["vagus.change"].with_user(self.link)
        for model, specification in (
            ("res.users", {"name": {}}),
            ("res.partner", {"name": {}}),
        ):
            with self.assertRaises(AccessError):
                changes.read_changes(model, specification)
        self.env["vagus.policy"].search([("model", "=", "res.partner")]).may_read = True
        changes.read_changes("res.partner", {"name": {}, "country_id": {"fields": {"code": {}}}, "child_ids": {"fields": {"name": {}}}})
        for specification in (
            {"user_ids": {"fields": {"password": {}}}},
            {"user_ids": {"fields": {"totp_secret": {}}}},
            {"user_ids": {"fields": {"api_key_ids": {"fields": {"name": {}}}}}},
            {"bank_ids": {"fields": {"acc_number": {}}}},
            {"name": {"context": {"lang": "x"}}},
            {"nonsense": {}},
        ):
            with self.assertRaises(AccessError):
                changes.read_changes("res.partner", specification)
