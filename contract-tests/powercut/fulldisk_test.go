package powercut

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

// On a full file system the server stops answering and stays silent when there
// is space again. The journal has to refuse, and to come back by itself.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	if !possible(t) {
		return
	}
	t.Parallel()
	d := newDisk(t, "64M")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	j, err := journal.Open(ctx, config(d.Mount, group, "", log))
	if err != nil {
		t.Fatal(err)
	}

	var acked []*broker.Message
	appendOne := func(i int) error {
		m := message(i)
		within, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := j.Append(within, "adt", m)
		if err == nil {
			acked = append(acked, m)
		}
		return err
	}
	i := 0
	for ; i < 100; i++ {
		if err := appendOne(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; i++ {
		err = appendOne(i)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the server says %v: this test is for its silence", err)
	}
	// Only now does somebody look at the disk: else the server would never see it full.
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- j.Run(running) }()
	defer func() {
		stop()
		if err := errors.Join(<-ended, j.Close()); err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(20 * time.Second); !errors.Is(j.Err(), broker.ErrFull); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not refuse: %v", j.Err())
		}
	}
	if err := appendOne(i); !errors.Is(err, broker.ErrFull) {
		t.Errorf("refused with %v", err)
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); j.Err() != nil; <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not accept again: %v", j.Err())
		}
	}
	for k := range 100 {
		if err := appendOne(i + k); err != nil {
			t.Fatalf("after the disk had space again: %v", err)
		}
	}
	for _, m := range acked {
		if _, err := j.Find(ctx, "adt", broker.ShortID(m.ID)); err != nil {
			t.Errorf("an acknowledged message: %v", err)
		}
	}
}
