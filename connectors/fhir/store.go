package fhir

import (
	"context"
	"errors"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// Bounds of what is stored in one step.
const (
	maxStepBytes = 8 << 20
	maxStepCount = 1000
	storeTimeout = time.Minute
)

// store offers messages in steps that are not too large. What is at fault by
// itself (too large for the journal) is left out and said: nobody is there to
// be told, and it must not hold the others.
func (s *Source) store(ctx context.Context, accept broker.Accept, ms []*broker.Message) error {
	// A stop must not leave what is stored unremembered.
	ctx = context.WithoutCancel(ctx)
	for len(ms) > 0 {
		n, size := 0, 0
		for n < len(ms) && (n == 0 || size+len(ms[n].Body) <= maxStepBytes && n < maxStepCount) {
			size += len(ms[n].Body)
			n++
		}
		if err := s.step(ctx, accept, ms[:n]); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

func (s *Source) step(ctx context.Context, accept broker.Accept, ms []*broker.Message) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ctx, span := s.meters.Tracer.Start(ctx, "fhir.read")
	defer span.End()
	parent := reception.Traceparent(ctx)
	for _, m := range ms {
		m.Trace = parent
	}
	err := accept(ctx, ms...)
	var reject *broker.RejectError
	switch {
	case err == nil:
		s.meters.Accepted(ctx, len(ms))
		return nil
	case !errors.As(err, &reject):
		return err
	}
	for _, m := range ms {
		err := accept(ctx, m)
		if err != nil && !errors.As(err, &reject) {
			return err
		}
		s.count(ctx, replyTo(err).reason)
		if err != nil {
			s.log.Error("left out: it can not be stored, and stays at the server", "message", broker.ShortID(m.ID), "kind", m.Kind, "error", err)
		}
	}
	return nil
}
