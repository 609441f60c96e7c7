package odoo

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// A fault is what Odoo or the way to it answered instead of a result. Its text
// may quote a patient's row: it is matched against the table below and never
// leaves this package.
type fault struct {
	// class is the exception's name without its module; "net.…" and "http.…"
	// for what did not come from Odoo; "row" for a message of load, which has
	// no class.
	class string
	text  string
}

// Error names the class only.
func (f *fault) Error() string { return "odoo answered " + token(f.class) }

// isPage tells an answer that is no answer of the interface: a redirect, a page
// for people, a refusal. That a server or its proxy is overloaded is none.
func (f *fault) isPage() bool {
	status, isHTTP := strings.CutPrefix(f.class, "http.")
	return f.class == "net.garbage" || isHTTP && (status[0] == '3' || status[0] == '4') && status != "429"
}

// What to do about a fault.
type action int

const (
	again   action = iota // the same rows at once, a few times: nothing was committed
	retry                 // the unit later
	stale                 // a record that we remembered is gone: look it up again, once
	reject                // the unit never
	none                  // nothing
	suspect               // the unit later, unless Odoo itself does not answer: then the target is unwell
	unwell                // the target as a whole
)

// A verdict is what the table says about a fault.
type verdict struct {
	act    action
	class  string // stable token of the Outcome
	reason string // our words, with the fix
	whole  bool   // concerns every row of the call alike
	hides  bool   // it may stand for another fault
	field  string // the column at fault, or ""
}

func (v verdict) outcome(model string) broker.Outcome {
	o := broker.Outcome{Result: broker.Retry, Class: v.class, Reason: model + ": " + v.reason}
	if v.act == reject {
		o.Result = broker.Rejected
	}
	if v.field != "" {
		o.Reason = model + "." + v.field + ": " + v.reason
	}
	return o
}

// A rule matches a fault by class (one of the words; "" is any) and, when text
// is set, by text. The texts are those of lang en_US and of PostgreSQL with
// English messages.
type rule struct {
	classes string
	text    *regexp.Regexp
	verdict verdict
}

var re = regexp.MustCompile

// warnings are the exceptions that XML-RPC cannot tell apart.
const warnings = "UserError ValidationError MissingError RedirectWarning row"

