package grammar

// sourceObjects say what a mapping reads and where it writes.
var sourceObjects = []Object{
	{
		Name: "source", What: "source", Doc: "The messages that a mapping takes.",
		Keys: []Key{
			must("format", "The family of messages.", text(FormatName)),
			may("version", "Version of the standard, as text: 2.5.1, 005010X221A1, 4.0.1.", text(Plain)),
			may("zone", "Time zone of times that name none.", text(TimeZone)),
			may("when", "The messages that are meant: each path has one of these values, or is there.", a("conditions")).like("when: {PATH: value or [values]}"),
			may("delimiter", "Character between columns.", text(Plain)), // a tab, too, which is blank
			may("charset", "How a table writes characters: windows-1252; UTF-8 when nothing is said.", text(Plain).atLeast(1)),
			may("columns", "The columns of a table, all of them, in order.", a("columns")),
			may("attributes", "The attributes of an entry or object that the mapping may read.", a("columns")),
			may("segments", "Segments that the standard does not have: Z segments and their fields.", a("z_segments")),
			may("model", "Outbound: the Odoo model whose records are written out.", text(Model)),
			may("trigger", "Outbound: the change of a record that writes it out.", a("trigger")),
		},
	},
	{
		Name: "conditions", What: "when", Doc: "Paths and the values that they must have.",
		Free: &Free{Means: Condition, Doc: "A path and the value, or values, that it must have, or whether it must be there.", Forms: []Form{text(Plain).atLeast(1), list(text(Plain).atLeast(1)).atLeast(1), a("presence")}},
	},
	{
		Name: "presence", What: "a condition", Doc: "Whether a path must be there.",
		Keys: []Key{must("present", "true: the message has such a place, anywhere under [*], with a value if it is one that has values; false: it has none.", boolean())},
	},
	{
		Name: "columns", What: "columns", Doc: "Declared places of a message; no other can be read.", Least: 1,
		Free: &Free{Means: Plain, Doc: "A column or attribute and what it holds.", Forms: []Form{a("column")}},
	},
	{
		Name: "column", What: "a column", Doc: "A declared place of a message.",
		Keys: []Key{
			must("type", "What it holds.", words("text: as it is", "code: a value of a code table", "decimal: a number, exact", "date: a day", "datetime: a moment", "time: a time of the day", "bool: true or false", "object: parts, by name")),
			may("phi", "What it may reveal; every leaf says so, or the object that it is a part of.", label, list(label)),
			may("format", "Notation of a date or time: MM/DD/YYYY.", text(Layout)),
			may("title", "Its name for people.", text(Plain)),
			may("table", "Code table of a standard.", text(Plain)),
			may("repeats", "It may stand more than once.", boolean()).or("false"),
			may("start", "Fixed width: its first character, from 1.", number(1)),
			may("width", "Fixed width: its characters.", number(1)),
			may("parts", "Object: its parts.", a("columns")),
		},
	},
	{
		Name: "z_segments", What: "segments", Doc: "Segments that the standard does not have.",
		Free: &Free{Means: Plain, Doc: "A segment: its fields, from 1.", Pattern: zSegmentExpr, Forms: []Form{list(a("z_field")).atLeast(1)}},
	},
	{
		Name: "z_field", What: "a field", Doc: "A field of a Z segment.",
		Keys: []Key{
			must("type", "Data type of the standard: ST, CX, DTM.", text(Plain)),
			must("phi", "What it may reveal.", label, list(label)),
			may("title", "Its name for people.", text(Plain)),
			may("table", "Code table of the standard.", text(Plain)),
			may("repeats", "It may stand more than once.", boolean()).or("false"),
		},
	},
	{
		Name: "trigger", What: "trigger", Doc: "The change of a record that writes it out.",
		Keys: []Key{
			must("on", "What happens to the record.", words("create: it is made", "write: it is changed")),
			may("becomes", "Fields that get these values by the change.", a("becomes")),
		},
	},
	{Name: "becomes", What: "becomes", Doc: "Fields and the values that they get.", Least: 1, Free: &Free{Means: Field, Doc: "A field and its value.", Forms: scalars}},
	{
		Name: "target", What: "target", Doc: "The Odoo that is written to, or read from.",
		Keys: []Key{
			must("odoo", "Its version, as text: \"18.0\".", text(Plain)),
			must("snapshot", "File of its models and fields.", text(SnapshotFile)).like("snapshot: FILE"),
		},
	},
}
