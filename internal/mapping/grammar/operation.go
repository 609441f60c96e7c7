package grammar

// operationObjects are what is written to Odoo.
var operationObjects = []Object{
	{
		Name: "operation", What: "an operation", Doc: "One write to Odoo, or one for each item of a list.",
		Keys: []Key{
			must("id", "The operation's name in this file.", named(nameExpr)),
			may("model", "The Odoo model that is written.", text(Model)),
			must("do", "What is done.", words("upsert: find the record and write it, or create it", "create: create it once; a replay finds it and writes nothing",
				"update: write a record that must exist; on_none says what follows when it does not", "archive: set active to false; nothing is ever deleted",
				"merge: the record that match finds disappears into that of on:", "call: call a method on the record of an earlier operation")),
			may("match", "What the record is known by: without it a replay would make it again.", a("match")).like("match:"),
			may("each", "The list for whose items the operation is repeated.", text(ListPath), a("each")),
			may("when", "The operation runs only when this is true.", text(Expression)),
			may("include", "Fragments whose fields the operation has too.", list(a("include")).atLeast(1)),
			may("fields", "The fields and how their values are made.", a("fields")),
			may("on", "The earlier operation whose record stays (merge) or is called (call).", text(Operation)),
			may("on_none", "What follows when the record that must exist does not.", words("skip: nothing is done", "retry: the unit waits until there is one", "dead_letter: the unit waits for a person")).or("dead_letter"),
			may("method", "call: the method's name.", named(methodExpr)),
			may("args", "call: the method's arguments by name.", a("args")),
			may("only_if", "The record is written, or called, only while its fields have these values.", a("only_if")),
			may("context", "Odoo context of the call.", a("context")),
			may("because", "call: why a second call changes nothing, where no only_if sees to it.", text(Plain)),
			may("note", "A remark for people.", text(Plain)),
		},
	},
	{
		Name: "match", What: "match", Doc: "What a record is known by.", Either: [][]string{{"xid"}, {"by"}},
		Keys: []Key{
			may("xid", "Its external identifier: module.name_{path}.", text(Template)),
			may("by", "Fields and the templates that they must equal, or fields that this operation fills.", a("match_by"), list(text(Field)).atLeast(1)),
		},
	},
	{
		Name: "match_by", What: "by", Doc: "Fields that find a record.", Least: 1,
		Free: &Free{Means: SearchField, Doc: "A field and the template that it must equal.", Forms: []Form{text(Template)}},
	},
	{
		Name: "include", What: "include", Doc: "A fragment and its parameters.",
		Keys: []Key{
			must("fragment", "The fragment's file.", text(FragmentFile)),
			may("with", "What its parameters are.", a("with")),
		},
	},
	{Name: "with", What: "with", Doc: "Parameters of a fragment.", Free: &Free{Means: Parameter, Doc: "A parameter and what it is: a path, a text or a table.", Forms: []Form{text(Path)}}},
	{Name: "args", What: "args", Doc: "Arguments of a method.", Free: &Free{Means: Plain, Doc: "An argument: a path or a rule.", Forms: []Form{text(Path), a("rule")}}},
	{
		Name: "only_if", What: "only_if", Doc: "Fields and the values that they must have now.", Least: 1,
		Keys: []Key{may("unchanged_since", "A time in the message: the record is refused when somebody else has changed it in Odoo since, and would lose that. Without it the last writer wins, with a warning.", text(Path), a("rule"))},
		Free: &Free{Means: Field, Doc: "A field and the value that it must have.", Forms: scalars},
	},
	{Name: "context", What: "context", Doc: "Odoo context of a call.", Free: &Free{Means: Plain, Doc: "A key of the context and its value.", Forms: scalars}},
}
