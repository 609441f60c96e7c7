// Package bundle is how mappings reach a site and come into force there.
//
// A bundle is an archive of mapping files with a manifest, signed or not:
// [Pack] and [Unpack]. A [Gate] loads mappings and runs their tests: what it
// refuses is taken nowhere. A [Keeper] holds the set of mappings that a site
// runs. It looks at their files every few seconds and takes a new set when all
// of it passes the gate, at once and whole; whatever it can not take leaves the
// set in force as it is, with the reason in its [Status].
package bundle
