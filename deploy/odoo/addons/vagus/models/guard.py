"""What the link may not do, whatever a policy says: what would let it become
somebody else. Odoo guards this with the rights of the user, of whom effects have
none to check."""

from odoo.exceptions import AccessError

from .steps import Refusal

# A field that only these may see is never written: passwords, sign-up tokens.
KEEPERS = {".", "base.group_system", "base.group_erp_manager"}

# Models with secrets, or with what says who may do what. One may be found by an
# id of the mapping, and not by asking for its values.
UNSEARCHED = ("vagus.", "auth", "bus.", "ir.config_parameter", "ir.mail_server", "fetchmail.", "res.users.", "mail.mail")


def refused(field=None):
    return Refusal("rejected", "odoo.not_allowed", field)


def kept(field):
    """Whether administrators alone may use the field."""
    return bool(field.groups) and {g.strip() for g in field.groups.split(",")} <= KEEPERS


def written(field):
    if kept(field):
        raise refused(field.name)


def searched(model, path):
    """No field may be asked for that administrators alone see."""
    for name in path.split("."):
        if model is None or model._name.startswith(UNSEARCHED):
            raise refused(path)
        field = model._fields.get(name)
        if field is None:
            return  # Odoo says so
        if kept(field):
            raise refused(path)
        model = model.env[field.comodel_name] if field.relational else None


def context(op):
    """The context of an operation: plain values, none of them commands."""
    out = op.get("context") or {}
    for name, value in out.items():
        many = value if isinstance(value, list) and not name.startswith("default_") else [value]
        if not all(v is None or isinstance(v, (str, int, float)) for v in many):
            raise refused(name)
    return out


def check(effects, records):
    """Users are made and changed when a policy names them, people who log in as
    well, and those who administer never: who can set an address can ask for a
    new password."""
    if records._name == "res.users":
        users = records
    elif records._name == "res.partner":
        users = records.with_context(active_test=False).user_ids
    else:
        return
    internal = users.filtered(lambda u: not u.share)
    if internal:
        effects.policy("res.users")
        # Not by has_group, which remembers the answer beyond a rollback.
        groups = internal["all_group_ids" if "all_group_ids" in internal._fields else "groups_id"]
        if groups & (effects.env.ref("base.group_system") | effects.env.ref("base.group_erp_manager")):
            raise refused()


# Of models that no policy lets be read, these say which record is meant.
NAMES = ("id", "display_name", "name", "code", "ref", "login", "barcode", "default_code", "active")


def readable(env, name, specification, policies=None, depth=0):
    """Refuse a specification of web_read that asks for more than policies let be read."""
    policies = env["vagus.policy"]._all() if policies is None else policies
    if not isinstance(specification, dict) or depth > 5 or name not in env:
        raise AccessError("This specification is none, or too deep.")
    for field_name, inner in specification.items():
        field = env[name]._fields.get(field_name)
        inner = inner or {}
        if field is None or kept(field) or not set(inner) <= {"fields", "limit", "order", "context"} or inner.get("context"):
            raise AccessError("%s.%s may not be read." % (name, field_name))
        if not (name in policies and policies[name][2]) and field_name not in NAMES and field.type not in ("many2one",) or depth and name.startswith(UNSEARCHED):
            raise AccessError("No policy of Vagus lets %s.%s be read." % (name, field_name))
        if "fields" in inner:
            if not field.relational:
                raise AccessError("%s.%s has no fields." % (name, field_name))
            readable(env, field.comodel_name, inner["fields"], policies, depth + 1)
