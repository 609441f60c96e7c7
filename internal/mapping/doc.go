// Package mapping is the mapping language: YAML files that say what a message
// means to Odoo. A mapping is loaded and checked against both ends (the
// schema of the message format, the snapshot of the Odoo database), and then
// turns one decoded message into the operations of one unit.
//
// It is pure: at run time it does no I/O and reads no clock, so the same
// message gives the same bytes at a site, in CI and in a replay. Files are
// read through an [io/fs.FS] when a mapping is loaded, never later.
//
// Three rules carry the language (HL7 v2 chapter 2.5.3 for the first):
//
//   - what a message does not mention is not sent; what it sets to null is
//     cleared; a default fills new records only
//   - both types drive the conversion: the source dictionary's and the Odoo
//     field's; what does not fit is an error when the file loads
//   - what may leave the hospital is what egress.allow names: the labels of the
//     source dictionary flow through every path, table, template and
//     expression, and are checked when the file loads and again on the result
//
// # Cost
//
// Measured on two shared cores: the ADT of the examples (36 rules, 8
// expressions, 3 operations) takes 43 to 60 µs of processor time with the tree
// at hand, and 25 to 30 more to decode the 1.2 kB of HL7. A profile shows a third in
// CEL (evaluation, not cost: only expressions that loop count theirs), a fifth
// in the maps of symbolic references, a fifth in allocation and collection, and
// the rest in paths. Loading takes 20 ms, most of it CEL's environment.
package mapping
