// Package broker is the domain of Vagus: what a message is, what it means to
// accept one, what a unit asks of a target and what became of it. It imports
// the standard library only, so that every other package can speak its words.
//
// The way of one message:
//
//	Source ─Accept─▶ journal ─▶ mapping ─▶ Unit ─▶ link ─▶ worker ─▶ Target ─▶ Outcome
//
// What a hospital sends is protected health information. It travels in a
// [PHI], which prints its length and nothing else, and in [Values]; neither
// reaches a log, a metric, a trace or an error by accident.
package broker
