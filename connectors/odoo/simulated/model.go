package simulated

import (
	"maps"
	"slices"
	"sort"
)

// A Model declares a model's fields, by name. The fields id, display_name,
// create_date and write_date need no declaration.
type Model struct {
	Label  string // "Contact"
	Fields map[string]Field
	// Rule, when set, is a constraint on a whole record: it returns a text when
	// the values are refused, as a ValidationError.
	Rule func(values map[string]any) string
	// workflow are the methods of the model's buttons.
	workflow map[string]func(t *tx, ids []int64, ctx map[string]any) (any, *exception)
	// guard, when set, refuses a write to a record for what it is by now.
	guard func(t *tx, id int64, values map[string]any) *exception
	// make, when set, may do something else than to create a record.
	make func(t *tx, values map[string]any) (id int64, done bool, e *exception)
	// derive, when set, computes stored fields from those that were given.
	derive func(t *tx, id int64, r *record, values map[string]any)

	defaults []defaultValue
	required []string
}

type defaultValue struct {
	name  string
	value any
}

// prepare lists what every new record needs.
func (m *Model) prepare() {
	m.defaults, m.required = nil, nil
	for name, f := range m.Fields {
		if f.Default != nil {
			m.defaults = append(m.defaults, defaultValue{name, f.Default})
		}
		if f.Required && f.Type != "boolean" {
			m.required = append(m.required, name)
		}
	}
	sort.Strings(m.required)
}

// A Field declares one field. Types: char, text, html, boolean, integer, float,
// monetary, date, datetime, selection, json, many2one, many2many, one2many.
type Field struct {
	Type      string
	Label     string
	Relation  string      // the other model, of many2one, many2many and one2many
	Inverse   string      // of one2many: the field of the other model that points back
	Required  bool        // the column is NOT NULL
	Selection [][2]string // value and label
	Default   any         // string, bool, int64, float64
	Depends   []string    // of a computed field
	Related   string      // "partner_id.name": the value is that of another record, and cannot be written here
	Digits    int         // of a float: decimals that are kept; 0: all
}

// A Seed is a record that is there from the start.
type Seed struct {
	Model  string
	ID     int64 // 0: the next
	XID    string
	Values map[string]any
}

func char(label string) Field { return Field{Type: "char", Label: label} }
func many2one(label, model string) Field {
	return Field{Type: "many2one", Label: label, Relation: model}
}

// stockModels are the parts of a stock Odoo 18 that the shipped mappings use.
func stockModels() map[string]*Model {
	active := Field{Type: "boolean", Label: "Active", Default: true}
	return map[string]*Model{
		"res.partner": {Label: "Contact", Fields: map[string]Field{
			"name": char("Name"), "ref": char("Reference"), "street": char("Street"), "street2": char("Street2"),
			"city": char("City"), "zip": char("Zip"), "phone": char("Phone"), "mobile": char("Mobile"),
			"email": char("Email"), "website": char("Website Link"), "vat": char("Tax ID"), "function": char("Job Position"),
			"tz": char("Timezone"), "barcode": char("Barcode"),
			"lang":             {Type: "selection", Label: "Language", Selection: [][2]string{{"en_US", "English (US)"}}, Default: "en_US"},
			"comment":          {Type: "html", Label: "Notes"},
			"active":           active,
			"is_company":       {Type: "boolean", Label: "Is a Company"},
			"employee":         {Type: "boolean", Label: "Employee"},
			"color":            {Type: "integer", Label: "Color Index"},
			"partner_latitude": {Type: "float", Label: "Geo Latitude"},
			"company_type":     {Type: "selection", Label: "Company Type", Selection: [][2]string{{"person", "Individual"}, {"company", "Company"}}},
			"type": {Type: "selection", Label: "Address Type", Default: "contact",
				Selection: [][2]string{{"contact", "Contact"}, {"invoice", "Invoice Address"}, {"delivery", "Delivery Address"}, {"other", "Other Address"}}},
			"country_id": many2one("Country", "res.country"), "state_id": many2one("State", "res.country.state"),
			"parent_id": many2one("Related Company", "res.partner"), "user_id": many2one("Salesperson", "res.users"),
			"category_id":   {Type: "many2many", Label: "Tags", Relation: "res.partner.category"},
			"company_id":    many2one("Company", "res.company"),
			"child_ids":     {Type: "one2many", Label: "Contact", Relation: "res.partner", Inverse: "parent_id"},
			"customer_rank": {Type: "integer", Label: "Customer Rank"}, "supplier_rank": {Type: "integer", Label: "Supplier Rank"},
		}},
		"res.partner.category": {Label: "Partner Tags", Fields: map[string]Field{
			"name": {Type: "char", Label: "Name", Required: true}, "active": active,
			"color": {Type: "integer", Label: "Color"}, "parent_id": many2one("Category", "res.partner.category"),
		}},
		"res.country": {Label: "Country", Fields: map[string]Field{
			"name": {Type: "char", Label: "Country Name", Required: true}, "code": {Type: "char", Label: "Country Code", Required: true},
		}},
		"res.country.state": {Label: "Country state", Fields: map[string]Field{
			"name": {Type: "char", Label: "State Name", Required: true}, "code": {Type: "char", Label: "State Code", Required: true},
			"country_id": {Type: "many2one", Label: "Country", Relation: "res.country", Required: true},
		}},
	}
}

