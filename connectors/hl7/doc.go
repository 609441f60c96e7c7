// Package hl7 speaks HL7 v2: its encoding rules (ER7), its transport (MLLP)
// and its acknowledgements.
//
//   - [Source] listens for MLLP connections and hands messages to a
//     broker.Accept; it answers after Accept and never before.
//   - [Receiver] does the same with what another transport brings: HTTP, files.
//   - [Parse] gives a view of a message without copying it.
//   - [Format] decodes a message to the tree that mappings read, and holds the
//     dictionary of segments and data types.
//
// Section numbers are those of HL7 2.5.1, chapter 2, unless said otherwise.
package hl7
