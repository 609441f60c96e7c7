package mapping

import (
	"fmt"
	"sync/atomic"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Mapping turns messages of one format into units. It is made by [Load],
// never modified and safe for concurrent use.
type Mapping struct {
	ID           string
	Version      int
	Title        string
	Owner        string
	Format       string           // name of the tree.Format of its messages
	Source       tree.Declaration // what the mapping says of them
	Dialect      tree.Dialect     // decodes them
	Unit         string           // "atomic": all operations in one transaction of the target, or "resumable"
	OnDeadLetter string           // "hold" or "continue", as broker.Unit.OnDeadLetter
	Hash         string           // SHA-256, hex, over the file and all that it refers to
	Warnings     Issues           // what Load found and let pass
	Bases        []string         // files that it extends, the nearest first

	file     string
	when     []condition
	reads    tree.Selection
	zone     *time.Location
	ordering []*template
	idem     []*template
	onError  broker.Verdict
	allow    tree.Labels
	tables   map[string]*table
	lets     []*let
	guards   []*guard
	ops      []*operation
	record   *Record   // outbound: what it wants of Odoo
	document *document // outbound: what it writes
}

// String returns "id@version#" and the first 12 characters of the hash: the
// Mapping of a unit.
func (m *Mapping) String() string { return fmt.Sprintf("%s@%d#%.12s", m.ID, m.Version, m.Hash) }

// Reads returns all that the mapping can read of a message: a tree that was
// decoded with it, or with more, gives the same result as a whole one. It is
// not to be changed.
func (m *Mapping) Reads() tree.Selection { return m.reads }

// A condition of source.when: a path has one of these values or, without
// values, is there or not.
type condition struct {
	text    string
	path    *boundPath
	values  []string
	present bool
}

// A let is a named value of the message.
type let struct {
	rule   *rule
	name   string
	used   bool // by something else
	typ    *cel.Type
	kind   tree.Kind
	labels tree.Labels
	asks   tree.Labels // of what decides whether it has a value
}

// A guard ends the message's way when its expression is true.
type guard struct {
	when    *program
	verdict broker.Verdict
	because string
}

// An operation makes one broker.Operation, or one for each item of a list.
type operation struct {
	id       string
	model    string
	do       string
	at       place
	each     *boundPath // nil: once
	when     *program
	xid      *template
	by       []searchKey
	byFields []string // match by what the fields' own rules give
	rules    []*rule
	on       *operation
	onNone   string
	method   string
	args     []*rule
	onlyIf   broker.Values
	since    *rule // only_if: unchanged_since
	context  []contextValue
	because  string                 // why a call may be repeated
	labels   tree.Labels            // of match and context
	asks     tree.Labels            // of what decides whether it is made
	allowed  map[string]permit      // what each field may carry, for the second egress check
	argument map[string]tree.Labels // and each argument
}

// A contextValue is one entry of an operation's Odoo context.
type contextValue struct {
	key   string
	value any       // when text is nil
	text  *template // of the message
}

// A permit is what a field may carry.
type permit struct {
	labels tree.Labels
	lines  map[string]permit // of a one2many field: the fields of its lines
}

// A rule makes the value of one field, argument or let.
type rule struct {
	owner    string // the operation's id, that of the lines, or "let"
	model    string // of a field
	field    string
	at       place
	conv     converter
	inputs   []input
	named    bool // from is a map: inputs are the expression's variables
	constant *constant
	text     *template
	op       *operation
	table    *table
	onMiss   string
	cel      *program
	ref      *reference
	share    bool     // the reference is the only account of a distribution
	blocks   []*block // of a relation to many: where its references or lines come from
	lines    bool     // the blocks make lines
	mode     string   // of blocks: "$add", "$merge" or "$replace"
	fallback *constant
	required bool
	keepNull bool   // on_null: keep
	onError  string // "": the mapping's
	when     *program
	onCreate bool        // only_on: create
	onUpdate bool        // only_on: update
	element  *outElement // of a document
	labels   tree.Labels
	asks     tree.Labels // of what decides whether it is written
	drop     tree.Labels // declassified
	because  string      // of drop
	gain     tree.Labels // phi
}

// A block makes references or lines: one, or one for each item of a list.
type block struct {
	owner   string // of its lines' rules
	each    *boundPath
	onError string

	item *rule // many2many: makes the reference

	when  *program // one2many: the item has a line
	key   *template
	rules []*rule
}

// A constant is a value or a default of the file.
type constant struct {
	null  bool
	value any // string, bool, json.Number
}

// An input is one place that a rule reads.
type input struct {
	name string // of a named input
	path *boundPath
	let  int // when path is nil
	text string
	at   place
}

// A reference is `ref`: the record that these keys find, or that has this
// external identifier.
type reference struct {
	model  string
	by     []searchKey
	xid    *template
	whole  bool // the identifier is one value, and not put together
	onNone string
	onMany string
	last   atomic.Pointer[sought]
}

// A searchKey is one field of a search and what it must be.
type searchKey struct {
	field string
	conv  *converter // nil: the field is text
	input int        // of the rule, when cel and text are nil; itIndex is `it`
	cel   *program
	text  *template
}
