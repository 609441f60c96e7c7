package worker

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"crypto/rand"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

// eventsMax is how many events may wait to be published.
const eventsMax = 256

// events publishes outcomes to EVENTS for other programs: CloudEvents 1.0,
// binary content mode of the NATS protocol binding (headers "ce-…"), one event for all
// units of a site's feed that came to the same end in one transaction. It is
// best effort: the ledger is what counts. The data holds ids and classes only:
//
//	{"target":"odoo","units":[{"unit":"…","message":"…","class":"…"}]}
type events struct {
	nc      *nats.Conn
	source  string
	queue   chan *nats.Msg
	metrics *metrics
}

func newEvents(nc *nats.Conn, worker string, m *metrics) *events {
	return &events{nc: nc, source: "/vagus/worker/" + worker, queue: make(chan *nats.Msg, eventsMax), metrics: m}
}

type eventUnit struct {
	Unit    string `json:"unit"`
	Message string `json:"message"`
	Class   string `json:"class,omitempty"`
}

// settled hands over what one transaction settled. It does not block: what
// finds the queue full is counted and forgotten.
func (e *events) settled(target string, at time.Time, done []ledger.Settlement) {
	groups := map[[3]string][]eventUnit{}
	for i := range done {
		if done[i].Quiet {
			continue
		}
		u := &done[i].Unit
		k := [3]string{u.Site, u.Feed, what(&done[i])}
		groups[k] = append(groups[k], eventUnit{u.ID, u.MessageID, u.Class})
	}
	for k, units := range groups {
		if stream.CheckToken("site", k[0]) != nil || stream.CheckToken("feed", k[1]) != nil {
			continue
		}
		data, err := json.Marshal(struct {
			Target string      `json:"target"`
			Units  []eventUnit `json:"units"`
		}{target, units})
		if err != nil {
			continue
		}
		m := &nats.Msg{Subject: "event." + k[0] + "." + k[1] + "." + k[2], Data: data, Header: nats.Header{
			"ce-specversion": {"1.0"}, "ce-id": {strings.ToLower(rand.Text())}, "ce-source": {e.source}, "ce-type": {"health.vagus.units." + k[2]},
			"ce-time": {at.UTC().Format(time.RFC3339Nano)}, "content-type": {"application/json"}}}
		if t := done[0].Unit.Trace; len(done) == 1 && t != "" {
			m.Header["ce-traceparent"] = []string{t}
		}
		select {
		case e.queue <- m:
		default:
			e.metrics.lost.Add(context.Background(), 1)
		}
	}
}

// run publishes until ctx is done, and then what still waits.
func (e *events) run(ctx context.Context) {
	for {
		select {
		case m := <-e.queue:
			e.publish(m)
		case <-ctx.Done():
			for len(e.queue) > 0 {
				e.publish(<-e.queue)
			}
			return
		}
	}
}

func (e *events) publish(m *nats.Msg) {
	if err := e.nc.PublishMsg(m); err != nil {
		e.metrics.lost.Add(context.Background(), 1)
	}
}
