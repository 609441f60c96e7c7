// Package ops is what an operator holds on to: logs, metrics and traces, the
// HTTP server with health and the API, the client that the vagus command uses,
// and the verdicts in plain words that both print.
//
// Nothing here ever holds the content of a message. The API answers with
// identities, states, classes and reasons; who needs the content reads it in
// the journal of the site that received it.
package ops
