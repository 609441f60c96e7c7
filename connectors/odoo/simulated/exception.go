package simulated

import (
	"fmt"
	"strings"
)

// An exception is what Odoo raises: the same one looks different on each wire
// and again in the messages of load.
type exception struct {
	class   string // as JSON-RPC names it: odoo.exceptions.UserError, builtins.ValueError
	message string
	row     string // as a message of load, when that differs
	field   string // of a message of load
}

func userError(format string, a ...any) *exception {
	return &exception{class: "odoo.exceptions.UserError", message: fmt.Sprintf(format, a...)}
}

func validationError(format string, a ...any) *exception {
	return &exception{class: "odoo.exceptions.ValidationError", message: fmt.Sprintf(format, a...)}
}

func valueError(format string, a ...any) *exception {
	return &exception{class: "builtins.ValueError", message: fmt.Sprintf(format, a...)}
}

func typeError(format string, a ...any) *exception {
	return &exception{class: "builtins.TypeError", message: fmt.Sprintf(format, a...)}
}

func missingError(model string, id int64, uid int64) *exception {
	return &exception{class: "odoo.exceptions.MissingError",
		message: fmt.Sprintf("Record does not exist or has been deleted.\n(Record: %s(%d,), User: %d)", model, id, uid)}
}

func accessDenied() *exception {
	return &exception{class: "odoo.exceptions.AccessDenied", message: "Access Denied"}
}

func accessError(verb string, m *Model, name string, groups ...string) *exception {
	return &exception{class: "odoo.exceptions.AccessError",
		message: fmt.Sprintf("You are not allowed to %s '%s' (%s) records.\n\nThis operation is allowed for the following groups:\n\t- %s\n\nContact your administrator to request access if necessary.",
			verb, m.Label, name, strings.Join(groups, "\n\t- "))}
}

func serializationFailure() *exception {
	return &exception{class: "psycopg2.errors.SerializationFailure", message: "could not serialize access due to concurrent update\n"}
}

// isUserError says whether load takes the exception for a rule's, whose text it
// reports as it is; the other kinds are the database's (psycopg2), whose text
// it reports as well, and the unexpected.
func (e *exception) isUserError() bool { return strings.HasPrefix(e.class, "odoo.exceptions.") }

// rowMessage is the exception's text in the messages of load.
func (e *exception) rowMessage() string {
	switch {
	case e.row != "":
		return e.row
	case e.isUserError(), strings.HasPrefix(e.class, "psycopg2."):
		return e.message
	}
	return fmt.Sprintf("Unknown error during import: <class '%s'>: %s", strings.TrimPrefix(e.class, "builtins."), e.message)
}

// faultCode and faultString are the exception on XML-RPC.
func (e *exception) fault() (code int, text string) {
	switch e.class {
	case "odoo.exceptions.AccessDenied":
		return 3, e.message
	case "odoo.exceptions.AccessError":
		return 4, e.message
	}
	if e.isUserError() {
		return 2, e.message
	}
	if e.class == "builtins.KeyError" { // as Python shows it
		return 1, "Traceback (most recent call last):\n  File \"/opt/odoo/service/model.py\", line 133, in retrying\n    result = func()\nKeyError: '" + e.message + "'\n"
	}
	return 1, "Traceback (most recent call last):\n  File \"/opt/odoo/addons/base/controllers/rpc.py\", line 158, in xmlrpc_2\n    response = self._xmlrpc(service)\n" +
		strings.TrimPrefix(e.class, "builtins.") + ": " + e.message + "\n"
}
