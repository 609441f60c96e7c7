from unittest.mock import patch

from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools.safe_eval import safe_eval

from ..models.views import LIST
from .common import LinkCase


@tagged("post_install", "-at_install", "vagus")
class TestUnits(LinkCase):
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
        self.assertTrue(self.missing("vagus_test.patient_2"))
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

    def test_the_last_message_says_what_a_reference_is(self):
        wait = lambda n: {"$xid": "vagus_test.patient_%d" % n, "on_none": "defer"}
        parent = lambda: self.record("vagus_test.patient_1").parent_id
        self.one(self.patient(2), uid="u2")
        self.one(self.patient(1, parent_id={"$xid": "vagus_test.patient_2"}))
        self.one(self.patient(1, parent_id=wait(3)), uid="u3")
        self.assertEqual(parent(), self.record("vagus_test.patient_2"))
        self.one(self.patient(3), uid="u4")
        self.assertEqual(parent(), self.record("vagus_test.patient_3"), "one that was there gives way")
        self.one(self.patient(1, parent_id=wait(4)), uid="u5")
        self.one(self.patient(1, parent_id=wait(5)), uid="u6")
        self.one(self.patient(4), uid="u7")
        self.one(self.patient(5), uid="u8")
        self.assertEqual(parent(), self.record("vagus_test.patient_5"), "the later of two that wait")
        self.one(self.patient(1, parent_id=wait(6)), uid="u9")
        self.one(self.patient(1, parent_id=None), uid="u10")
        self.one(self.patient(6), uid="u11")
        self.assertFalse(parent(), "one that was cleared meanwhile")
        self.assertFalse(self.env["vagus.deferred"].search([]))

    def test_a_reference_whose_record_came_unseen_is_written_with_the_next_call(self):
        for number, model, expected in ((3, "res.partner", True), (4, "res.partner.category", False)):
            self.one(self.patient(1, parent_id={"$xid": "vagus_test.patient_%d" % number, "on_none": "defer"}), uid="w%d" % number)
            there = self.env[model].create({"name": "by hand"})  # as of a transaction that ran at the same time
            self.env["ir.model.data"].create({"module": "vagus_test", "name": "patient_%d" % number, "model": model, "res_id": there.id})
            self.one(self.patient(9), uid="n%d" % number)
            self.assertEqual(self.record("vagus_test.patient_1").parent_id == there, expected)
            self.assertFalse(self.env["vagus.deferred"].search([]))

    def test_what_somebody_else_wrote_meanwhile_stays(self):
        self.one(self.patient(1, parent_id={"$xid": "vagus_test.patient_2", "on_none": "defer"}))
        mine = self.env["res.partner"].create({"name": "mine"})
        partner = self.record("vagus_test.patient_1")
        partner.parent_id = mine
        self.env.flush_all()
        self.env.cr.execute("UPDATE res_partner SET write_date = write_date + interval '1 minute' WHERE id = %s", [partner.id])
        partner.invalidate_recordset()
        self.one(self.patient(2), uid="u2")
        self.assertEqual(partner.parent_id, mine)

    def test_a_reference_to_a_record_of_another_model_is_refused(self):
        self.one({"op": "tag", "model": "res.partner.category", "do": "upsert", "xid": "vagus_test.tag", "vals": {"name": "vagus"}}, uid="t")
        for field, value in (
            ("parent_id", {"$xid": "vagus_test.tag"}),
            ("parent_id", {"$ref": "res.country", "by": {"code": "US"}}),
            ("country_id", {"$op": "other"}),
            ("category_id", {"$add": [{"$xid": "base.us"}]}),
        ):
            with self.subTest(field=field, value=value):
                other = {**self.patient(7), "op": "other"}
                answer = self.one(other, self.patient(8, **{field: value}), uid="r-%s-%s" % (field, value))
                self.assertEqual((answer["result"], answer.get("class"), answer.get("field")), ("rejected", "odoo.other_model", field))

    def test_a_fault_that_is_not_known_is_tried_again(self):
        self.one(self.patient(1))
        with patch.object(type(self.env["res.partner"]), "write", side_effect=ZeroDivisionError("Doe")):
            answer = self.one(self.patient(1, ref="new"), uid="u2")
        self.assertEqual((answer["result"], answer["class"]), ("retry", "odoo.unknown"))
        self.assertNotIn("Doe", str(answer))

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

    def test_only_if_somebody_else_has_not_changed_it_since(self):
        self.one(self.patient(1, city="A"))
        partner = self.record("vagus_test.patient_1")
        late = dict(self.patient(1, city="C"), unchanged_since="2020-01-01 00:00:00")
        self.assertEqual(self.one(late, uid="u2")["result"], "applied", "the link's own changes are none")
        partner.city = "B"
        self.env.flush_all()
        self.env.cr.execute("UPDATE res_partner SET write_date = '2026-01-01 10:00:00.5' WHERE id = %s", (partner.id,))
        partner.invalidate_recordset()
        answer = self.one(late, uid="u3")
        self.assertEqual((answer["result"], answer["class"]), ("rejected", "odoo.changed_since"))
        self.assertEqual(self.one(dict(late, vals={"name": "Doe", "city": "B"}), uid="u4")["result"], "applied", "it says the same")
        same_second = dict(late, unchanged_since="2026-01-01 10:00:00")
        self.assertEqual(self.one(same_second, uid="u5")["result"], "applied")
        partner.invalidate_recordset()
        self.assertEqual((partner.city, partner.write_uid), ("C", self.link))

    def test_whose_values_went_is_told(self):
        self.one(self.patient(1, city="A"))
        self.assertNotIn("overwrote", self.one(self.patient(1, city="B"), uid="u2"))
        partner = self.record("vagus_test.patient_1")
        partner.city = "C"
        self.assertEqual(self.one(self.patient(1, city="D"), uid="u3")["overwrote"], [{"op": "patient", "model": "res.partner", "fields": ["city"]}])

    def test_nonsense_is_answered(self):
        self.assertEqual(self.units.apply([1])[0]["class"], "odoo.bad_call")
        self.assertEqual(self.one({"op": "x", "do": "explode", "model": "res.partner"})["class"], "odoo.invalid")
        self.assertEqual(self.one({"op": "x", "do": "upsert", "model": "no.such"}, uid="u2")["class"], "odoo.missing_model")
        self.assertEqual(self.one(self.patient(1, active="perhaps", color="red"), uid="u3")["result"], "rejected")

    def test_people_see_which_messages_touched_a_record(self):
        self.one(self.patient(1))
        partner = self.record("vagus_test.patient_1")
        clerk = self.env["res.users"].with_context(no_reset_password=True).create({
            "name": "Clerk", "login": "clerk-test", self.groups: [(6, 0, [self.env.ref("base.group_user").id, self.env.ref("vagus.group_inbox").id])]})
        policy = self.env["vagus.policy"].search([("model", "=", "res.partner")])
        bound = self.env["ir.actions.actions"].with_user(clerk).get_bindings("res.partner")["action"]
        self.assertIn(policy.action_id.id, [a["id"] for a in bound])
        records = self.env["vagus.record"].with_user(clerk).search(safe_eval(policy.action_id.domain, {"active_ids": partner.ids}))
        self.assertEqual((records.message, records.operation, records.made, records.name), ("m-u1", "patient", True, "Doe"))
        unit = self.env["vagus.unit"].with_user(clerk).browse(records.open_unit()["res_id"])
        self.assertEqual((unit.result, unit.touched, unit.record_ids.open_record()["res_id"]), ("applied", 1, partner.id))
        with self.assertRaises(AccessError):
            unit.write({"result": "retry"})
        action = policy.action_id
        policy.unlink()
        self.assertFalse(action.exists())

    def test_views_are_valid(self):
        for model, kinds in (("vagus.unit", (LIST, "form", "search")), ("vagus.record", (LIST,)), ("vagus.policy", (LIST,))):
            for kind in kinds:
                self.assertTrue(self.env[model].get_views([[False, kind]])["views"][kind]["arch"])
