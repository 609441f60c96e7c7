from odoo import release

from . import models

# Odoo 18 renamed the element (and the view type) of list views.
LIST = "list" if release.version_info[0] >= 18 else "tree"

UNITS = """<{list} create="0" edit="0" delete="0" decoration-danger="result == 'rejected'" decoration-warning="result == 'retry'">
    <field name="create_date" string="First seen"/>
    <field name="site"/>
    <field name="feed"/>
    <field name="kind"/>
    <field name="message"/>
    <field name="result" widget="badge"/>
    <field name="error" optional="show"/>
    <field name="attempts" optional="hide"/>
    <field name="mapping" optional="hide"/>
    <field name="unit" optional="hide"/>
</{list}>"""

RECORDS = """<{list} create="0" edit="0" delete="0">
    <field name="operation"/>
    <field name="model"/>
    <field name="res_id"/>
    <field name="made"/>
    <button name="open_record" type="object" string="Open" icon="fa-external-link"/>
</{list}>"""

POLICY = """<{list} editable="bottom">
    <field name="model_id"/>
    <field name="may_write"/>
    <field name="methods"/>
    <field name="may_read"/>
</{list}>"""

FORM = """<form create="0" edit="0" delete="0">
    <sheet>
        <div class="oe_title"><h1><field name="message"/></h1></div>
        <group>
            <group><field name="result"/><field name="error"/><field name="attempts"/></group>
            <group><field name="site"/><field name="feed"/><field name="kind"/><field name="mapping"/><field name="unit"/></group>
        </group>
        <field name="record_ids">%s</field>
    </sheet>
</form>"""


def make_views(env):
    """Make the views whose element depends on the version of Odoo."""
    env["ir.ui.view"]._load_records([
        {"xml_id": "vagus." + name, "noupdate": False, "values": {"name": "vagus." + name, "model": model, "type": kind, "arch": arch.replace("{list}", LIST)}}
        for name, model, kind, arch in (
            ("unit_list", "vagus.unit", LIST, UNITS),
            ("unit_form", "vagus.unit", "form", FORM % RECORDS),
            ("record_list", "vagus.record", LIST, RECORDS),
            ("policy_list", "vagus.policy", LIST, POLICY),
        )
    ])
    for name in ("unit_action", "policy_action"):
        action = env.ref("vagus." + name)
        action.view_mode = LIST + ",form" if name == "unit_action" else LIST
