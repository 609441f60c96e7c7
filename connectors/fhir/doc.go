// Package fhir is HL7 FHIR R4 (4.0.1) in JSON: [Format] decodes and encodes
// resources, Bundles and NDJSON for mappings; [Source] receives resources at an
// endpoint of its own, asks a server for what changed, and fetches bulk
// exports.
//
// Pages named are those of hl7.org/fhir/R4.
package fhir
