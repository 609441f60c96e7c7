// Package fhir reads and writes HL7 FHIR R4 (4.0.1) in JSON for mappings:
// [Format] holds the definitions of its resources and data types, decodes
// resources, Bundles and lines of NDJSON to the tree, and encodes it.
//
// Pages named are those of hl7.org/fhir/R4.
package fhir
