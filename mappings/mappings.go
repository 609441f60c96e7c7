// Package mappings holds the mapping files that Vagus ships, by business
// service, with their tables, fragments, snapshots and tests, and the JSON
// Schemas that editors check such files with. README.md says how they are
// written; internal/mapping reads them.
package mappings

import "embed"

// FS is this folder. Mappings name their tables, fragments and snapshots
// relative to themselves, so a path in it ("admissions/adt-patient.map.yaml")
// is all that it takes to load one.
//
//go:embed admissions alternatives billing documents examples fragments identity imaging lab procurement scheduling schema snapshots tables
var FS embed.FS
