package journal_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/journal"
)

func TestTheLastEntriesAreReadWhileOthersAreAppendedAndTrimmed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	j := open(t, journal.Config{})
	senders := func(n int64) (out []string) {
		t.Helper()
		must(t, j.Tail(ctx, "adt", n, func(e journal.Entry) error { out = append(out, e.SenderID); return nil }))
		return out
	}
	if got := senders(5); got != nil {
		t.Errorf("of an empty feed: %v", got)
	}
	for i := range int64(1200) { // more than one request brings
		must(t, j.Append(ctx, "adt", message("adt", i, []byte("x"))))
	}
	for n, want := range map[int64]int{0: 0, 1: 1, 600: 600, 1200: 1200, 5000: 1200} {
		got := senders(n)
		if len(got) != want || want > 0 && got[want-1] != "1199" {
			t.Errorf("the last %d are %d", n, len(got))
		}
	}
	var wg sync.WaitGroup
	stop, cancel := context.WithCancel(ctx)
	wg.Go(func() {
		for i := int64(1200); stop.Err() == nil; i++ {
			if err := j.Append(ctx, "adt", message("adt", i, []byte("x"))); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		if got := senders(1000); len(got) != 1000 {
			t.Errorf("while others append: %d", len(got))
		}
	}
	cancel()
	wg.Wait()
	all := entries(t, j, "adt", journal.Position{})
	if _, err := j.Trim(ctx, "adt", all[len(all)-3].Position, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := senders(1000); len(got) == 0 || got[len(got)-1] != all[len(all)-1].SenderID {
		t.Errorf("after a trim: %v", got)
	}
	enough := errors.New("enough")
	if err := j.Tail(ctx, "adt", 5, func(journal.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := j.Tail(ctx, "lab", 5, nil); err == nil {
		t.Error("a feed that is not there")
	}
}
