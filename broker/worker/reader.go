package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
)

const (
	readAhead      = 256     // messages that a reader asks for at once
	readAheadBytes = 8 << 20 // and bytes, unless the server allows larger messages
	fetchTime      = 20 * time.Second
	// wideFrom is the number of partitions from which one filter for all of
	// the target's costs less than one for each, although the reader drops some.
	wideFrom = broker.Partitions / 2
)

// A reader reads a lane's partitions, decodes what it reads and offers it on
// units, which is closed when it can not go on (then err says why). It uses
// one ephemeral consumer that acknowledges nothing. Any doubt about the
// consumer (a gap, silence, a new connection) ends it: the lane looks where
// it stands in the ledger and starts another.
type reader struct {
	units   chan *item
	err     error // once units is closed
	pending atomic.Uint64
	stop    context.CancelFunc
	done    chan struct{}
}

// startReader reads the target's partitions from sequence from on. Units of
// other partitions may come too.
func startReader(ctx context.Context, js jetstream.JetStream, target string, partitions []int, from uint64) (*reader, error) {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second}
	if len(partitions) >= wideFrom {
		cfg.FilterSubject = "unit.*." + target + ".>"
	} else {
		for _, p := range partitions {
			cfg.FilterSubjects = append(cfg.FilterSubjects, stream.PartitionFilter(target, p))
		}
		cfg.FilterSubjects = append(cfg.FilterSubjects, stream.PartitionFilter(target, broker.Everywhere))
	}
	call, cancel := context.WithTimeout(ctx, streamCall)
	defer cancel()
	c, err := js.CreateConsumer(call, stream.Units, cfg)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream.Units, err)
	}
	r := &reader{units: make(chan *item, readAhead), done: make(chan struct{})}
	r.pending.Store(c.CachedInfo().NumPending)
	ctx, r.stop = context.WithCancel(ctx)
	cut := js.Conn().StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	go func() {
		defer close(r.done)
		defer close(r.units)
		defer js.Conn().RemoveStatusListener(cut)
		go func() {
			select {
			case <-ctx.Done():
			case <-cut: // what was on its way is lost, and the consumer may be another server's
				r.stop()
			}
		}()
		r.err = r.run(ctx, c, max(readAheadBytes, int(js.Conn().MaxPayload())+1<<20))
		r.stop()
		// A courtesy: the server forgets it by itself.
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = js.DeleteConsumer(bye, stream.Units, c.CachedInfo().Name)
	}()
	return r, nil
}

// close ends the reader and returns when its goroutine has stopped.
func (r *reader) close() {
	r.stop()
	<-r.done
}

var errGap = errors.New("messages of the consumer are missing")

// run fetches one batch after the other. (Consumer.Messages would hide the
// round trip between them, but it drops statuses when its user is slow, and
// then stands still.)
func (r *reader) run(ctx context.Context, c jetstream.Consumer, limit int) error {
	var last, owed uint64 // by the consumer's own count
	for {
		n, err := r.fetch(ctx, c, limit, &last)
		if ctx.Err() != nil {
			return errors.New("the connection was lost, or the reader stopped")
		}
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		// What it had delivered when it was last asked is here by now.
		if owed > last {
			return errGap
		}
		call, cancel := context.WithTimeout(ctx, fetchTime)
		info, err := c.Info(call)
		cancel()
		if err != nil {
			return err
		}
		owed = info.Delivered.Consumer
		r.pending.Store(info.NumPending)
	}
}

// fetch passes one batch on and returns how many it had.
func (r *reader) fetch(ctx context.Context, c jetstream.Consumer, limit int, last *uint64) (n int, err error) {
	timed, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	batch, err := c.Fetch(readAhead, jetstream.FetchMaxBytes(limit), jetstream.FetchContext(timed), jetstream.FetchHeartbeat(fetchTime/4))
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		md, err := m.Metadata()
		if err != nil {
			return n, err
		}
		if md.Sequence.Consumer != *last+1 {
			return n, errGap
		}
		*last = md.Sequence.Consumer
		n++
		r.pending.Store(md.NumPending)
		select {
		case r.units <- readItem(m.Subject(), m.Headers(), m.Data(), md.Sequence.Stream, md.Timestamp):
		case <-ctx.Done(): // of the reader: a lane may be busy for longer than a fetch lasts
			return n, nil
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return n, err
	}
	return n, nil
}
