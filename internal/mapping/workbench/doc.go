// Package workbench is what integration engineers do with mappings beside
// writing them: lint and test with results that machines and people read, see
// what each rule makes of one message, replay stored messages through two
// versions, document what leaves the hospital, begin a mapping from a message,
// compare snapshots of Odoo, make test inputs without patients of real
// messages, and find rules that no test watches.
//
// Everything here is for a person at a local tool: results hold values of the
// messages that they were made from, and are never to be logged. Nothing is
// sent anywhere. Functions that take long report their progress and stop when
// ctx is done.
package workbench
