package endtoend_test

import (
	"context"
	"regexp"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/internal/ops"
)

// The last part of a patient's street2 is the version of its data, so that the
// order of what was applied shows at the target.
var version = regexp.MustCompile(` v(\d+)$`)

// units returns all that the ledger has, by the sender's control id.
func (s *system) units(api *ops.Client) (map[string][]ledger.Unit, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	all := map[string][]ledger.Unit{}
	var q ops.Query
	q.Limit = 1000
	for {
		page, err := api.Messages(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Messages {
			all[u.SenderID] = append(all[u.SenderID], u)
		}
		if page.Next == "" {
			return all, nil
		}
		q.Before = page.Next
	}
}
