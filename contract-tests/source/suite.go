// Package source is the conformance suite for [broker.Source]: what every
// connector promises to the hospital system that sends to it, [Run], or that it
// asks, [RunPolling]. A connector's test gives it a way to start the source and
// a way to send as a real client would, or to change what the peer holds.
package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A Connector is what the suite needs to know of one protocol.
type Connector struct {
	// New starts nothing: it returns a source whose Run listens on loopback, and a
	// function that waits until it listens and then connects a client.
	New func(t *testing.T) (broker.Source, func(t *testing.T) Client)
	// Message returns the n-th message: each n has a sender's id of its own.
	Message func(n int) []byte
	// Garbage is what the protocol's framing carries but no message of the format is.
	Garbage []byte
	// TooLarge is over the source's limit.
	TooLarge []byte
}

// A Client is one connection of a sender. Not safe for concurrent use.
type Client interface {
	// Send sends one message and waits for its answer. An error means that no
	// answer came.
	Send(ctx context.Context, body []byte) (Answer, error)
	// SendPart sends a message's beginning and ends the connection.
	SendPart(body []byte) error
	Close() error
}

// An Answer is what the sender was told, in the three ways that matter to it.
type Answer int

const (
	Accepted Answer = iota // it may forget the message
	TryAgain               // not now: it keeps the message and sends it again
	AtFault                // it must not send this again as it is
)

func (a Answer) String() string { return [...]string{"accepted", "try again", "at fault"}[a] }

// Run runs the suite.
func Run(t *testing.T, c Connector) {
	cases := []struct {
		name string
		test func(*testing.T, Connector)
	}{
		{"what is answered as accepted was accepted first, byte for byte", acceptedFirst},
		{"an error of accept is never answered as accepted", errorsRefuse},
		{"a resend has the same identity, other content another", identity},
		{"a message that was cut off is not accepted", cutOff},
		{"garbage and what is over the limit get an answer, and the next message is taken", badInput},
		{"a hundred senders at once are each answered for their own message", manySenders},
		{"stop lets the message in hand finish and takes no new one", gracefulStop},
		{"a sender that says nothing does not delay another", silentSender},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.test(t, c)
		})
	}
}

// running is a source that runs with an accept function that the test scripts.
type running struct {
	connect func(*testing.T) Client
	stop    context.CancelFunc
	ended   chan error

	mu       sync.Mutex
	accepted []*broker.Message
	answer   func(*broker.Message) error
}

func start(t *testing.T, c Connector) *running {
	t.Helper()
	src, connect := c.New(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{connect: connect, stop: cancel, ended: make(chan error, 1), answer: func(*broker.Message) error { return nil }}
	go func() {
		r.ended <- src.Run(ctx, func(_ context.Context, ms ...*broker.Message) error {
			for _, m := range ms {
				r.mu.Lock()
				answer := r.answer
				r.mu.Unlock()
				if err := answer(m); err != nil {
					return err
				}
			}
			r.mu.Lock()
			r.accepted = append(r.accepted, ms...)
			r.mu.Unlock()
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-r.ended:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run did not return 20 s after its context ended")
		}
	})
	return r
}

func (r *running) got() []*broker.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*broker.Message(nil), r.accepted...)
}

func (r *running) script(answer func(*broker.Message) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func send(t *testing.T, c Client, body []byte) Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := c.Send(ctx, body)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return a
}

func acceptedFirst(t *testing.T, c Connector) {
	r := start(t, c)
	client := r.connect(t)
	for n := range 20 {
		body := c.Message(n)
		if a := send(t, client, body); a != Accepted {
			t.Fatalf("message %d was answered %q", n, a)
		}
		got := r.got()
		if len(got) != n+1 {
			t.Fatalf("message %d was answered, and %d are accepted", n, len(got))
		}
		if m := got[n]; string(m.Body) != string(body) || m.ID == "" || m.Kind == "" || m.SenderID == "" || m.ReceivedAt.IsZero() {
			t.Fatalf("message %d was accepted as %v of %q from %q at %v", n, m.Body, m.Kind, m.SenderID, m.ReceivedAt)
		}
	}
}

func errorsRefuse(t *testing.T, c Connector) {
	r := start(t, c)
	client := r.connect(t)
	for _, k := range []struct {
		err  error
		want Answer
	}{
		{broker.ErrFull, TryAgain},
		{fmt.Errorf("append: %w", broker.ErrFull), TryAgain},
		{errors.New("something nobody thought of"), TryAgain},
		{context.DeadlineExceeded, TryAgain},
		{&broker.RejectError{Code: "mapping.required", Err: errors.New("required, but PID-3 is absent")}, AtFault},
	} {
		r.script(func(*broker.Message) error { return k.err })
		if a := send(t, client, c.Message(1)); a != k.want {
			t.Errorf("%v was answered %q, want %q", k.err, a, k.want)
		}
	}
	r.script(func(*broker.Message) error { return nil })
	if a := send(t, client, c.Message(1)); a != Accepted {
		t.Errorf("the same message, once there is room, is answered %q", a)
	}
	if n := len(r.got()); n != 1 {
		t.Errorf("%d messages are accepted, want 1", n)
	}
}

