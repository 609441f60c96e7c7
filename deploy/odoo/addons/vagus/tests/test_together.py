from unittest.mock import patch

from odoo.tests import tagged

from ..models.rounds import Plan, rounds
from .common import LinkCase


@tagged("post_install", "-at_install", "vagus")
class TestTogether(LinkCase):
    def results(self, *units):
        return [a["result"] for a in self.units.apply(list(units))]

    def creates(self, *units):
        """How many records each call of create makes."""
        partner = self.env.registry["res.partner"]
        made, create = [], partner.create

        def counted(model, vals_list):
            made.append(len(vals_list))
            return create(model, vals_list)

        with patch.object(partner, "create", counted):
            self.units.apply(list(units))
        return made

    def test_records_of_many_units_are_made_in_one_call(self):
        self.assertEqual(self.creates(*(self.unit("u%d" % n, self.patient(n)) for n in range(20))), [20])
        self.assertEqual(self.creates(*(self.unit("v%d" % n, self.patient(n, city="A")) for n in range(20))), [])

    def test_many_units_cost_few_queries(self):
        units = [self.unit("u%d" % n, self.patient(n, country_id={"$ref": "res.country", "by": {"code": "US"}})) for n in range(50)]
        self.units.apply([self.unit("warm", self.patient("warm"))])
        before = self.env.cr.sql_log_count
        self.units.apply(units)
        self.assertLess(self.env.cr.sql_log_count - before, 150)

    def test_one_that_the_database_refuses_spoils_no_other(self):
        bad = self.patient(3, color=2**40)
        with self.assertLogs("odoo.sql_db", "ERROR") as log:
            answers = self.units.apply([self.unit("u%d" % n, self.patient(n) if n != 3 else bad) for n in range(8)])
        self.assertNotIn("Doe", str(log.output), "a log tells nothing of a person")
        self.assertEqual([a["result"] for a in answers], ["applied"] * 3 + ["rejected"] + ["applied"] * 4)
        self.assertEqual([a["unit"] for a in answers], ["u%d" % n for n in range(8)])
        self.assertTrue(self.missing("vagus_test.patient_3"))
        self.assertEqual(self.env["vagus.unit"].search([("unit", "=like", "u_"), ("result", "=", "rejected")]).unit, "u3")

    def test_one_that_fails_late_is_taken_back_whole(self):
        late = {"op": "late", "model": "res.partner", "do": "update", "xid": "vagus_test.nobody", "vals": {"city": "A"}}
        self.assertEqual(self.results(*(self.unit("u%d" % n, self.patient(n), *([late] if n in (1, 4) else ())) for n in range(6))),
                         ["applied", "retry", "applied", "applied", "retry", "applied"])
        self.assertEqual([self.missing("vagus_test.patient_%d" % n) for n in range(6)], [False, True, False, False, True, False])

    def test_units_of_one_record_are_applied_in_their_order(self):
        self.assertEqual(self.results(*(self.unit("u%d" % n, self.patient(n % 2, city="v%d" % n)) for n in range(7))), ["applied"] * 7)
        self.assertEqual((self.record("vagus_test.patient_0").city, self.record("vagus_test.patient_1").city), ("v6", "v5"))

    def test_units_of_one_record_with_two_ids_are_applied_in_their_order(self):
        self.one(self.patient("a"))
        record = self.record("vagus_test.patient_a")
        self.env["ir.model.data"].create({"module": "vagus_test", "name": "patient_b", "model": "res.partner", "res_id": record.id})
        self.units.apply([self.unit("v%d" % n, self.patient("ab"[n % 2], city="v%d" % n)) for n in range(5)])
        record.invalidate_recordset()
        self.assertEqual(record.city, "v4")

    def test_a_unit_sees_what_an_earlier_one_made(self):
        child = self.patient(2, parent_id={"$xid": "vagus_test.patient_1"})
        self.assertEqual(self.results(self.unit("a", self.patient(1)), self.unit("b", child)), ["applied"] * 2)
        self.assertEqual(self.results(self.unit("c", self.patient(4, parent_id={"$xid": "vagus_test.patient_3"})), self.unit("d", self.patient(3))), ["rejected", "applied"])
        tag = {"op": "t", "model": "res.partner.category", "do": "upsert", "by": {"name": "vagus new"}, "vals": {"name": "vagus new"}}
        use = self.patient(5, category_id={"$add": [{"$ref": "res.partner.category", "by": {"name": "vagus new"}}]})
        self.assertEqual(self.results(self.unit("e", tag), self.unit("f", use), self.unit("g", dict(tag))), ["applied"] * 3)
        self.assertEqual(len(self.env["res.partner.category"].search([("name", "=", "vagus new")])), 1)

    def test_records_known_by_a_field_are_made_once(self):
        def by(ref, city):
            return {"op": "p", "model": "res.partner", "do": "upsert", "by": {"ref": ref}, "vals": {"name": "Doe", "ref": ref, "city": city}}

        self.assertEqual(self.creates(*(self.unit("u%d" % n, by("vagus-%d" % (n % 5), "v%d" % n)) for n in range(10))), [5])
        self.assertEqual(self.env["res.partner"].search([("ref", "=like", "vagus-_")], order="ref").mapped("city"), ["v5", "v6", "v7", "v8", "v9"])

    def test_each_operation_looks_up_in_its_own_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        red, other = self.env["res.partner.category"].create([{"name": "vagus red"}, {"name": "vagus rouge"}])
        red.with_context(lang="fr_FR").name = "vagus rouge"
        other.with_context(lang="fr_FR").name = "vagus autre"

        def tagged(n, name, lang):
            value = {"$replace": [{"$ref": "res.partner.category", "by": {"name": name}}]}
            return self.unit("u%d" % n, dict(self.patient(n, category_id=value), context={"lang": lang} if lang else {}))

        asked = [("vagus rouge", "fr_FR"), ("vagus rouge", None), ("vagus rouge", "en_US"), ("vagus red", None), ("vagus autre", "fr_FR")] * 2
        refused = [("vagus red", "fr_FR"), ("vagus autre", None)]
        answers = self.units.apply([tagged(n, *a) for n, a in enumerate(asked + refused)])
        self.assertEqual([a["result"] for a in answers], ["applied"] * 10 + ["rejected"] * 2)
        self.assertEqual([a["class"] for a in answers[10:]], ["odoo.missing_reference"] * 2)
        self.assertEqual([self.record("vagus_test.patient_%d" % n).category_id for n in range(10)], [red, other, other, red, other] * 2)

        french = {"op": "t", "model": "res.partner.category", "do": "update", "by": {"name": "vagus rouge"}, "vals": {"color": 1}, "context": {"lang": "fr_FR"}}
        self.units.apply([self.unit("f", french), self.unit("e", {**french, "vals": {"color": 2}, "context": {}})])
        self.assertEqual((red.color, other.color), (1, 2))
        self.units.with_context(lang="fr_FR").apply([self.unit("g", {**french, "vals": {"color": 3}, "context": {}})])
        self.assertEqual((red.color, other.color), (3, 2), "the language of the request is that of its operations")
        self.assertEqual(self.units.apply([self.unit("x", dict(french, context={"lang": "xx_XX"})), self.unit("y", dict(french))])[1]["result"], "applied")

    def test_each_operation_looks_up_in_its_own_company(self):
        first, second = self.env.company, self.env["res.company"].create({"name": "Vagus second"})
        here, there = self.env["res.partner"].create([{"name": "here"}, {"name": "there"}])
        here.with_company(first).barcode = there.with_company(second).barcode = "4711"

        def child(n, company):
            op = self.patient(n, parent_id={"$ref": "res.partner", "by": {"barcode": "4711"}})
            return self.unit("u%d" % n, dict(op, context={"allowed_company_ids": [company.id]} if company else {}))

        self.assertEqual(self.results(child(0, first), child(1, second), child(2, None), child(3, second)), ["applied"] * 4)
        self.assertEqual([self.record("vagus_test.patient_%d" % n).parent_id for n in range(4)], [here, there, here, there])
        self.units.with_context(allowed_company_ids=second.ids).apply([child(4, None), child(5, first)])
        self.assertEqual([self.record("vagus_test.patient_%d" % n).parent_id for n in (4, 5)], [there, here])

    def test_one_unit_twice_in_a_request(self):
        answers = self.units.apply([self.unit("a", self.patient(1))] * 2)
        self.assertEqual([(a["result"], a.get("again", False)) for a in answers], [("applied", False), ("applied", True)])
        self.assertEqual(answers[0]["records"], answers[1]["records"])

    def test_which_units_share_a_round(self):
        def names(*units):
            return [[p.id for p in r] for r in rounds(self.env, [Plan(u, None) for u in units], {})]

        a, b, c = (self.unit(x, self.patient(x)) for x in "abc")
        self.assertEqual(names(a, b, c), [["a", "b", "c"]])
        self.assertEqual(names(a, b, self.unit("d", self.patient("a"))), [["a", "b"], ["d"]])
        looks = self.unit("d", self.patient("d", parent_id={"$ref": "res.partner", "by": {"ref": "x"}}))
        self.assertEqual(names(a, looks, b), [["a"], ["d"], ["b"]])
        merge = self.unit("m", {"op": "m", "model": "res.partner", "do": "merge", "xid": "t.x", "on": "y"})
        self.assertEqual(names(a, merge, b), [["a"], ["m"], ["b"]])
        self.assertEqual(names(a, {"id": "x", "ops": [{"model": []}]}, b), [["a"], ["x"], ["b"]])

        def tag(name, **context):
            return self.unit(name, {"op": "t", "model": "res.partner.category", "do": "update", "by": {"name": name}, "vals": {"color": 1}, "context": context})

        self.assertEqual(names(tag("a"), tag("b")), [["a", "b"]])
        self.assertEqual(names(tag("a"), tag("b", lang="fr_FR")), [["a"], ["b"]], "two names of one record, perhaps")
