from odoo import api, fields, models, tools
from odoo.exceptions import AccessError, ValidationError


class Policy(models.Model):
    """What the link may do with one model. What no policy names is refused."""

    _name = "vagus.policy"
    _description = "What Vagus may do with a model"
    _rec_name = "model_id"

    model_id = fields.Many2one("ir.model", "Document", required=True, ondelete="cascade")
    model = fields.Char(related="model_id.model", store=True, index=True)
    may_write = fields.Boolean("May write", default=True, help="Messages may make and change its records")
    methods = fields.Char("May call", help="Names of methods, separated by spaces: action_post button_confirm")
    action_id = fields.Many2one("ir.actions.act_window", "Action that shows its messages", ondelete="set null", readonly=True)
    may_read = fields.Boolean("Changes are sent", help="Changes of its records are written down and can be read")

    def init(self):
        # Not a constraint of the class: how they are declared differs between 17 and 19.
        self.env.cr.execute("CREATE UNIQUE INDEX IF NOT EXISTS vagus_policy_one_for_each_model ON vagus_policy (model_id)")

    # Models through which a caller could give himself more than a policy says.
    NEVER = ("vagus.", "ir.", "base.", "res.groups", "auth", "bus.", "res.users.", "fetchmail.", "change.password.", "mail.template", "mail.compose")
    EXCEPT = ("base.partner.merge.automatic.wizard",)

    @api.constrains("model_id", "methods")
    def _check_model(self):
        for policy in self:
            if policy.model.startswith(self.NEVER) and policy.model not in self.EXCEPT:
                raise ValidationError("%s is never open to Vagus." % policy.model)
            for name in (policy.methods or "").split():
                if not name.startswith(("action_", "button_")):
                    raise ValidationError("%s is no method of a workflow: their names begin with action_ or button_." % name)

    @api.model
    @tools.ormcache()
    def _all(self):
        """{model: (may_write, methods, may_read)}"""
        return {p.model: (p.may_write, frozenset((p.methods or "").split()), p.may_read) for p in self.sudo().search([])}

    @api.model_create_multi
    def create(self, vals_list):
        self._forget()
        policies = super().create(vals_list)
        self._opened(policies.filtered("may_read"))
        policies._show_messages()
        return policies

    def write(self, vals):
        self._forget()
        closed = self.filtered(lambda p: not p.may_read or "model_id" in vals)
        result = super().write(vals)
        self._opened(closed.filtered("may_read"))
        if "model_id" in vals:
            self._show_messages()
        return result

    def unlink(self):
        self._forget()
        self.action_id.sudo().unlink()
        return super().unlink()

    def _opened(self, policies):
        """From now on changes are written down; nothing is known from before."""
        self.env["vagus.change"].sudo()._begin(policies.mapped("model"))

    def _forget(self):
        self.env.registry.clear_cache()

    @api.model
    def _check_caller(self):
        if not self.env.user.has_group("vagus.group_link"):
            raise AccessError("This needs the group Vagus / Link.")
