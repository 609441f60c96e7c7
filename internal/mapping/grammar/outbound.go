package grammar

// outboundObjects are the documents that are written for partners.
var outboundObjects = []Object{
	{
		Name: "emit", What: "emit", Doc: "The document that is written.",
		Keys: []Key{
			must("format", "Its format.", text(FormatName)),
			may("set", "Its transaction set or message structure: \"850\".", text(Plain)),
			may("version", "Version of its standard: \"004010\".", text(Plain)),
			may("control", "Where control numbers and the envelope come from.", words("partner: the profile of the trading partner")),
		},
	},
	{
		Name: "segment", What: "a block of segments", Doc: "A segment and its elements, or a loop of segments.",
		Keys: []Key{
			may("when", "The segment is written only when this is true.", text(Expression)),
			may("each", "The list for whose items the block is repeated.", text(ListPath), a("each")),
			may("loop", "The loop's name in the standard.", text(Plain)),
			may("segments", "The loop's segments; in FHIR also what stands within the element beside it.", list(a("segment")).atLeast(1)),
		},
		Free: &Free{Means: Segment, Doc: "A segment: its elements and how their values are made.", Pattern: segmentExpr, Forms: []Form{a("elements")}},
	},
	{
		Name: "elements", What: "a segment", Doc: "Elements and how their values are made.", Least: 1,
		Free: &Free{Means: Element, Doc: "An element, by its number or name: a path or a rule.", Pattern: elementExpr, Forms: []Form{text(Path), a("element")}},
	},
	ruleObject.without("element", "an element's rule", "How an element's value is made.", "op", "ref", "each", "fields", "key", "mode", "only_on", "on_null"),
}
