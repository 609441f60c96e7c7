package grammar

// aRule is the right-hand side of a field.
var ruleObject = Object{
	Name: "rule", What: "a rule", Doc: "How a value is made.",
	Keys: []Key{
		may("from", "A path; a list, of which the first that has a value counts; or names and paths, for cel.", text(Path), list(text(Path)).atLeast(1), a("inputs")),
		may("map", "The code table that the value goes through.", text(TableName), a("map")),
		may("cel", "An expression on what from gives: `it`, or the inputs by name. It runs on a value only.", text(Expression)),
		may("as", "How the value is written, where the two types do not tell.", words("text: as it is", "date: a day", "datetime: a moment", "decimal: a number, exact", "int: a whole number", "bool: true or false", "n2: two implied decimals (X12 N2)"), a("as")),
		may("ref", "How the record is found that a relation points to: a field to search by, or keys.", text(Reference), a("ref")),
		may("op", "The record of an earlier operation.", text(Operation)),
		may("value", "A constant.", scalars...),
		may("text", "Text with {path} or {let} in it.", text(Template)),
		may("default", "What a new record gets when the source has no value; it never overwrites.", scalars[:3]...),
		may("required", "Without a value the rule fails.", boolean()).or("false"),
		may("on_error", "What follows when the rule fails; the file's on_error where it does not say.", words("skip: the field is left alone, with a warning", "reject: the sender gets a negative answer", "dead_letter: the message waits for a person")),
		may("on_null", "What an explicit null does.", words("clear: the field is cleared", "keep: the field is left alone")).or("clear"),
		may("when", "The rule runs only when this is true.", text(Expression)),
		may("only_on", "The field is written only on one of the two.", words("create: when the record is made", "update: when the record was there")),
		may("each", "The list whose items become lines or references.", text(ListPath), a("each")),
		may("fields", "The fields of a line.", a("fields")),
		may("key", "What tells one line from another: with it a repeated message changes nothing.", text(Template)),
		may("mode", "What becomes of lines and references that the message does not name.", words("merge: lines stay, those with a key of the message are changed", "replace: they go", "add: they stay")),
		may("phi", "Labels that the value gets in addition.", label, list(label)),
		may("declassify", "Labels that the value loses, with the reason.", a("declassify")),
		may("note", "A remark for people.", text(Plain)),
	},
}

// ruleObjects are rules and what stands in them.
var ruleObjects = []Object{
	ruleObject,
	ruleObject.without("let", "a let", "How a named value is made.", "op", "ref", "each", "fields", "key", "mode", "only_on", "on_null"),
	{
		Name: "fields", What: "fields", Doc: "Fields and how their values are made.",
		Free: &Free{Means: Field, Doc: "A field of the model: a path, a rule, or a list of line blocks.", Forms: []Form{text(Path), a("rule"), list(a("rule")).atLeast(1)}},
	},
	{
		Name: "inputs", What: "from", Doc: "Inputs of an expression, by the name that it knows them by.", Least: 1,
		Free: &Free{Means: Plain, Doc: "A name and the path that it stands for.", Pattern: nameExpr, Forms: []Form{text(Path)}},
	},
	{
		Name: "map", What: "map", Doc: "The code table that a value goes through.",
		Keys: []Key{
			must("table", "The table's name.", text(TableName)),
			may("on_miss", "What becomes of a code that the table does not have.", onMiss).or("error"),
			may("reverse", "From result to code; no two codes may have one result.", boolean()).or("false"),
		},
	},
	{
		Name: "as", What: "as", Doc: "The notation of a value.", Either: [][]string{{"date"}, {"datetime"}, {"bool"}},
		Keys: []Key{
			may("date", "Notation of a day: MM/DD/YYYY.", text(Layout)),
			may("datetime", "Notation of a moment: YYYY-MM-DD HH:MM.", text(Layout)),
			may("bool", "The codes for true and false.", a("bool_codes")),
		},
	},
	{
		Name: "bool_codes", What: "as: {bool: …}", Doc: "Codes that mean true or false.", Least: 1,
		Keys: []Key{
			may("true", "Codes that mean true.", text(Plain), list(text(Plain)).atLeast(1)),
			may("false", "Codes that mean false.", text(Plain), list(text(Plain)).atLeast(1)),
		},
	},
	{
		Name: "ref", What: "ref", Doc: "How a record is found.", Either: [][]string{{"by"}, {"xid"}},
		Keys: []Key{
			may("model", "The model that is searched, where the field does not tell.", text(Model)),
			may("xid", "External identifier of the record: module.name_{it}.", text(Template)),
			may("by", "Fields and the expressions that they must equal: code: it.", a("keys")),
			may("on_none", "What follows when there is no such record.", words("skip: the field is left alone", "retry: the unit waits until there is one", "dead_letter: the unit waits for a person", "defer: the rest is applied and the field is filled once there is one")).or("dead_letter"),
			may("on_many", "What follows when there are several; the first one is never taken.", words("dead_letter: the unit waits for a person", "skip: the field is left alone")).or("dead_letter"),
		},
	},
	{
		Name: "keys", What: "by", Doc: "Fields that find a record.", Least: 1,
		Free: &Free{Means: SearchField, Doc: "A field and the expression that it must equal; a constant is \"'US'\".", Forms: []Form{text(Search)}},
	},
	{
		Name: "each", What: "each", Doc: "A list with a name for its items.",
		Keys: []Key{
			must("path", "The list: a path with [*].", text(ListPath)),
			may("as", "What paths to the item begin with; the path's last name where it does not say.", text(Plain)),
		},
	},
	{
		Name: "declassify", What: "declassify", Doc: "Labels that a value loses.",
		Keys: []Key{
			must("drop", "The labels.", list(label).atLeast(1)),
			must("because", "The reason that an auditor reads.", text(Plain).atLeast(10)).like("because: a reason that an auditor reads"),
		},
	},
}
