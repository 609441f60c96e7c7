package hl7

import (
	"errors"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

func TestLargeFramesShareARoom(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 200<<10)
	stream := "\x0b" + large + "\x1c\r\x0bsmall\x1c\r"
	room := &frameRoom{limit: 600 << 10}
	first, second := newFrameReader(strings.NewReader(stream), 1<<20), newFrameReader(strings.NewReader(stream), 1<<20)
	first.room, second.room = room, room
	if got, err := first.next(func() {}); err != nil || string(got) != large {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if used := room.used.Load(); used < 200<<10 || used > room.limit {
		t.Errorf("%d bytes of the room are used by a frame of %d", used, len(large))
	}
	room.limit = room.used.Load() + 128<<10
	if got, err := second.next(func() {}); !errors.Is(err, errNoRoom) || len(got) == 0 {
		t.Errorf("a second large frame, for which there is no room: %d bytes of its beginning, %v", len(got), err)
	}
	if r := replyTo(errNoRoom); r.verdict != later || !errors.Is(errNoRoom, broker.ErrFull) {
		t.Errorf("its sender is told %+v, want that it may send it again", r)
	}
	second.hold(0)
	if got, err := first.next(func() {}); err != nil || string(got) != "small" {
		t.Fatalf("%q, %v", got, err)
	}
	if used := room.used.Load(); used != 0 {
		t.Errorf("%d bytes are held after the last", used)
	}
}