// rules is the one place where an answer of Odoo becomes a decision. The first
// match wins. What nothing matches is retried.
var rules = []rule{
	// The way to Odoo.
	{"net.refused net.dns", nil, verdict{act: unwell, class: "odoo.unreachable", reason: "nothing answers at the url, or at the proxy; start Odoo, or correct target.url or target.proxy"}},
	{"net.certificate", nil, verdict{act: unwell, class: "odoo.certificate", reason: "the server's certificate is not trusted; set tls.ca_file or renew the certificate"}},
	{"http.301 http.302 http.303 http.307 http.308", nil, verdict{act: unwell, class: "odoo.redirected", reason: "the server redirects; set url to the address that it redirects to"}},
	{"http.401 http.404 http.405 http.407", nil, verdict{act: unwell, class: "odoo.wrong_url", reason: "the server does not offer Odoo's external API there, or a proxy wants a login; correct url or proxy, and database on a server that has several"}},
	{"NotFound", re(`^[Tt]he method`), verdict{act: reject, whole: true, class: "odoo.missing_method", reason: "the model has no such method"}},
	{"NotFound", re(`^[Tt]he model`), verdict{act: reject, whole: true, class: "odoo.missing_model", reason: "the database has no such model; install the module or correct the mapping"}},
	{"UnprocessableEntity", nil, verdict{act: reject, class: "odoo.bad_call", reason: "the model does not take such a call; see its module's version"}},
	{"BadRequest", nil, verdict{act: reject, class: "odoo.bad_request", reason: "Odoo cannot read the request"}},
	{"http.502 http.503 http.504", nil, verdict{act: suspect, class: "odoo.unavailable", reason: "the proxy before Odoo has no server to hand the call to; see that Odoo's workers run"}},
	{"net.timeout", nil, verdict{act: suspect, class: "odoo.timeout", reason: "Odoo did not answer in time, so the outcome is unknown; look for locked rows and slow modules"}},
	{"net.closed", nil, verdict{act: suspect, class: "odoo.no_answer", reason: "the connection closed before the answer, so the outcome is unknown; see limit_time_real and the memory limit of Odoo's workers"}},
	{"net.garbage net.too_large", nil, verdict{act: suspect, class: "odoo.garbage", reason: "the answer was not Odoo's; see what stands between us and Odoo"}},
	{"http.500", nil, verdict{act: suspect, class: "odoo.server_error", reason: "Odoo failed before it executed the call; see its log, db_maxconn and workers"}},
	{"http.400 http.403 http.413 http.415 http.429", nil, verdict{act: suspect, class: "odoo.refused_request", reason: "a proxy or firewall before Odoo refuses the request; allow POST to the API with bodies of 16 MB"}},
	{"net.url net.encode", nil, verdict{act: reject, class: "odoo.invalid", reason: "the operation holds a value that cannot be sent; correct the mapping"}},

	// Who we are, and whether there is a database.
	{"AccessDenied", nil, verdict{act: unwell, class: "odoo.access_denied", reason: "Odoo refuses user and key; make a new API key for the user, and see that the user is active"}},
	{"OperationalError", re(`database ".*" does not exist`), verdict{act: unwell, class: "odoo.no_database", reason: "the server has no database of that name; correct target.database"}},
	{"NoDatabase", nil, verdict{act: unwell, class: "odoo.no_database", reason: "the server has no database of that name; correct target.database"}},
	{"OperationalError PoolError", nil, verdict{act: unwell, class: "odoo.database_down", reason: "Odoo cannot reach its PostgreSQL; see that it runs"}},

	// Contention and connections: nothing was committed.
	{"row", re(`could not serialize access|deadlock detected|could not obtain lock`), verdict{act: again, class: "odoo.SerializationFailure", reason: "somebody else changes the same rows"}},
	{"row UniqueViolation IntegrityError " + warnings, re(`ir_model_data_module_name_uniq_index`), verdict{act: again, class: "odoo.conflict", reason: "another writer made the same external id at the same moment"}},
	{"SerializationFailure DeadlockDetected LockNotAvailable", nil, verdict{act: retry, whole: true, class: "odoo.SerializationFailure", reason: "somebody else changes the same rows, and Odoo's own attempts are used up"}},
	{"InterfaceError ClientDisconnected", nil, verdict{act: retry, class: "odoo.interrupted", reason: "the call was interrupted inside the server"}},
	{"row", re(`connection already closed|terminating connection|server closed the connection|Unknown database error|current transaction is aborted|statement timeout|out of (shared )?memory|No space left|read-only transaction|too many clients`), verdict{act: retry, class: "odoo.interrupted", reason: "PostgreSQL interrupted the call; see its log"}},

	// A required value is missing. The text speaks of deleted records as well, so
	// this stands before those.
	{warnings, re(`Missing required value|a mandatory field is not set|violates not-null constraint|Contacts require a name`), missingValue},

	// What the operation refers to is not there (yet).
	{"row", re(`No matching record found for (database id|external id)`), verdict{act: stale, class: "odoo.missing_reference", reason: "the record that it refers to does not exist yet, or not any more"}},
	{"row", re(`Unknown database identifier`), verdict{act: stale, class: "odoo.missing_record", reason: "the record does not exist any more"}},
	{warnings, re(`Record does not exist or has been deleted`), verdict{act: stale, class: "odoo.missing_record", reason: "a record that the operation touches was deleted"}},
	{"MissingError", nil, verdict{act: stale, class: "odoo.missing_record", reason: "a record that the operation touches was deleted"}},
	{warnings, re(`[Aa]nother model (requires the record being deleted|is using the record)|violates foreign key constraint`), verdict{act: stale, class: "odoo.missing_reference", reason: "the record that it refers to does not exist any more"}},
	{"ForeignKeyViolation", nil, verdict{act: stale, class: "odoo.missing_reference", reason: "the record that it refers to does not exist any more"}},

	// Rights.
	{"AccessError row", re(`unauthorized or invalid companies`), verdict{act: reject, class: "odoo.no_company", reason: "the user may not work in one of the companies; correct companies or the mapping's context, or let the user into the company"}},
	{"AccessError", nil, accessError},
	{"row", re(`^You are not allowed to|^You do not have enough rights|^Due to security restrictions|^Sorry, you are not allowed|doesn't have '\w+' access to`), accessError},

	// The mapping does not fit the database.
	{"UserError", re(`^Object \S+ doesn't exist`), verdict{act: reject, whole: true, class: "odoo.missing_model", reason: "the database has no such model; install the module or correct the mapping"}},
	{"ValueError", re(`^Invalid field`), verdict{act: reject, whole: true, class: "odoo.unknown_field", reason: "the model has no such field; install the module or correct the mapping"}},
	{"AttributeError", re(`^The method`), verdict{act: reject, whole: true, class: "odoo.missing_method", reason: "the model has no such method"}},
	{"row", re(`found record of different model`), verdict{act: reject, class: "odoo.other_model", reason: "the external id belongs to a record of another model; give the operation an id of its own"}},
	{"row", re(`ir_model_data_name_nospaces`), verdict{act: reject, class: "odoo.invalid_xid", reason: "the external id holds a space; correct the mapping"}},

	// The values do not fit the field.
	{"row", re(`does not seem to be|not found in selection field|^Invalid database id|^Unknown value .* for boolean field|No matching record found for name`), badValue},
	{"row", re(`out of range|invalid input syntax|value too long|invalid byte sequence|NUL \(0x00\)`), badValue},
	{"ValueError InvalidTextRepresentation NumericValueOutOfRange StringDataRightTruncation DatetimeFieldOverflow InvalidDatetimeFormat", nil, badValue},
	{"NotNullViolation", nil, missingValue},

	// The wizard that merges contacts.
	{warnings, re(`cannot merge a contact with one of his parent`), verdict{act: reject, class: "odoo.merge_refused", reason: "one of the two contacts belongs to the other, and Odoo does not merge those; take the parent away, then replay"}},
	{warnings, re(`All contacts must have the same email`), verdict{act: reject, class: "odoo.merge_refused", reason: "the two contacts have different e-mail addresses, and only an administrator may merge those; make them the same, then replay"}},
	{warnings, re(`cannot merge more than 3 contacts|cannot merge contacts linked to more than one user`), verdict{act: reject, class: "odoo.merge_refused", reason: "Odoo does not merge these contacts, whose users or number forbid it; merge them by hand"}},

	// What Odoo says in a message of its own comes from somebody.
	{"row " + warnings, re(`configure the sender's email address`), verdict{act: reject, class: "odoo.no_sender", reason: "Odoo sends a message about this change, and the integration user has no e-mail address to send it from; give it one, then replay"}},

	// A document that is closed.
	{"row " + warnings, re(`on a posted (move|journal)|posted (journal )?(entr(y|ies)|item)|in a posted|locked (journal )?entr`), verdict{act: reject, class: "odoo.posted", reason: "the document is posted and takes no such change; set it back to draft or correct it by a credit note, then replay"}},

	// Odoo's own rules, and those of its modules.
	{"row", re(`violates (check|unique|exclusion) constraint|duplicate key value`), verdict{act: reject, class: "odoo.constraint", reason: "a constraint of the table refuses the record; correct the record in Odoo or the mapping"}},
	{"UniqueViolation CheckViolation ExclusionViolation IntegrityError", nil, verdict{act: reject, class: "odoo.constraint", reason: "a constraint of the table refuses the record; correct the record in Odoo or the mapping"}},
	{"ValidationError", nil, verdict{act: reject, class: "odoo.ValidationError", reason: "a rule of Odoo or of one of its modules refuses the record; try it by hand in Odoo to see which"}},
	{"UserError RedirectWarning", nil, ruleOfOdoo},
	{"TypeError AttributeError NameError NotImplementedError", nil, verdict{act: reject, class: "odoo.bad_call", reason: "the model does not take such a call; see its module's version"}},
	{"ExpatError", nil, verdict{act: reject, class: "odoo.bad_request", reason: "Odoo cannot read the request"}},

	// PostgreSQL ends every message with a newline, rules of Odoo do not: what
	// is left of the rows' messages is a rule when it has none, and else a
	// database error that is not known here.
	{"row", re(`[^\n]\z`), ruleOfOdoo},
}

