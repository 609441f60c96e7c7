package hl7

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/vagus-health/vagus/broker"
)

func TestWhatATransportBringsIsTakenAndAnsweredAsOverMLLP(t *testing.T) {
	t.Parallel()
	good := message("1", "", "", "2.5.1")
	latin := "MSH|^~\\&|SEND|NORTH|RECV|HQ|20260314||ADT^A08|9|P|2.5.1||||||8859/1\rPID|1||\xe9\r"
	batch := "FHS|^~\\&|SEND|NORTH|RECV|HQ|20260314||||F1\rBHS|^~\\&|SEND|NORTH|RECV|HQ|20260314||||B1\r" + good + message("", "", "", "2.5.1") + "BTS|2\rFTS|1\r"
	full := &broker.RejectError{Code: "mapping.required", Err: errors.New("PID-3 is absent")}
	for _, tt := range []struct {
		name, typ, body string
		err             error // of accept
		accepted        int
		refused         int
		code            string // of the RejectError; "again": another error; "": none
		media           string
		answer          []string // that these are in it; none: there is none
	}{
		{"one message", "application/hl7-v2", good, nil, 1, 0, "", "application/hl7-v2; charset=utf-8", []string{"MSA|AA|1\r"}},
		{"a file without a media type", "", good, nil, 1, 0, "", "application/hl7-v2; charset=utf-8", []string{"MSA|AA|1\r"}},
		{"an empty group before the first message", "", "BHS|^~\\&|A\rBTS|0\r" + good, nil, 1, 0, "", "application/hl7-v2; charset=utf-8", []string{"BTS|0\r", "MSA|AA|1\r"}},
		{"a batch with a message at fault", "", batch, nil, 1, 1, "", "application/hl7-v2; charset=utf-8",
			[]string{"FHS|^~\\&|RECV|HQ|SEND|NORTH|", "|F1\rBHS|", "|B1\rMSH", "MSA|AA|1\r", "MSA|AR|\rERR||MSH^1^10|101^", "BTS|2\rFTS|1\r"}},
		{"frames as an engine wrote them into a file", "", "\v" + good + "\x1c\r\n\v" + message("2", "", "", "2.5.1") + "\x1c\r", nil, 2, 0, "", "application/hl7-v2; charset=utf-8", []string{"MSA|AA|1\r", "MSA|AA|2\r"}},
		{"a frame without an end", "", "\v" + good, nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"the last frame has no end"}},
		{"bytes between frames", "", "\v" + good + "\x1c\rand so on", nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"between two frames"}},
		{"nothing", "application/hl7-v2", "\r\n \r\n", nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"MSA|AR|", "there is no message"}},
		{"something else", "text/plain", "a letter", nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"MSA|AR|"}},
		{"XML", "application/hl7-v2+xml; charset=utf-8", "<ADT_A01/>", nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"send ER7"}},
		{"a malformed media type", "a/b; c", good, nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"the media type is malformed"}},
		{"a character set that both name", "application/hl7-v2; charset=ISO-8859-1", latin, nil, 1, 0, "", "application/hl7-v2; charset=iso-8859-1", []string{"MSA|AA|9\r"}},
		{"a character set that only the message names", "application/hl7-v2", latin, nil, 1, 0, "", "application/hl7-v2; charset=iso-8859-1", []string{"MSA|AA|9\r"}},
		{"a character set that only the media type names", "application/hl7-v2; charset=Windows-1252", good, nil, 1, 0, "", "application/hl7-v2; charset=windows-1252", []string{"MSA|AA|1\r"}},
		{"one that the message can not be read in later", "application/hl7-v2; charset=iso-8859-2", good, nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"MSA|AR|1\r", "ERR||MSH^1^18|102"}},
		{"two character sets", "application/hl7-v2; charset=utf-8", latin, nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=iso-8859-1", []string{"MSA|AR|9\r", "names another character set"}},
		{"a sender that wants no answer", "", message("1", "NE", "NE", "2.5.1"), nil, 1, 0, "", "", nil},
		{"no room", "", good, broker.ErrFull, 0, 0, "again", "application/hl7-v2; charset=utf-8", []string{"MSA|AE|1\r"}},
		{"a mapping that rejects it", "", good, full, 0, 1, "mapping.required", "application/hl7-v2; charset=utf-8", []string{"MSA|AR|1\r", "|mapping.required|"}},
		{"what is no message type", "", strings.Replace(good, "ADT^A08^ADT_A01", "O'Hara Siobhan", 1), nil, 0, 1, "hl7v2.malformed", "application/hl7-v2; charset=utf-8", []string{"MSH^1^9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := &journal{refuse: func([]*broker.Message) error { return tt.err }}
			r, err := NewReceiver(testFeed, Config{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Receive(t.Context(), broker.Delivery{Name: "Hara.hl7", Type: tt.typ, Body: []byte(tt.body)}, j.accept)
			var reject *broker.RejectError
			switch isReject := errors.As(err, &reject); {
			case tt.code == "" && err != nil, tt.code == "again" && (err == nil || isReject || !errors.Is(err, tt.err)),
				tt.code != "" && tt.code != "again" && (!isReject || reject.Code != tt.code):
				t.Errorf("error %v, want %q", err, tt.code)
			}
			if err != nil && strings.Contains(err.Error(), "Hara") {
				t.Errorf("the error names a value or the file: %v", err)
			}
			if got.Accepted != tt.accepted || got.Refused != tt.refused || got.Type != tt.media || len(j.messages()) != tt.accepted || (got.Ext == "ack") != (tt.answer != nil) {
				t.Errorf("%d accepted, %d refused, %d stored, %q, ext %q", got.Accepted, got.Refused, len(j.messages()), got.Type, got.Ext)
			}
			rest := string(got.Answer)
			for _, part := range tt.answer {
				_, after, found := strings.Cut(rest, part)
				if !found {
					t.Fatalf("no %q in what is left of %q", part, got.Answer)
				}
				rest = after
			}
			if tt.answer == nil && rest != "" {
				t.Errorf("answered %q", rest)
			}
			if again, err2 := r.Receive(t.Context(), broker.Delivery{Type: tt.typ, Body: []byte(tt.body)}, j.accept); (err == nil) != (err2 == nil) || again.Accepted != got.Accepted || again.Refused != got.Refused {
				t.Errorf("the second time %v, %+v", err2, again)
			}
			ms := j.messages()
			for i := range tt.accepted {
				if ms[i].ID != ms[i+tt.accepted].ID {
					t.Error("the second time a message has another id")
				}
			}
		})
	}
}

// One message of a batch can not be stored now: all of it is to come again, and
// what was stored is the same message then.
func TestTheTransportCountsWhatItBrings(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	r, err := NewReceiver(testFeed, Config{Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{message("1", "", "", "2.5.1"), message("1", "", "", "2.4"), "a letter"} {
		_, _ = r.Receive(t.Context(), broker.Delivery{Body: []byte(body)}, (&journal{}).accept)
	}
	for name, want := range map[string]int64{"received": 0, "accepted": 0, "refused": 0, "reused_control_ids": 1} {
		if got := counter(t, reader, "vagus.source."+name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func TestABatchThatWasHalfStoredIsAskedForAgain(t *testing.T) {
	t.Parallel()
	r, err := NewReceiver(testFeed, Config{})
	if err != nil {
		t.Fatal(err)
	}
	reject := &broker.RejectError{Code: "x", Err: errors.New("not together")}
	got, err := r.Receive(t.Context(), broker.Delivery{Body: []byte(message("1", "", "", "2.5.1") + message("2", "", "", "2.5.1"))},
		func(_ context.Context, ms ...*broker.Message) error {
			switch {
			case len(ms) > 1:
				return reject
			case ms[0].SenderID == "2":
				return broker.ErrFull
			}
			return nil
		})
	if !errors.Is(err, broker.ErrFull) || got.Accepted != 1 || !strings.Contains(string(got.Answer), "MSA|AE|2") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNewReceiverNamesTheSettingAtFault(t *testing.T) {
	t.Parallel()
	if _, err := NewReceiver(testFeed, Config{AckMode: "never"}); err == nil || !strings.Contains(err.Error(), "ack_mode") {
		t.Error(err)
	}
}

func TestFramesOfAFileAreBoundedAndAnsweredUnderTheFirstHeader(t *testing.T) {
	t.Parallel()
	r, err := NewReceiver(testFeed, Config{})
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	one := "\v" + message("1", "", "", "2.5.1") + "\x1c\r"
	var reject *broker.RejectError
	if _, err := r.Receive(t.Context(), broker.Delivery{Body: []byte(strings.Repeat(one, maxBatch+1))}, j.accept); !errors.As(err, &reject) || len(j.messages()) != 0 {
		t.Errorf("over %d frames: %v, %d stored", maxBatch, err, len(j.messages()))
	}
	file := func(id string) string {
		return "\vFHS|^~\\&|A|B|C|D|2026||||" + id + "\r" + message(id, "", "", "2.5.1") + "\x1c\r"
	}
	got, err := r.Receive(t.Context(), broker.Delivery{Body: []byte(file("F1") + file("F2"))}, j.accept)
	if err != nil || !strings.HasPrefix(string(got.Answer), "FHS|") || !strings.Contains(string(got.Answer), "|F1\r") || got.Accepted != 2 {
		t.Errorf("%q, %v", got.Answer, err)
	}
}
