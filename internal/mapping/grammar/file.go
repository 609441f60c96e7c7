package grammar

// fileObjects are whole files and what stands at their top.
var fileObjects = []Object{
	{
		Name: "mapping", What: "a mapping", Doc: "What messages of one kind mean to Odoo, or a record of Odoo to a partner.",
		Keys: []Key{
			must("kind", "The kind of this file.", words("mapping: what a message means")),
			must("format", "The version of this file format: 1.", formatOne),
			must("id", "Name of the mapping; a part of the identity of every unit that it makes.", named(idExpr)),
			must("version", "Version of the behaviour, stamped on every unit; it rises when what comes out changes.", number(1)),
			may("title", "What the mapping does, in one line.", text(Plain)),
			may("owner", "Who answers for the mapping.", text(Plain)),
			may("description", "What a reader should know.", text(Plain)),
			may("direction", "Which way the mapping goes.", words("inbound: messages become operations of Odoo", "outbound: a record of Odoo becomes a document")).or("inbound"),
			may("extends", "The mapping that this one changes: set, add and remove say how.", text(MappingFile)),
			must("source", "The messages that the mapping takes.", a("source")).like(`source: {format: hl7v2, version: "2.5.1"}`),
			must("target", "The Odoo that it writes to.", a("target")).like(`target: {odoo: "18.0", snapshot: FILE}`),
			may("ordering", "Units of one key are applied in the order in which their messages arrived. Of several keys a unit is applied when it is first in all, and holds them until then.",
				text(Template), list(text(Template)).atLeast(1)),
			must("idempotency", "What tells one message from another: the same values again are the same message.", list(text(Template)).atLeast(1)).
				like(`idempotency: ["{MSH-4.1}", "{MSH-10}"]`),
			may("unit", "How a unit's operations are applied.", words("atomic: in one transaction, which needs the broker's addon in Odoo", "resumable: one after the other, each idempotent; after a fault it goes on where it stopped")).or("resumable"),
			may("on_error", "What becomes of a message that a rule can not take.", words("dead_letter: it waits for a person", "reject: the sender gets a negative answer")).or("dead_letter"),
			may("on_dead_letter", "What becomes of later units of the same ordering key.", words("hold: they wait", "continue: they are applied")).or("hold"),
			must("egress", "What may leave the hospital; everything else stays.", a("egress")).like("egress: {allow: [labels]}"),
			may("tables", "Code tables.", a("tables")),
			may("let", "Named values of the message, for paths, templates and expressions.", a("lets")),
			may("guards", "Conditions that end a message's way.", list(a("guard"))),
			may("operations", "What is written to Odoo, in order.", list(a("operation")).atLeast(1)),
			may("emit", "The document that an outbound mapping writes.", a("emit")),
			may("segments", "The document's segments, in order.", list(a("segment")).atLeast(1)),
		},
		Either: [][]string{{"operations"}, {"emit", "segments"}}, With: "extends", Is: "overlay",
	},
	{
		Name: "overlay", What: "an overlay", Doc: "What a site changes of another mapping.",
		Keys: []Key{
			must("kind", "The kind of this file.", words("mapping: what a message means")),
			must("format", "The version of this file format: 1.", formatOne),
			must("id", "Name of the changed mapping: another one than that of the mapping that it changes.", named(idExpr)),
			must("version", "Version of the behaviour; it rises when what comes out changes.", number(1)),
			may("title", "What the mapping does, in one line.", text(Plain)),
			may("owner", "Who answers for the mapping.", text(Plain)),
			may("description", "What a reader should know.", text(Plain)),
			must("extends", "The mapping that is changed.", text(MappingFile)),
			may("set", "What takes the place of a rule, an operation or a setting, by its id.", a("changes")),
			may("add", "What is added, by the id that it gets; items of a list are added to it.", a("changes")),
			may("remove", "Rules, operations and settings that there are no more.", list(text(RuleID)).atLeast(1)),
		},
	},
	{
		Name: "changes", What: "a change", Doc: "What an overlay changes.", Least: 1,
		Free: &Free{Means: RuleID, Doc: "A rule (patient.phone), an operation (kin) or a setting (source.zone) and what it is here."},
	},
	{
		Name: "fragment", What: "a fragment", Doc: "Fields that operations include, with parameters.",
		Keys: []Key{
			must("kind", "The kind of this file.", words("fragment: fields for many operations")),
			may("format", "The version of this file format: 1.", formatOne),
			may("id", "Name of the fragment.", named(idExpr)),
			may("title", "What the fragment does, in one line.", text(Plain)),
			may("description", "What a reader should know.", text(Plain)),
			may("params", "What with: gives; ${name} stands for it.", a("params")),
			may("include", "Fragments whose fields this one has too.", list(a("include")).atLeast(1)),
			must("fields", "The fields that the fragment fills; those of the operation itself win.", a("fields")).like("fields: {field: rule}"),
		},
	},
	{Name: "params", What: "params", Doc: "Parameters by name.", Free: &Free{Means: Plain, Pattern: nameExpr, Doc: "A parameter.", Forms: []Form{a("parameter")}}},
	{
		Name: "parameter", What: "a parameter", Doc: "What whoever includes the fragment gives it.",
		Keys: []Key{
			may("kind", "What it is.", words("path: a path of the message, or a let", "text: text without quotes and braces", "table: the name of a code table")).or("path"),
			may("type", "Data type that the path must lead to: XAD.", text(Plain)),
			may("default", "What it is when with: does not say.", text(Plain)),
			may("note", "What to give, for people.", text(Plain)),
		},
	},
	{
		Name: "table_file", What: "a table file", Doc: "A code table with its origin; a CSV file of code, result, note does the same for a spreadsheet.",
		Keys: []Key{
			must("kind", "The kind of this file.", words("table: codes and what they become")),
			may("format", "The version of this file format: 1.", formatOne),
			may("title", "What the codes are.", text(Plain)),
			may("description", "What a reader should know.", text(Plain)),
			must("rows", "Codes and what they become.", a("rows")).like("rows: {code: result}"),
		},
	},
	{Name: "rows", What: "rows", Doc: "Codes and what they become.", Free: rowKeys},
	{
		Name: "tables", What: "tables", Doc: "Code tables by name.",
		Free: &Free{Means: Plain, Doc: "A code table: a file, or codes and what they become.", Forms: []Form{{Kind: Text, Means: TableFile, Pattern: tableFileExpr}, a("inline_table")}},
	},
	{
		Name: "inline_table", What: "a table", Doc: "Codes and what they become.", Free: rowKeys,
		Keys: []Key{may("on_miss", "What becomes of a code that no row names, where map: does not say.", onMiss).or("error")},
	},
	{
		Name: "egress", What: "egress", Doc: "What may leave the hospital.",
		Keys: []Key{must("allow", "Labels of the data that may leave; [] is nothing but what reveals nothing.", list(label)).like("allow: [labels]")},
	},
	{
		Name: "lets", What: "let", Doc: "Named values of the message.",
		Free: &Free{Means: Plain, Doc: "A named value: a path, or a rule.", Pattern: nameExpr, Forms: []Form{text(Path), a("let")}},
	},
	{
		Name: "guard", What: "a guard", Doc: "A condition that ends a message's way.",
		Keys: []Key{
			must("when", "True of a message that goes no further.", text(Expression)),
			must("do", "What becomes of it.", words("reject: the sender gets a negative answer", "dead_letter: it waits for a person", "skip: nothing is to be done")),
			must("because", "The reason that people read.", text(Plain).atLeast(1)),
		},
	},
}
