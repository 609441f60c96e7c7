// Package x12 reads and writes ASC X12 interchanges: transaction sets of
// version 004010 and the 005010 health care implementation guides, as a
// [tree.Format] for mappings. It does no I/O.
//
// Sources: X12.5 (interchange control structures), X12.6 (application control
// structure), X12.22 (segments), X12.3 (data elements) and the implementation
// guides that guides.txt names.
package x12
