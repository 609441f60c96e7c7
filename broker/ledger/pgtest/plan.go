package pgtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// grows are the tables of a ledger that grow with what it remembers, and large ones they are.
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

// walked are what is meant to be gone through, by the end of a statement and the walk.
var walked = []struct{ statement, walk, why string }{
	{"GROUP BY site, feed, target, status", "reads all of waiting", "status tells of all that waits, which is what persons and outages left"},
	{"h.what = 'discarded'", "walks history by history_discarded", "the index is of nothing else"},
	{"WHERE true ORDER BY u.received_at DESC, u.id DESC) AS p", "walks units by units_received", "a replay of everything"},
	{"WHERE u.target = $3 ORDER BY u.received_at DESC, u.id DESC) AS p", "walks units by units_received", "a replay of everything for a target"},
	{"WHERE u.target = $1 ORDER BY u.received_at DESC, u.id DESC LIMIT", "walks units by units_received", "targets are few, and the tallies say which have units"},
	{"WHERE u.status IN (", "walks units by units_received", "the tallies say how many there are, and it ends when they are found"},
}

func meant(sql, walk string) bool {
	return slices.ContainsFunc(walked, func(w struct{ statement, walk, why string }) bool {
		return strings.Contains(sql, w.statement) && walk == w.walk
	})
}

// Walks returns what a plan reads from one end to the other of the tables that grow, and does not find by an
// index: each time with the step and its table. To walk an index is well if nothing is sifted on the way: a
// page of a list is read so, and ends when it is full. What is meant to be walked is left out. plan is what EXPLAIN (FORMAT JSON) or auto_explain gives.
func Walks(sql string, plan []byte) []string {
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
	return slices.DeleteFunc(found, func(walk string) bool { return meant(sql, walk) })
}

// walks adds what this step and those below it walk; limited: a limit above ends it early.
func (n *node) walks(limited bool, found *[]string) {
	limited = limited || n.Type == "Limit"
	switch {
	case strings.HasPrefix(n.Type, "Gather"):
		*found = append(*found, "is shared among processes, which read on after the limit is reached")
	case n.Type == "Seq Scan" && slices.Contains(grows, n.Relation):
		*found = append(*found, "reads all of "+n.Relation)
	// What waits is little where a ledger is healthy, and then a whole index of it is as soon read as one place in it.
	case n.Relation == "waiting":
	case (n.Type == "Index Scan" || n.Type == "Index Only Scan") && slices.Contains(grows, n.Relation) && n.IndexCond == "" && (!limited || n.Filter != ""):
		*found = append(*found, fmt.Sprintf("walks %s by %s", n.Relation, n.Index))
	case n.Type == "Bitmap Heap Scan" && slices.Contains(grows, n.Relation) && slices.ContainsFunc(n.Plans, func(c node) bool { return c.Type == "Bitmap Index Scan" && c.IndexCond == "" }):
		*found = append(*found, fmt.Sprintf("walks %s by %s", n.Relation, n.Plans[0].Index))
	}
	for i := range n.Plans {
		// A sort reads all before the limit ends anything.
		n.Plans[i].walks(limited && n.Type != "Sort" && n.Type != "Aggregate", found)
	}
}
