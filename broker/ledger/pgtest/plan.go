package pgtest

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Grows are the tables of a ledger that grow with what it remembers, and large ones they are.
var grows = []string{"units", "waiting", "history", "other_keys", "replay_items"}

// A node is one step of a plan as EXPLAIN (FORMAT JSON) tells it.
type node struct {
	Type      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	IndexCond string  `json:"Index Cond"`
	Filter    string  `json:"Filter"`
	Plans     []node  `json:"Plans"`
	Rows      float64 `json:"Plan Rows"`
}

// Walks returns what a plan reads from one end to the other of the tables that grow, and does not find by an
// index: each time with the step and its table. To walk an index is well if nothing is sifted on the way: a
// page of a list is read so, and ends when it is full. plan is what EXPLAIN (FORMAT JSON) or auto_explain gives.
func Walks(plan []byte) []string {
	var one struct{ Plan node }
	if err := json.Unmarshal(plan, &one); err != nil {
		var list []struct{ Plan node }
		if err := json.Unmarshal(plan, &list); err != nil || len(list) == 0 {
			return []string{fmt.Sprintf("a plan that can not be read: %v", err)}
		}
		one.Plan = list[0].Plan
	}
	var found []string
	one.Plan.walks(false, &found)
	return found
}

// walks adds what this step and those below it walk; limited: a limit above ends it early.
func (n *node) walks(limited bool, found *[]string) {
	limited = limited || n.Type == "Limit"
	switch {
	case n.Type == "Seq Scan" && slices.Contains(grows, n.Relation):
		*found = append(*found, "reads all of "+n.Relation)
	case (n.Type == "Index Scan" || n.Type == "Index Only Scan") && slices.Contains(grows, n.Relation) && n.IndexCond == "" && (!limited || n.Filter != ""):
		*found = append(*found, fmt.Sprintf("walks %s by %s", n.Relation, n.Index))
	}
	for i := range n.Plans {
		// A sort reads all before the limit ends anything.
		n.Plans[i].walks(limited && n.Type != "Sort" && n.Type != "Aggregate", found)
	}
}
