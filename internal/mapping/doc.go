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
package mapping
