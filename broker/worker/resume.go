package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

// clockSlack covers the difference between the clocks of the servers that
// stamped a stream's messages.
const clockSlack = 5 * time.Minute

// resume finds where a gained partition goes on: it sets cursor, taken and
// next. The stream must still hold the unit that the cursor names at the
// cursor's place. If it does not, the stream is not what it was: a damaged
// store was cut short, and its sequences were used again for other units. Then
// the partition goes on from the first unit that was stored when the
// cursor's was, less clockSlack, or from the beginning: what is read again, the
// ledger knows. (Going on behind the place where the cursor's unit stands now
// would lose units: sites send again in another order than before.)
//
// wide says that the stream holds units for all partitions, among which the
// next one may be.
//
// All questions go to the stream's leader: a replica that lags would make a
// sound stream look damaged.
func (l *lane) resume(ctx context.Context, info *jetstream.StreamInfo, p *partition, wide bool) error {
	first, last := info.State.FirstSeq, info.State.LastSeq
	sound := true
	switch {
	case p.cursor == 0, p.cursor < first: // nothing to compare with: never settled one, or it is past the stream's age
	case p.cursor > last:
		sound = false
	default:
		m, err := l.get(ctx, getRequest{Seq: p.cursor})
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		sound = err == nil && unitID(m.Subject, m.Header, m.Data) == p.lease.CursorUnit
	}
	ask := getRequest{Seq: p.cursor + 1}
	if !sound {
		ask.Seq = 1
		if u, _, err := l.ledger.Unit(ctx, p.lease.CursorUnit); err == nil && !u.StoredAt.IsZero() {
			at := u.StoredAt.Add(-clockSlack)
			ask.Seq, ask.StartTime = 0, &at
		} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
	}
	p.next = last + 1
	for _, no := range [...]int{p.no, broker.Everywhere} {
		if no == broker.Everywhere && !wide {
			continue
		}
		ask.NextFor = stream.PartitionFilter(l.target, no)
		m, err := l.get(ctx, ask)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return err
		default:
			p.next = min(p.next, m.Sequence)
		}
	}
	if !sound {
		l.log.Error("the stream no longer holds the unit of a partition's cursor: it was cut short or replaced; reading again what it holds, the ledger knows what was applied",
			"stream", stream.Units, "target", l.target, "partition", p.no, "cursor", p.cursor, "last", last, "from", p.next)
		l.metrics.rewound()
		return l.rewind(ctx, p)
	}
	p.taken = p.cursor
	return nil
}

// rewind records that a partition's cursor is before p.next.
func (l *lane) rewind(ctx context.Context, p *partition) error {
	c := ledger.Cursor{Lease: p.lease}
	if p.next > 1 {
		m, err := l.get(ctx, getRequest{Seq: p.next - 1})
		if err == nil {
			c.Seq, c.Unit = p.next-1, unitID(m.Subject, m.Header, m.Data)
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	if err := l.ledger.Settle(ctx, l.worker, []ledger.Lease{p.lease}, []ledger.Cursor{c}, nil); err != nil {
		return err
	}
	p.cursor, p.taken = c.Seq, c.Seq
	return nil
}

// getRequest is the server's JSApiMsgGetRequest (nats-server 2.11 on).
type getRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
}

// get asks the stream's leader for one message. Stream.GetMsg would ask any
// replica. It returns ErrMsgNotFound if there is none.
func (l *lane) get(ctx context.Context, req getRequest) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	prefix := "$JS.API"
	if o := l.js.Options(); o.APIPrefix != "" {
		prefix = strings.TrimSuffix(o.APIPrefix, ".")
	} else if o.Domain != "" {
		prefix = "$JS." + o.Domain + ".API"
	}
	call, cancel := context.WithTimeout(ctx, streamCall)
	defer cancel()
	answer, err := l.js.Conn().RequestWithContext(call, prefix+".STREAM.MSG.GET."+stream.Units, body)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", stream.Units, err)
	}
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &resp); err != nil {
		return nil, fmt.Errorf("look into %s: malformed answer", stream.Units)
	}
	if resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, jetstream.ErrMsgNotFound
	}
	if resp.Error != nil {
		return nil, fmt.Errorf("look into %s: %w", stream.Units, resp.Error)
	}
	if resp.Message == nil {
		return nil, fmt.Errorf("look into %s: empty answer", stream.Units)
	}
	m := &jetstream.RawStreamMsg{Subject: resp.Message.Subject, Sequence: resp.Message.Seq, Data: resp.Message.Data, Time: resp.Message.Time}
	if len(resp.Message.Header) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(resp.Message.Header); err != nil {
			return nil, fmt.Errorf("look into %s: malformed headers", stream.Units)
		}
	}
	return m, nil
}
