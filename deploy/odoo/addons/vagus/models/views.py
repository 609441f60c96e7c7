from odoo import api, models, release

# Odoo 18 renamed the element (and the view type) of list views: these are made by
# a method, all others stand in views/.
LIST = "list" if release.version_info[0] >= 18 else "tree"

UNITS = """<{list} create="0" edit="0" delete="0" decoration-danger="result == 'rejected'" decoration-warning="result == 'retry'">
    <field name="create_date" string="Came" width="150px"/>
    <field name="site" optional="show"/>
    <field name="feed"/>
    <field name="kind"/>
    <field name="message"/>
    <field name="result" widget="badge" decoration-success="result == 'applied'" decoration-warning="result == 'retry'" decoration-danger="result == 'rejected'"/>
    <field name="error" optional="show"/>
    <field name="touched" string="Records"/>
    <field name="attempts" optional="hide"/>
    <field name="mapping" optional="hide"/>
    <field name="unit" optional="hide"/>
</{list}>"""

UNIT = """<form create="0" edit="0" delete="0">
    <sheet>
        <div class="oe_title"><label for="message"/><h2><field name="message"/></h2></div>
        <group>
            <group>
                <field name="result" widget="badge" decoration-success="result == 'applied'" decoration-warning="result == 'retry'" decoration-danger="result == 'rejected'"/>
                <field name="error" invisible="not error"/>
                <field name="attempts"/>
                <field name="create_date" string="Came"/>
            </group>
            <group>
                <field name="site"/>
                <field name="feed"/>
                <field name="kind"/>
                <field name="mapping"/>
                <field name="unit"/>
            </group>
        </group>
        <separator string="Records"/>
        <field name="record_ids">
            <{list} create="0" edit="0" delete="0">
                <field name="operation"/>
                <field name="document"/>
                <field name="name"/>
                <field name="made"/>
                <button name="open_record" type="object" string="Open" icon="fa-external-link"/>
            </{list}>
        </field>
    </sheet>
</form>"""

RECORDS = """<{list} create="0" edit="0" delete="0" action="open_unit" type="object">
    <field name="create_date" string="Came" width="150px"/>
    <field name="feed"/>
    <field name="kind"/>
    <field name="message"/>
    <field name="operation"/>
    <field name="made"/>
    <field name="name" optional="hide"/>
</{list}>"""

POLICIES = """<{list} editable="bottom">
    <field name="model_id" options="{'no_create': True, 'no_open': True}"/>
    <field name="model" optional="show"/>
    <field name="may_write"/>
    <field name="methods" placeholder="action_post button_confirm"/>
    <field name="may_read"/>
</{list}>"""


class Unit(models.Model):
    _inherit = "vagus.unit"

    @api.model
    def _make_views(self):
        self.env["ir.ui.view"]._load_records([
            {"xml_id": "vagus." + name, "noupdate": False, "values": {"name": "vagus." + name, "model": model, "type": kind, "arch": arch.replace("{list}", LIST)}}
            for name, model, kind, arch in (
                ("unit_list", "vagus.unit", LIST, UNITS),
                ("unit_form", "vagus.unit", "form", UNIT),
                ("record_list", "vagus.record", LIST, RECORDS),
                ("policy_list", "vagus.policy", LIST, POLICIES),
            )])
        self.env.ref("vagus.unit_action").view_mode = LIST + ",form"
        self.env.ref("vagus.policy_action").view_mode = LIST
        # Of models that are not loaded yet it is said when their policy is written.
        self.env["vagus.policy"].search([]).filtered(lambda p: p.model in self.env)._show_messages()


class Policy(models.Model):
    _inherit = "vagus.policy"

    def _show_messages(self):
        """A model that has a policy shows, under Actions of a record, which
        messages touched it."""
        actions = self.env["ir.actions.act_window"].sudo()
        groups = "group_ids" if "group_ids" in actions._fields else "groups_id"
        who = self.env.ref("vagus.group_inbox") | self.env.ref("base.group_system")
        for policy in self:
            if not policy.action_id:
                policy.sudo().action_id = actions.create({"name": "Messages of Vagus", "res_model": "vagus.record"})
            policy.action_id.sudo().write({
                "view_mode": LIST,
                "domain": "[('model', '=', '%s'), ('res_id', 'in', active_ids)]" % policy.model,
                "binding_model_id": policy.model_id.id,
                "binding_view_types": "%s,form" % LIST,
                "help": "<p>No message of a hospital's system touched this.</p>",
                groups: [(6, 0, who.ids)],
            })
