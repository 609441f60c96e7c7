package x12

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

func TestDeliveriesAreReceivedAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := open(t, Config{})
	met := make(chan struct{}) // each accept waits for the other's
	accept := func(ctx context.Context, _ ...*broker.Message) error {
		select {
		case met <- struct{}{}:
		case <-met:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	results := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := r.Receive(ctx, broker.Delivery{Body: sent("004010", "PO", 7+i, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~")}, accept)
			results <- err
		}()
	}
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// One of them has the number; the other is told so, however close they come.
func TestOfTwoInterchangesOfOneNumberOneIsTaken(t *testing.T) {
	t.Parallel()
	r := open(t, Config{})
	answers, started := make(chan string, 2), make(chan struct{}, 2)
	release := make(chan struct{})
	for _, order := range []string{"P1", "P2"} {
		go func() {
			receipt, _ := r.Receive(t.Context(), broker.Delivery{Body: sent("004010", "PO", 7, "850*0001~BEG*00*SA*"+order+"**20260504~PO1*1*20*EA*1~CTT*1~")}, func(context.Context, ...*broker.Message) error {
				started <- struct{}{}
				<-release
				return nil
			})
			answers <- told(receipt.Answer)
		}()
	}
	<-started
	select {
	case <-started:
		t.Error("both are accepted at once")
	case <-time.After(50 * time.Millisecond): // the second one waits, or has not begun: either way it comes after
	}
	close(release)
	got := <-answers + " " + <-answers
	if strings.Count(got, "AK9*A") != 1 || strings.Count(got, "*R*025") != 1 {
		t.Errorf("they are answered %s", got)
	}
}

func TestAFeedHasABoundOfDeliveriesInHand(t *testing.T) {
	t.Parallel()
	h := newHand()
	for range maxInHand {
		if _, err := h.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.enter(ctx); err == nil {
		t.Error("one more is let in")
	}
}
