//go:build !unix

package failpoint

// No process stops itself there: one that is to be stopped is ended.
var stop = kill
