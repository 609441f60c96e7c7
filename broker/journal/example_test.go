package journal_test

import (
	"context"
	"fmt"
	"os"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	ctx := context.Background()
	j, err := journal.Open(ctx, journal.Config{Dir: dir, Feeds: []journal.Feed{{Name: "adt", MaxBytes: 1 << 30}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = j.Close() }()

	// What a source is given.
	var accept broker.Accept = func(ctx context.Context, ms ...*broker.Message) error { return j.Append(ctx, "adt", ms...) }

	body := []byte("MSH|^~\\&|…\r")
	err = accept(ctx, &broker.Message{ID: broker.NewMessageID("acme", "north", "adt", "MSG1", body), Feed: "adt", SenderID: "MSG1", Body: body})
	fmt.Println("accepted:", err)

	// What the link does.
	r, err := j.Read(ctx, "adt", journal.Position{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := r.Next(ctx)
	fmt.Println(e.Position.Seq, e.SenderID, e.Body, err)
	// Output:
	// accepted: <nil>
	// 1 MSG1 [phi len=13] <nil>
}
