package grammar

// testObjects are the files that test mappings.
var testObjects = []Object{
	{
		Name: "tests", What: "a test file", Doc: "Messages and what a mapping makes of them.",
		Keys: []Key{
			must("kind", "The kind of this file.", words("tests: cases of a mapping")),
			may("format", "The version of this file format: 1.", formatOne),
			must("mapping", "The mapping that is tested.", text(MappingFile)).like("mapping: FILE"),
			must("cases", "The cases.", list(a("case")).atLeast(1)),
		},
	},
	{
		Name: "case", What: "a case", Doc: "One message and what is to become of it.", Either: [][]string{{"file"}, {"input"}},
		Keys: []Key{
			must("name", "The sentence that the case proves.", text(Plain).atLeast(1)),
			may("file", "File of the message.", text(DataFile)),
			may("input", "The message itself.", text(Plain)),
			may("row", "Which message of a file that holds many, from 1.", number(1)),
			must("expect", "What is to become of it.", a("expect")),
		},
	},
	{
		Name: "expect", What: "expect", Doc: "What is to become of a message.", Least: 1,
		Keys: []Key{
			may("verdict", "What becomes of the message.", words("apply: a unit is made", "skip: nothing is to be done", "reject: the sender gets a negative answer", "dead_letter: it waits for a person", "not_mine: source.when does not let it in")).or("apply"),
			may("reason", "A part of the reason.", text(Plain)),
			may("golden", "File of the whole unit; vagus mapping test --update writes it.", text(DataFile)),
			may("ops", "All operations of the unit.", Form{Kind: List}),
			may("check", "Some values of the unit.", a("check")),
			may("not_sent", "Fields that must not be in the unit.", list(text(TestedField))),
			may("warnings", "A part of each warning; one that is not named fails the case.", list(text(Plain))),
			may("document", "The segments that an outbound mapping writes.", list(text(Plain)).atLeast(1)),
		},
	},
	{
		Name: "check", What: "check", Doc: "Values of a unit.", Least: 1,
		Free: &Free{Means: TestedField, Doc: "A field of an operation and its value: patient.name, kin#1.name.", Pattern: testedFieldExpr},
	},
}