var (
	accessError  = verdict{act: reject, class: "odoo.AccessError", reason: "the integration user may not do this; give it the rights, then replay"}
	badValue     = verdict{act: reject, class: "odoo.bad_value", reason: "the value does not fit the field; correct the mapping"}
	missingValue = verdict{act: reject, class: "odoo.required", reason: "a required value is missing; correct the mapping or the message"}
	ruleOfOdoo   = verdict{act: reject, class: "odoo.UserError", reason: "a rule of Odoo or of one of its modules refuses the record; try it by hand in Odoo to see which"}
	hidden       = verdict{act: reject, hides: true, class: "odoo.bad_call", reason: "a module of Odoo fails on the record and hides why; try it by hand in Odoo to see"}
	unknown      = verdict{act: retry, class: "odoo.unknown", reason: "Odoo failed in a way that is not known here; see its log"}
)

// wrapped is how load reports an exception that it did not expect.
var wrapped = re(`(?s)^Unknown error during import: <class '([\w.]+)'>: (.*)`)

// judge looks a fault up in the table. Of columns, those of the call, it names
// the one at fault when the fault does.
func judge(f *fault, field string, columns []string) verdict {
	class, text := f.class, f.text
	unexpected := false
	if class == "row" {
		if m := wrapped.FindStringSubmatch(text); m != nil {
			class, text, unexpected = bareClass(m[1]), m[2], true
		}
	}
	if name := strings.Trim(text, "'"); class == "KeyError" && slices.ContainsFunc(columns, func(c string) bool { return names(c, name) }) {
		class, text = "ValueError", "Invalid field '"+name+"'" // as load of 17 has it
	}
	v := unknown
	for _, r := range rules {
		if (r.classes == "" || contains(r.classes, class)) && (r.text == nil || r.text.MatchString(text)) {
			v = r.verdict
			break
		}
	}
	if strings.HasPrefix(class, "http.") && v.class == unknown.class {
		v = verdict{act: suspect, class: "odoo.server_error", reason: "the server answered with an unexpected HTTP status"}
	}
	if unexpected && v.class == hidden.class {
		v = hidden
	}
	if v.class == "odoo.unknown_field" {
		if i := strings.IndexByte(text, '\''); i >= 0 {
			field, _, _ = strings.Cut(text[i+1:], "'")
		}
	}
	// The name is repeated only when we sent it: then it is ours.
	for _, c := range columns {
		if names(c, field) {
			v.field = field
		}
	}
	return v
}

// names says whether a column is of this field, or of one of the lines' that is called so.
func names(column, field string) bool {
	return field != "" && slices.Contains(strings.Split(column, "/"), field)
}

func contains(words, word string) bool {
	for rest := words; rest != ""; {
		var w string
		if w, rest, _ = strings.Cut(rest, " "); w == word {
			return true
		}
	}
	return false
}

// token makes a class that came from the wire safe to print: a name, or "unknown".
func token(class string) string {
	if len(class) > 60 || !dottedName(class) {
		return "unknown"
	}
	return class
}

// An unwellError says that the target as a whole does not take calls.
type unwellError struct {
	class, reason string
}

func (e *unwellError) Error() string { return fmt.Sprintf("%s: %s", e.class, e.reason) }
