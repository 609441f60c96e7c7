package odoo

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atAnnounced = failpoint.New("odoo.announced", "Odoo knows which records a unit is about to make", "none of them is made")
	atLoaded    = failpoint.New("odoo.loaded", "Odoo has made or changed records", "nobody here knows")
	atLines     = failpoint.New("odoo.lines", "the lines of a record are made and changed", "those that are no more are not removed")
	atCalled    = failpoint.New("odoo.called", "a method was called", "what it did is not looked at")
	atMerging   = failpoint.New("odoo.merging", "the form of a merge is made", "it is not carried out")
	atWave      = failpoint.New("odoo.wave", "one operation of each unit is done", "the next one is not begun")
	atWhole     = failpoint.New("odoo.whole", "the addon has applied units whole", "nobody here knows")
	atChanges   = failpoint.New("odoo.changes", "changed records are read", "none of them is stored")
	atOffered   = failpoint.New("odoo.offered", "changes are stored", "it is not remembered that they are")
	atSaved     = failpoint.New("odoo.saved", "what was read is written to a new file", "that is not in the place of the old one")
)
