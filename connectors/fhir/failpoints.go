package fhir

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atRead     = failpoint.New("fhir.read", "the resources of a page are stored", "the next page is not remembered")
	atTurned   = failpoint.New("fhir.turned", "the next page, or after the last one the cursor, is remembered", "it is not asked for")
	atExported = failpoint.New("fhir.exported", "a part of an export's file is stored", "where the next one begins is not remembered")
)
