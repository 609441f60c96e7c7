package main

// mappingCmd are the tools of those who write mappings.
type mappingCmd struct {
	Lint     mappingLintCmd     `cmd:"" help:"Check mapping files, fragments and test files against both ends."`
	Test     mappingTestCmd     `cmd:"" help:"Run the test files of mappings."`
	Run_     mappingRunCmd      `cmd:"" name:"run" help:"Map one message and show the unit; --explain tells how every value came about."`
	Diff     mappingDiffCmd     `cmd:"" help:"Replay stored messages through two versions and show what would change."`
	Mutate   mappingMutateCmd   `cmd:"" help:"Remove each rule in turn and tell which removals no test notices."`
	Docs     mappingDocsCmd     `cmd:"" help:"Document mappings: data flow, operations, what leaves."`
	New      mappingNewCmd      `cmd:"" help:"Begin a mapping and its test from a message and a model."`
	Scrub    mappingScrubCmd    `cmd:"" help:"Make test inputs of real messages: whatever tells of a person is replaced."`
	Snapshot mappingSnapshotCmd `cmd:"" help:"What mappings know of an Odoo: pull it from a live one, compare two."`
	Render   mappingRenderCmd   `cmd:"" help:"Print a mapping as one file, with where each line was written."`
	Bundle   mappingBundleCmd   `cmd:"" help:"Pack mappings that lint clean and pass their tests into one archive, signed."`
	Verify   mappingVerifyCmd   `cmd:"" help:"Check an archive of mappings and show what it holds."`
	Keygen   mappingKeygenCmd   `cmd:"" help:"Make the keys that bundles are signed and checked with."`
	LSP      mappingLSPCmd      `cmd:"" name:"lsp" help:"Language server for editors, over standard input and output."`
}