func identity(t *testing.T, c Connector) {
	r := start(t, c)
	client := r.connect(t)
	send(t, client, c.Message(1))
	send(t, client, c.Message(1))
	_ = client.Close()
	client = r.connect(t)
	send(t, client, c.Message(1))
	send(t, client, c.Message(2))
	got := r.got()
	if len(got) != 4 {
		t.Fatalf("%d messages are accepted, want 4", len(got))
	}
	if got[0].ID != got[1].ID || got[0].ID != got[2].ID {
		t.Error("a resend has another id")
	}
	if got[0].ID == got[3].ID {
		t.Error("two messages have one id")
	}
}

func cutOff(t *testing.T, c Connector) {
	r := start(t, c)
	body := c.Message(1)
	for _, n := range []int{0, 1, len(body) / 2, len(body) - 1} {
		client := r.connect(t)
		if err := client.SendPart(body[:n]); err != nil {
			t.Fatal(err)
		}
	}
	client := r.connect(t)
	send(t, client, c.Message(2))
	if got := r.got(); len(got) != 1 || string(got[0].Body) != string(c.Message(2)) {
		t.Errorf("%d messages are accepted, want the whole one only", len(got))
	}
}

func badInput(t *testing.T, c Connector) {
	r := start(t, c)
	client := r.connect(t)
	if a := send(t, client, c.Garbage); a != AtFault {
		t.Errorf("garbage is answered %q", a)
	}
	if a := send(t, client, c.Message(1)); a != Accepted {
		t.Errorf("after garbage a message on the same connection is answered %q", a)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// The source may answer or end the connection: it must not read on for ever.
	if a, err := client.Send(ctx, c.TooLarge); err == nil && a == Accepted {
		t.Error("a message over the limit is accepted")
	} else if ctx.Err() != nil {
		t.Error("a message over the limit gets no answer and no end")
	}
	client = r.connect(t)
	if a := send(t, client, c.Message(2)); a != Accepted {
		t.Errorf("after one over the limit a message is answered %q", a)
	}
	if n := len(r.got()); n != 2 {
		t.Errorf("%d messages are accepted, want 2", n)
	}
}

func manySenders(t *testing.T, c Connector) {
	const senders, each = 100, 5
	r := start(t, c)
	// Every fifth message is refused: its sender, and nobody else, must hear so.
	refused := map[string]bool{}
	for n := 0; n < senders*each; n += 5 {
		refused[string(c.Message(n))] = true
	}
	r.script(func(m *broker.Message) error {
		if refused[string(m.Body)] {
			return broker.ErrFull
		}
		return nil
	})
	var wg sync.WaitGroup
	for s := range senders {
		client := r.connect(t)
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			for i := range each {
				n := s*each + i
				want := Accepted
				if n%5 == 0 {
					want = TryAgain
				}
				if a, err := client.Send(ctx, c.Message(n)); err != nil || a != want {
					t.Errorf("message %d is answered %v, %v; want %v", n, a, err, want)
				}
			}
		})
	}
	wg.Wait()
	if got := len(r.got()); got != senders*each*4/5 {
		t.Errorf("%d messages are accepted, want %d", got, senders*each*4/5)
	}
}

func gracefulStop(t *testing.T, c Connector) {
	r := start(t, c)
	client := r.connect(t)
	inHand, goOn := make(chan struct{}), make(chan struct{})
	r.script(func(*broker.Message) error { close(inHand); <-goOn; return nil })
	answered := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a, err := client.Send(ctx, c.Message(1))
		if err == nil && a != Accepted {
			err = fmt.Errorf("answered %q", a)
		}
		answered <- err
	}()
	<-inHand
	r.stop()
	select {
	case err := <-r.ended:
		t.Fatalf("Run returned (%v) with a message in hand", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if err := <-answered; err != nil {
		t.Errorf("the message in hand: %v", err)
	}
	select {
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(10 * time.Second):
		t.Fatal("Run did not return after its last message")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a, err := client.Send(ctx, c.Message(2)); err == nil {
		t.Errorf("after the stop a message is answered %q", a)
	}
}

func silentSender(t *testing.T, c Connector) {
	r := start(t, c)
	for range 20 {
		silent := r.connect(t)
		defer silent.Close()
	}
	if a := send(t, r.connect(t), c.Message(1)); a != Accepted {
		t.Errorf("a message beside 20 silent connections is answered %q", a)
	}
}
