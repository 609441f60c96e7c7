// Package folder watches a folder and brings its files to a [broker.Receiver]:
// a transport that carries any format whose messages come in files. [Files] is
// the little it asks of a file system, so that the same rules hold for the
// folders of a server.
//
// A file goes from the folder `in` to `work` when it is complete, and is read there. When its
// messages are on stable storage and the answer stands in `out`, it goes to `archive`; a file that
// is at fault goes to `quarantine`, with the reason beside it; every other error leaves
// it where it is, to be tried again. A crash anywhere repeats a step: messages
// have the same ids when a file is received again.
package folder
