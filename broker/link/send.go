package link

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// send sends parcels in order and returns when the cloud has confirmed all of
// them. There is never more than one publish, or one batch, without an answer:
// so whatever a broken link delivers late is either the next in order or a
// duplicate, and never overtakes.
func (l *lane) send(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, parcels []*parcel) error {
	began := time.Now()
	defer func() {
		end := time.Now()
		l.nextSend = end.Add(min(max(paceTimes*end.Sub(began), paceMin), paceMax))
	}()
	limit := nc.MaxPayload()
	for i, p := range parcels {
		if int64(p.size) > limit {
			small, err := l.tooLarge(ctx, p)
			if err != nil {
				return &laneError{"link.encode", err}
			}
			parcels[i] = small
		}
	}
	for len(parcels) > 0 {
		n := l.fit(parcels)
		var dup bool
		var err error
		atSending.Hit()
		if n < batchMin || l.careful > 0 {
			n = 1
			dup, err = l.publishOne(ctx, js, parcels[0])
		} else {
			err = l.publishBatch(ctx, js, parcels[:n])
		}
		if err != nil {
			for _, p := range parcels {
				p.span.RecordError(err)
				p.span.End()
			}
			return err
		}
		atConfirmed.Hit()
		l.confirm(parcels[n-1].mark, dup)
		l.link.metrics.units.Add(ctx, int64(n), l.attr)
		for _, p := range parcels[:n] {
			p.span.End()
		}
		parcels = parcels[n:]
	}
	return nil
}

// fit returns how many of the parcels, at least one, may go together.
func (l *lane) fit(parcels []*parcel) int {
	size := 0
	for n, p := range parcels {
		if size += p.size; n > 0 && (size > l.bytes || n == batchMax) {
			return n
		}
	}
	return len(parcels)
}

// publishBatch publishes all or none. The time that it takes decides how large
// the next one may be.
func (l *lane) publishBatch(ctx context.Context, js jetstream.JetStream, parcels []*parcel) error {
	msgs := make([]*nats.Msg, len(parcels))
	for i, p := range parcels {
		msgs[i] = p.msg
	}
	wait, cancel := context.WithTimeout(ctx, l.link.cfg.AckTimeout)
	defer cancel()
	began := time.Now()
	_, err := jetstreamext.PublishMsgBatch(wait, js, msgs, jetstreamext.BatchFlowControl{})
	took := time.Since(began)
	switch {
	case err != nil && isTimeout(err):
		l.bytes = max(l.bytes/4, bytesMin)
	case err == nil && took < l.link.cfg.AckTimeout/20:
		l.bytes = min(l.bytes*2, bytesMax)
	case took > l.link.cfg.AckTimeout/5:
		l.bytes = max(l.bytes/2, bytesMin)
	}
	if err == nil {
		l.link.metrics.batches.Add(ctx, 1, l.attr)
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		// One of them is a duplicate, or too large, or the hub's stream is full:
		// one by one it shows which.
		l.careful = len(parcels)
	}
	return classify(ctx, err)
}

// publishOne publishes one parcel and reports whether the cloud had it
// already, which is as good as new.
func (l *lane) publishOne(ctx context.Context, js jetstream.JetStream, p *parcel) (dup bool, err error) {
	wait, cancel := context.WithTimeout(ctx, l.link.cfg.AckTimeout)
	defer cancel()
	ack, err := js.PublishMsg(wait, p.msg, jetstream.WithRetryAttempts(0))
	if isTooLarge(err) {
		small, terr := l.tooLarge(ctx, p)
		if terr != nil {
			return false, &laneError{"link.encode", terr}
		}
		ack, err = js.PublishMsg(wait, small.msg, jetstream.WithRetryAttempts(0))
		small.span.End()
	}
	if err != nil {
		return false, classify(ctx, err)
	}
	l.careful = max(l.careful-1, 0)
	if ack.Duplicate {
		l.link.metrics.duplicates.Add(ctx, 1, l.attr)
		// What follows may be there too: a batch that fails begins again where this began, and
		// with more of them than it has places would never get past them.
		l.careful = max(l.careful, 1)
	}
	return ack.Duplicate, nil
}

// classify names why the cloud did not confirm. ctx ends when the link does.
func classify(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var api *jetstream.APIError
	class := "link.down"
	switch {
	case errors.As(err, &api) && api.ErrorCode == 10077:
		class = "hub.full"
	case errors.As(err, &api):
		class = "hub.refused"
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		class = "hub.no_stream"
	case isTimeout(err):
		class = "hub.timeout"
	}
	return &laneError{class, err}
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// isTooLarge tells the two ways in which a hub refuses a message for its size:
// max_payload, and a max_msg_size of the stream (10054).
func isTooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && api.ErrorCode == 10054
}
