from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.tests import tagged

from .common import LinkCase


@tagged("post_install", "-at_install", "vagus")
class TestChanges(LinkCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.allow("res.partner.bank", may_read=True)
        cls.env["vagus.policy"].search([("model", "in", ("res.partner", "res.partner.category"))]).write({"may_read": True})
        cls.changes = cls.env["vagus.change"].with_user(cls.link)
        # A test is one transaction, whose changes nobody may see before it ends.
        own = cls.env["vagus.change"]._parameter()[1]
        cls.env.cr.execute("SELECT txid_current()")
        cls.now = cls.env.cr.fetchone()[0] + own

    def read(self, cursor=None, model="res.partner", limit=100, **specification):
        self.env.cr.flush()
        # As if committed before all that goes on, in other databases of the server too.
        self.env.cr.execute("UPDATE vagus_change SET xact = txid_snapshot_xmin(txid_current_snapshot()) - 1 + %s WHERE xact >= %s", (self.env["vagus.change"]._parameter()[1], self.now))
        return self.changes.read_changes(model, specification or {"name": {}}, cursor, limit)

    def end(self, **of):
        """The cursor behind all that there is."""
        answer = self.read(**of)
        while answer["more"]:
            answer = self.read(answer["cursor"], **of)
        return answer["cursor"]

    def told(self, answer):
        return [(c["id"], c["kind"]) for c in answer["changes"]]

    def test_each_record_is_told_once_with_what_it_has_now(self):
        start = self.end()
        a, b = self.env["res.partner"].create([{"name": "a"}, {"name": "b"}])
        for n in range(3):
            a.name = "a%d" % n
            self.env.cr.flush()
        answer = self.read(start)
        self.assertEqual({c["id"]: c["values"]["name"] for c in answer["changes"]}, {a.id: "a2", b.id: "b"})
        self.assertEqual(self.read(answer["cursor"])["changes"], [])

    def test_pages(self):
        start = self.end()
        made = self.env["res.partner"].create([{"name": "p%d" % n} for n in range(25)])
        seen, cursor, pages = [], start, 0
        while True:
            answer = self.read(cursor, limit=10)
            seen += [c["id"] for c in answer["changes"]]
            cursor, pages = answer["cursor"], pages + 1
            if not answer["more"]:
                break
        self.assertEqual((sorted(seen), pages), (made.ids, 3))

    def test_what_came_and_went_leaves_no_trace(self):
        start = self.end()
        self.env["res.partner"].create({"name": "a"}).unlink()
        self.assertEqual(self.told(self.read(start)), [])

    def test_a_deletion_is_told(self):
        a = self.env["res.partner"].create({"name": "a"})
        start = self.end()
        a.unlink()
        answer = self.read(start)
        self.assertEqual([(c["id"], c["kind"], c["values"]) for c in answer["changes"]], [(a.id, "unlink", None)])

    def test_what_the_database_deletes_and_clears_is_told(self):
        parent = self.env["res.partner.category"].create({"name": "parent"})
        child = self.env["res.partner.category"].create({"name": "child", "parent_id": parent.id})
        owner = self.env["res.partner"].create({"name": "owner"})
        account = self.env["res.partner.bank"].create({"acc_number": "1", "partner_id": owner.id})
        start, banks = self.end(model="res.partner.category"), self.read(model="res.partner.bank", acc_number={})["cursor"]
        parent.unlink()  # its children go by ON DELETE CASCADE
        self.assertEqual(sorted(self.told(self.read(start, model="res.partner.category"))), sorted([(parent.id, "unlink"), (child.id, "unlink")]))
        owner.unlink()
        self.assertEqual(self.told(self.read(banks, model="res.partner.bank", acc_number={})), [(account.id, "unlink")])

    def test_what_odoo_computes_and_stores_is_told(self):
        company = self.env["res.partner"].create({"name": "old", "is_company": True})
        contact = self.env["res.partner"].create({"name": "contact", "parent_id": company.id})
        start = self.end(complete_name={})
        company.name = "new"
        self.assertIn(contact.id, [i for i, _ in self.told(self.read(start, complete_name={}))])

    def test_what_is_taken_back_is_not_told(self):
        start = self.end()
        a = self.env["res.partner"].create({"name": "a"})
        try:
            with self.env.cr.savepoint():
                self.env["res.partner"].create({"name": "b"})
                self.env.cr.flush()
                raise ValueError
        except ValueError:
            pass
        self.assertEqual([i for i, _ in self.told(self.read(start))], [a.id])

    def test_a_reader_is_told_that_changes_were_forgotten(self):
        a = self.env["res.partner"].create({"name": "a"})
        start = self.end()
        a.name = "b"
        current = self.read(start)
        with patch.object(fields.Datetime, "now", lambda: fields.Datetime.to_datetime("2000-01-01") + timedelta(days=365 * 80)):
            self.env["vagus.change"]._forget_old()
        answer = self.read(start)
        self.assertEqual((answer["forgotten"], answer["changes"]), (True, []))
        self.assertFalse(self.read(answer["cursor"])["forgotten"])
        self.assertFalse(self.read(current["cursor"])["forgotten"], "it had read them")
        self.assertFalse(self.read()["forgotten"], "who begins compares everything anyway")
        self.env["vagus.change"]._forget_old()
        self.assertTrue(self.read(start)["forgotten"])

    def test_a_policy_that_was_off_for_a_while_is_told(self):
        policy = self.env["vagus.policy"].search([("model", "=", "res.partner")])
        self.env["res.partner"].create({"name": "a"})
        start = self.end()
        policy.may_read = False
        self.env["res.partner"].create({"name": "nobody notes this"})
        policy.may_read = True
        self.assertTrue(self.read(start)["forgotten"])

    def test_a_restored_database_is_told(self):
        self.env["res.partner"].create({"name": "a"})
        start = self.end()
        self.env["ir.config_parameter"].set_param("vagus.change.copy", "1.2.3 0")
        self.assertEqual((self.read(start)["changes"], self.read(start)["cursor"] != start), ([], True))
        self.assertTrue(self.read(start)["forgotten"])
        self.env.cr.execute("SELECT min(xact) FROM vagus_change")
        self.assertGreater(self.env.cr.fetchone()[0], start[0] + 10**7)

    def test_a_cursor_from_a_time_that_was_undone_is_told(self):
        start = self.end()
        self.assertTrue(self.read([start[0] + 10**7, start[1]])["forgotten"])
