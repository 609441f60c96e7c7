// Package x12 receives, reads and writes ASC X12 interchanges: transaction
// sets of version 004010 and the 005010 health care implementation guides.
//
// A [Receiver], behind any transport, takes interchanges apart into messages,
// compares them with what was agreed upon with their sender and with their
// guides, and answers with TA1, 997 or 999. [Format] is a [tree.Format] for mappings, and
// does no I/O. A [Register] holds control numbers, ours and the partners'; [Partner.Seal]
// makes an interchange of a document that goes out.
//
// Sources: X12.5 (interchange control structures), X12.6 (application control
// structure), X12.20 (997), X12.56 (TA1), X12.22 (segments), X12.3 (data elements; 716, 717, 718, 720,
// 723, I17 and I18 for the codes of acknowledgments) and the implementation
// guides that guides.txt names, 005010X231 among them (999; 618, 620, 621).
package x12