// automatic fields are those of every model.
var automatic = map[string]Field{
	"id":           {Type: "integer", Label: "ID"},
	"display_name": {Type: "char", Label: "Display Name"},
	"create_date":  {Type: "datetime", Label: "Created on"},
	"write_date":   {Type: "datetime", Label: "Last Updated on"},
	"write_uid":    {Type: "many2one", Label: "Last Updated by", Relation: "res.users"},
}

func (m *Model) field(name string) (Field, bool) {
	if f, ok := m.Fields[name]; ok {
		return f, true
	}
	f, ok := automatic[name]
	return f, ok
}

// extend adds declared models, and fields to those that exist.
func extend(models map[string]*Model, more map[string]Model) {
	for name, m := range more {
		old, ok := models[name]
		if !ok {
			m.Fields = maps.Clone(m.Fields)
			if m.Fields == nil {
				m.Fields = map[string]Field{}
			}
			models[name] = &m
			continue
		}
		maps.Copy(old.Fields, m.Fields)
		if m.Rule != nil {
			old.Rule = m.Rule
		}
	}
	// What a field refers to exists, with a name at least.
	for _, m := range slices.Collect(maps.Values(models)) {
		for _, f := range m.Fields {
			if f.Relation != "" && models[f.Relation] == nil {
				models[f.Relation] = &Model{Label: f.Relation, Fields: map[string]Field{"name": char("Name")}}
			}
		}
	}
	for _, m := range models {
		m.prepare()
	}
}

var countries = [][2]string{{"US", "United States"}, {"CA", "Canada"}, {"MX", "Mexico"}, {"GB", "United Kingdom"}, {"DE", "Germany"},
	{"FR", "France"}, {"ES", "Spain"}, {"IT", "Italy"}, {"NL", "Netherlands"}, {"BE", "Belgium"}, {"CH", "Switzerland"}, {"AT", "Austria"},
	{"IE", "Ireland"}, {"PT", "Portugal"}, {"AU", "Australia"}, {"NZ", "New Zealand"}, {"IN", "India"}, {"CN", "China"}, {"JP", "Japan"},
	{"BR", "Brazil"}, {"PR", "Puerto Rico"}, {"PH", "Philippines"}, {"VN", "Vietnam"}, {"ZA", "South Africa"}}

// states of the United States, and two elsewhere whose codes are also American:
// a look-up by code alone is ambiguous, as in a real database.
var states = [][3]string{
	{"AL", "Alabama", "US"}, {"AK", "Alaska", "US"}, {"AZ", "Arizona", "US"}, {"AR", "Arkansas", "US"}, {"CA", "California", "US"},
	{"CO", "Colorado", "US"}, {"CT", "Connecticut", "US"}, {"DE", "Delaware", "US"}, {"DC", "District of Columbia", "US"}, {"FL", "Florida", "US"},
	{"GA", "Georgia", "US"}, {"HI", "Hawaii", "US"}, {"ID", "Idaho", "US"}, {"IL", "Illinois", "US"}, {"IN", "Indiana", "US"}, {"IA", "Iowa", "US"},
	{"KS", "Kansas", "US"}, {"KY", "Kentucky", "US"}, {"LA", "Louisiana", "US"}, {"ME", "Maine", "US"}, {"MD", "Maryland", "US"},
	{"MA", "Massachusetts", "US"}, {"MI", "Michigan", "US"}, {"MN", "Minnesota", "US"}, {"MS", "Mississippi", "US"}, {"MO", "Missouri", "US"},
	{"MT", "Montana", "US"}, {"NE", "Nebraska", "US"}, {"NV", "Nevada", "US"}, {"NH", "New Hampshire", "US"}, {"NJ", "New Jersey", "US"},
	{"NM", "New Mexico", "US"}, {"NY", "New York", "US"}, {"NC", "North Carolina", "US"}, {"ND", "North Dakota", "US"}, {"OH", "Ohio", "US"},
	{"OK", "Oklahoma", "US"}, {"OR", "Oregon", "US"}, {"PA", "Pennsylvania", "US"}, {"RI", "Rhode Island", "US"}, {"SC", "South Carolina", "US"},
	{"SD", "South Dakota", "US"}, {"TN", "Tennessee", "US"}, {"TX", "Texas", "US"}, {"UT", "Utah", "US"}, {"VT", "Vermont", "US"},
	{"VA", "Virginia", "US"}, {"WA", "Washington", "US"}, {"WV", "West Virginia", "US"}, {"WI", "Wisconsin", "US"}, {"WY", "Wyoming", "US"},
	{"PR", "Puerto Rico", "US"}, {"CA", "Cagliari", "IT"}, {"MI", "Milano", "IT"},
}
