package mapping

// A FunctionOutline is one function of expressions, for editors.
type FunctionOutline struct {
	Name   string
	Call   string // v('PATH')
	Gives  string
	Doc    string
	Member bool // it is called on a value: it.digits()
	Path   bool // its argument is a literal path
}

// Functions returns what expressions have beside the operators of CEL: the
// language's own functions, and those of CEL that mappings use.
func Functions() []FunctionOutline {
	return []FunctionOutline{
		{Name: "v", Call: "v('PATH')", Gives: "string", Doc: "The text of a path; '' when there is none.", Path: true},
		{Name: "values", Call: "values('PATH[*]')", Gives: "list(string)", Doc: "The texts of a list, without those that are absent.", Path: true},
		{Name: "valued", Call: "valued('PATH')", Gives: "bool", Doc: "Whether there is a value.", Path: true},
		{Name: "isnull", Call: "isnull('PATH')", Gives: "bool", Doc: "Whether it was sent empty on purpose.", Path: true},
		{Name: "num", Call: "num('PATH')", Gives: "decimal", Doc: "The number; 0 when there is none.", Path: true},
		{Name: "sum", Call: "sum('PATH[*]')", Gives: "decimal", Doc: "The sum of a list.", Path: true},
		{Name: "ts", Call: "ts('PATH')", Gives: "timestamp", Doc: "The moment.", Path: true},
		{Name: "nodes", Call: "nodes('PATH[*]')", Gives: "list(node)", Doc: "The items of a list, for filter, map, exists: n.v('2').", Path: true},
		{Name: "table", Call: "table('NAME', code)", Gives: "string", Doc: "What a code table makes of a code; an error when it has no such code."},
		{Name: "intable", Call: "intable('NAME', code)", Gives: "bool", Doc: "Whether a code table has the code."},
		{Name: "words", Call: "words([a, b])", Gives: "string", Doc: "The texts that are not blank, joined by spaces."},
		{Name: "dec", Call: "dec(text)", Gives: "decimal", Doc: "An exact number of a text or a whole number."},
		{Name: "total", Call: "total(list)", Gives: "decimal", Doc: "The sum of a list of decimals."},
		{Name: "size", Call: "size(list)", Gives: "int", Doc: "How many there are."},
		{Name: "string", Call: "string(x)", Gives: "string", Doc: "A value as text."},
		{Name: "digits", Call: "it.digits()", Gives: "string", Doc: "The digits of a text.", Member: true},
		{Name: "idOf", Call: "it.idOf('Patient')", Gives: "string", Doc: "The id in a FHIR reference to a resource of that type, whatever its server and version; '' of any other text.", Member: true},
		{Name: "title", Call: "it.title()", Gives: "string", Doc: "A text with the first letter of every word in upper case.", Member: true},
		{Name: "first", Call: "it.first(n)", Gives: "string", Doc: "The first n characters.", Member: true},
		{Name: "last", Call: "it.last(n)", Gives: "string", Doc: "The last n characters.", Member: true},
		{Name: "fixed2", Call: "d.fixed2()", Gives: "string", Doc: "A decimal with two places.", Member: true},
		{Name: "cents", Call: "d.cents()", Gives: "string", Doc: "A decimal in hundredths.", Member: true},
		{Name: "lowerAscii", Call: "it.lowerAscii()", Gives: "string", Doc: "A text in lower case.", Member: true},
		{Name: "upperAscii", Call: "it.upperAscii()", Gives: "string", Doc: "A text in upper case.", Member: true},
		{Name: "trim", Call: "it.trim()", Gives: "string", Doc: "A text without white space around it.", Member: true},
		{Name: "startsWith", Call: "it.startsWith(text)", Gives: "bool", Doc: "Whether it begins so.", Member: true},
		{Name: "endsWith", Call: "it.endsWith(text)", Gives: "bool", Doc: "Whether it ends so.", Member: true},
		{Name: "contains", Call: "it.contains(text)", Gives: "bool", Doc: "Whether the text is in it.", Member: true},
		{Name: "matches", Call: "it.matches(pattern)", Gives: "bool", Doc: "Whether an RE2 pattern fits a part of it.", Member: true},
		{Name: "replace", Call: "it.replace(old, new)", Gives: "string", Doc: "A text with every old made new.", Member: true},
		{Name: "substring", Call: "it.substring(from, to)", Gives: "string", Doc: "The characters from one place up to another, from 0.", Member: true},
		{Name: "split", Call: "it.split(separator)", Gives: "list(string)", Doc: "The parts of a text.", Member: true},
		{Name: "join", Call: "list.join(separator)", Gives: "string", Doc: "Texts in one.", Member: true},
		{Name: "exists", Call: "list.exists(x, condition)", Gives: "bool", Doc: "Whether the condition holds for one item.", Member: true},
		{Name: "all", Call: "list.all(x, condition)", Gives: "bool", Doc: "Whether the condition holds for all items.", Member: true},
		{Name: "filter", Call: "list.filter(x, condition)", Gives: "list", Doc: "The items for which the condition holds.", Member: true},
		{Name: "map", Call: "list.map(x, expression)", Gives: "list", Doc: "What the expression makes of the items.", Member: true},
	}
}
