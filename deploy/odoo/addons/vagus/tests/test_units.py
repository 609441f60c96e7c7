from odoo.exceptions import AccessError, ValidationError
from odoo.tests import TransactionCase, tagged


@tagged("post_install", "-at_install", "vagus")
class TestUnits(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        groups = "group_ids" if "group_ids" in cls.env["res.users"]._fields else "groups_id"
        cls.link = cls.env["res.users"].create({"name": "Vagus", "login": "vagus-link-test", groups: [(6, 0, [cls.env.ref("vagus.group_link").id])]})
        for model, methods in (("res.partner", ""), ("res.partner.category", ""), ("base.partner.merge.automatic.wizard", "")):
            cls.env["vagus.policy"].create({"model_id": cls.env["ir.model"]._get_id(model), "methods": methods})
        cls.units = cls.env["vagus.unit"].with_user(cls.link)

    def unit(self, uid, *ops):
        return {"id": uid, "message_id": "m-" + uid, "site": "north", "feed": "adt", "kind": "ADT^A08", "mapping": "t@1", "ops": list(ops)}

    def patient(self, number, **vals):
        return {"op": "patient", "model": "res.partner", "do": "upsert", "xid": "vagus_test.patient_%s" % number, "vals": {"name": "Doe", **vals}}

    def one(self, *ops, uid="u1"):
        return self.units.apply([self.unit(uid, *ops)])[0]

    def record(self, xid):
        return self.env.ref(xid)

    def test_a_unit_is_applied_once(self):
        first = self.one(self.patient(1, city="A"))
        self.assertEqual((first["result"], first["records"][0]["made"]), ("applied", True))
        self.record("vagus_test.patient_1").city = "changed by a person"
        again = self.one(self.patient(1, city="A"))
        self.assertTrue(again["again"])
        self.assertEqual(again["records"], first["records"])
        self.assertEqual(self.record("vagus_test.patient_1").city, "changed by a person")

    def test_an_operation_that_fails_takes_its_unit_back_and_no_other(self):
        bad = {"op": "kin", "model": "res.partner", "do": "upsert", "xid": "vagus_test.kin", "vals": {"name": "K", "nonsense": 1}}
        answers = self.units.apply([self.unit("a", self.patient(1)), self.unit("b", self.patient(2), bad), self.unit("c", self.patient(3))])
        self.assertEqual([a["result"] for a in answers], ["applied", "rejected", "applied"])
        self.assertEqual((answers[1]["class"], answers[1]["op"], answers[1]["field"]), ("odoo.unknown_field", "kin", "nonsense"))
        self.assertFalse(self.env.ref("vagus_test.patient_2", raise_if_not_found=False))
        row = self.env["vagus.unit"].search([("unit", "=", "b")])
        self.assertEqual((row.result, row.attempts, row.record_ids.ids), ("rejected", 1, []))

    def test_a_rejected_unit_may_come_again(self):
        op = {"op": "p", "model": "res.partner", "do": "update", "xid": "vagus_test.patient_9", "vals": {"city": "X"}}
        self.assertEqual(self.one(op)["result"], "retry")
        self.one(self.patient(9), uid="u2")
        self.assertEqual(self.one(op)["result"], "applied")
        self.assertEqual(self.record("vagus_test.patient_9").city, "X")

    def test_null_clears_and_what_is_not_named_stays(self):
        self.one(self.patient(1, city="A", zip="1"))
        self.one(self.patient(1, city=None), uid="u2")
        partner = self.record("vagus_test.patient_1")
        self.assertEqual((partner.city, partner.zip), (False, "1"))

    def test_what_has_not_changed_is_not_written(self):
        self.one(self.patient(1, city="A", country_id={"$ref": "res.country", "by": {"code": "US"}}))
        partner = self.record("vagus_test.patient_1")
        self.env.flush_all()
        self.env.cr.execute("UPDATE res_partner SET write_date = '2000-01-01' WHERE id = %s", (partner.id,))
        partner.invalidate_recordset()
        self.one(self.patient(1, city="A", country_id={"$ref": "res.country", "by": {"code": "US"}}), uid="u2")
        self.env.flush_all()
        partner.invalidate_recordset()
        self.assertEqual(partner.write_date.year, 2000)
        self.one(self.patient(1, city="B"), uid="u3")
        self.assertNotEqual(partner.write_date.year, 2000)

    def test_on_create_is_written_once(self):
        op = dict(self.patient(1), on_create={"ref": "new"})
        self.one(op)
        self.record("vagus_test.patient_1").ref = "mine"
        self.one(op, uid="u2")
        self.assertEqual(self.record("vagus_test.patient_1").ref, "mine")

    def test_references(self):
        for value, result, fault in (
            ({"$ref": "res.country", "by": {"code": "US"}}, "applied", None),
            ({"$ref": "res.country", "by": {"code": "ZZ"}, "on_none": "skip"}, "applied", None),
            ({"$ref": "res.country", "by": {"code": "ZZ"}, "on_none": "retry"}, "retry", "odoo.missing_reference"),
            ({"$ref": "res.country", "by": {"code": "ZZ"}}, "rejected", "odoo.missing_reference"),
            ({"$ref": "res.country", "by": {"currency_id.name": "EUR"}}, "rejected", "odoo.ambiguous"),
            ({"$xid": "base.fr"}, "applied", None),
            ({"$xid": "vagus_test.nobody"}, "rejected", "odoo.missing_reference"),
        ):
            with self.subTest(value=value):
                answer = self.one(self.patient(1, country_id=value), uid="u-%s" % value)
                self.assertEqual((answer["result"], answer.get("class")), (result, fault))

    def test_a_deferred_reference_is_written_when_its_record_comes(self):
        self.one(self.patient(1, parent_id={"$xid": "vagus_test.patient_2", "on_none": "defer"}))
        self.assertFalse(self.record("vagus_test.patient_1").parent_id)
        self.one(self.patient(2), uid="u2")
        self.assertEqual(self.record("vagus_test.patient_1").parent_id, self.record("vagus_test.patient_2"))
        self.assertFalse(self.env["vagus.deferred"].search([("xid", "=", "vagus_test.patient_2")]))

    def test_lines_are_known_by_their_key(self):
        def kin(*names, mode="$merge"):
            return self.patient(1, child_ids={mode: [{"key": k, "vals": {"name": n}, "on_create": {"function": "new"}} for k, n in names]})

        self.one(kin(("1", "A"), ("2", "B")))
        partner = self.record("vagus_test.patient_1")
        children = partner.child_ids
        self.assertEqual(children.mapped("name"), ["A", "B"])
        self.one(kin(("2", "B2"), ("3", "C")), uid="u2")
        partner.invalidate_recordset()
        self.assertEqual(sorted(partner.child_ids.mapped("name")), ["A", "B2", "C"])
        self.one(kin(("3", "C"), mode="$replace"), uid="u3")
        partner.invalidate_recordset()
        self.assertEqual(partner.child_ids.mapped("name"), ["C"])
        self.assertEqual(self.one(kin(("1", "A"), ("1", "B")), uid="u4")["class"], "odoo.duplicate_line")

    def test_tags_are_added_and_replaced(self):
        tags = self.env["res.partner.category"].create([{"name": "vagus one"}, {"name": "vagus two"}])
        ref = lambda n: {"$ref": "res.partner.category", "by": {"name": n}, "on_none": "skip"}
        self.one(self.patient(1, category_id={"$add": [ref("vagus one")]}))
        self.one(self.patient(1, category_id={"$add": [ref("vagus two"), ref("nothing")]}), uid="u2")
        partner = self.record("vagus_test.patient_1")
        self.assertEqual(partner.category_id, tags)
        self.one(self.patient(1, category_id={"$replace": [ref("vagus two")]}), uid="u3")
        self.assertEqual(partner.category_id, tags[1])
        self.one(self.patient(1, category_id={"$replace": []}), uid="u4")
        self.assertFalse(partner.category_id)

    def test_merge_and_its_repetition(self):
        self.one(self.patient(1))
        self.one(self.patient(2), uid="u2")
        old, new = self.record("vagus_test.patient_1"), self.record("vagus_test.patient_2")
        ops = (dict(self.patient(2)), {"op": "gone", "model": "res.partner", "do": "merge", "xid": "vagus_test.patient_1", "on": "patient", "on_none": "skip"})
        self.assertEqual(self.one(*ops, uid="u3")["result"], "applied")
        self.assertFalse(old.exists())
        self.assertEqual(self.one(*ops, uid="u4")["result"], "applied")
        self.assertTrue(new.exists())

    def test_archive_and_only_if(self):
        self.one(self.patient(1, city="A"))
        partner = self.record("vagus_test.patient_1")
        self.one({"op": "a", "model": "res.partner", "do": "archive", "xid": "vagus_test.patient_1", "only_if": {"city": "B"}}, uid="u2")
        self.assertTrue(partner.active)
        self.one({"op": "a", "model": "res.partner", "do": "archive", "xid": "vagus_test.patient_1", "only_if": {"city": "A"}}, uid="u3")
        self.assertFalse(partner.active)

    def test_what_no_policy_names_is_refused(self):
        op = {"op": "u", "model": "res.users", "do": "upsert", "xid": "vagus_test.user", "vals": {"name": "x", "login": "x"}}
        self.assertEqual(self.one(op)["class"], "odoo.not_allowed")
        call = {"op": "c", "model": "res.partner", "do": "call", "xid": "vagus_test.patient_1", "method": "unlink", "on_none": "skip"}
        self.one(self.patient(1), uid="u2")
        self.assertEqual(self.one(call, uid="u3")["class"], "odoo.not_allowed")
        for model in ("ir.rule", "vagus.policy", "res.groups"):
            with self.assertRaises(ValidationError):
                self.env["vagus.policy"].create({"model_id": self.env["ir.model"]._get_id(model)})

    def test_nobody_else_may_hand_in_units_and_the_link_may_do_nothing_else(self):
        with self.assertRaises(AccessError):
            self.env["vagus.unit"].with_user(self.env.ref("base.public_user")).apply([])
        with self.assertRaises(AccessError):
            self.env["res.partner"].with_user(self.link).create({"name": "x"})
        with self.assertRaises(AccessError):
            self.env["vagus.unit"].with_user(self.link).search([])

    def test_nonsense_is_answered(self):
        self.assertEqual(self.units.apply([1])[0]["class"], "odoo.bad_call")
        self.assertEqual(self.one({"op": "x", "do": "explode", "model": "res.partner"})["class"], "odoo.invalid")
        self.assertEqual(self.one({"op": "x", "do": "upsert", "model": "no.such"}, uid="u2")["class"], "odoo.missing_model")
        self.assertEqual(self.one(self.patient(1, active="perhaps", color="red"), uid="u3")["result"], "rejected")
