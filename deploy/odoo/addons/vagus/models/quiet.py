"""Odoo logs a query that the database refuses with all its values, and the error
with the row. In the midst of a unit these are a person's."""

import contextlib
import contextvars
import logging

_quiet = contextvars.ContextVar("vagus_quiet", default=False)


@contextlib.contextmanager
def quiet():
    """Log no values of queries that fail meanwhile, in this thread."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _without_values(record):
    if _quiet.get():
        record.msg, record.args, record.exc_info = "a query of a unit was refused; its values are not shown", (), None
    return True


logging.getLogger("odoo.sql_db").addFilter(_without_values)
