"""Values as Odoo takes them: references resolved, and compared with what is there."""

from . import guard
from .rounds import XID
from .steps import Refusal


def invalid(field=None):
    return Refusal("rejected", "odoo.invalid", field)


class Values:
    """The part of a unit's effects that only reads."""

    # --- references

    def by_xid(self, xid):
        if not isinstance(xid, str) or not XID.match(xid):
            raise Refusal("rejected", "odoo.invalid_xid")
        return self.batch.by_xid(xid)

    def by_fields(self, model, by):
        domain = []
        for name, value in by.items():
            guard.searched(model, name)
            value = self.plain(name, value)
            domain.append((name, "=", False if value is None else value))
        if not domain:
            raise invalid()
        return self.batch.search(model, domain)

    def earlier(self, name):
        if name not in self.done:
            raise Refusal("rejected", "odoo.missing_operation")
        return self.done[name]

    def ref(self, name, value, comodel=None):
        """The id of a record; 0 to leave the value out; None to defer it."""
        if not isinstance(value, dict):
            raise invalid(name)
        if "$op" in value:
            record = self.earlier(value["$op"])
        elif "$xid" in value:
            record = self.by_xid(value["$xid"])
        elif value.get("$ref") in self.env:
            record = self.by_fields(self.env[value["$ref"]], value.get("by") or {})
        else:
            raise invalid(name)
        if record and len(record) > 1:
            if value.get("on_many") == "skip":
                return 0
            raise Refusal("rejected", "odoo.ambiguous", name)
        if record and comodel and record._name != comodel:
            raise Refusal("rejected", "odoo.other_model", name)
        if record or "$op" in value:
            return record.id
        what = value.get("on_none") or "dead_letter"
        if what == "defer" and "$xid" in value:
            return None
        if what == "retry":
            raise Refusal("retry", "odoo.missing_reference", name)
        if what != "skip":
            raise Refusal("rejected", "odoo.missing_reference", name)
        return 0

    # --- values

    def field(self, record, name):
        field = record._fields.get(name)
        if field is None:
            raise Refusal("rejected", "odoo.unknown_field", name)
        return field

    def values(self, model, vals):
        """Values as create and write take them, the lines apart, and the
        references whose record is still to come."""
        out, lines, later = {}, {}, {}
        for name, value in vals.items():
            field = self.field(model, name)
            guard.written(field)
            if field.type == "one2many":
                lines[name] = value
            elif field.type == "many2many":
                commands = self.many(name, value, field.comodel_name)
                if commands:
                    out[name] = commands
            elif isinstance(value, dict) and "$distribution" in value:
                out[name] = {str(self.ref(name, share["account"], "account.analytic.account")): float(share["percent"]) for share in value["$distribution"]}
            elif isinstance(value, dict):
                found = self.ref(name, value, getattr(field, "comodel_name", None))
                if found is None:
                    later[name] = value["$xid"]
                elif found:
                    out[name] = found
            elif isinstance(value, list):
                raise invalid(name)  # commands are not for others to give
            else:
                out[name] = False if value is None else value
        return out, lines, later

    def plain(self, name, value):
        if isinstance(value, dict):
            return self.ref(name, value) or False
        return value

    def many(self, name, value, comodel):
        if value is None:
            return [(6, 0, [])]
        if not isinstance(value, dict) or ("$add" in value) == ("$replace" in value):
            raise invalid(name)
        items = value.get("$add", value.get("$replace"))
        ids = [i for i in (self.ref(name, item, comodel) for item in items) if i]
        if "$add" in value:
            return [(4, i, 0) for i in ids]
        return [(6, 0, ids)] if ids or not items else []

    def same(self, record, name, value):
        """Whether the record has the value: what has not changed is not written."""
        field = self.field(record, name)
        if field.type in ("one2many", "properties", "binary"):
            return False
        if field.type == "json":
            return record[name] == value
        if field.type == "many2many":
            command, _, ids = value[0]
            have = set(record[name].ids)
            return have == set(ids) if command == 6 else len(value) == len([c for c in value if c[1] in have])
        if field.type == "many2one":
            return record[name].id == value
        # As the field reads it: rounded, sanitised, and a date for a text.
        return field.convert_to_record(field.convert_to_cache(value or False, record), record) == record[name]
