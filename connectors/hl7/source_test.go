package hl7

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testFeed = broker.Origin{Tenant: "north", Site: "main", Feed: "adt"}

// journal is an Accept that keeps what it takes. refuse, when set, may refuse.
type journal struct {
	mu     sync.Mutex
	taken  []*broker.Message
	refuse func(ms []*broker.Message) error
}

func (j *journal) accept(_ context.Context, ms ...*broker.Message) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse != nil {
		if err := j.refuse(ms); err != nil {
			return err
		}
	}
	j.taken = append(j.taken, ms...)
	return nil
}

func (j *journal) messages() []*broker.Message {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]*broker.Message(nil), j.taken...)
}

// run starts a source and returns its address and a function that stops it and
// waits for Run to return.
func run(t testing.TB, conf Config, accept broker.Accept) (addr string, stop func()) {
	t.Helper()
	if conf.Listen == "" {
		conf.Listen = "127.0.0.1:0"
	}
	s, err := New(testFeed, conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, accept) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(stop)
	waitFor(t, "the source listens", func() bool { return s.Addr() != nil })
	return s.Addr().String(), stop
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until ", what)
		}
	}
}

// A client speaks MLLP.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(message string) {
	c.t.Helper()
	if _, err := c.Write(appendFrame(nil, []byte(message))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (string, error) {
	if b, err := c.r.ReadByte(); err != nil || b != startBlock {
		return "", errors.Join(err, fmt.Errorf("first byte %#x", b))
	}
	s, err := c.r.ReadString(endBlock)
	if err != nil {
		return "", err
	}
	if b, err := c.r.ReadByte(); err != nil || b != carriage {
		return "", errors.Join(err, fmt.Errorf("last byte %#x", b))
	}
	return s[:len(s)-1], nil
}

func (c *client) ask(message string) *Message {
	c.t.Helper()
	c.send(message)
	answer, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := Parse([]byte(answer))
	if err != nil {
		c.t.Fatalf("%v in %q", err, answer)
	}
	return m
}

func (c *client) closed() bool {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := c.r.ReadByte()
	return errors.Is(err, io.EOF) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func field(m *Message, segment string, n int) string {
	s, _ := m.Find(segment)
	return string(s.Field(n).Raw())
}

// message makes an admission with a control id, MSH-15, MSH-16 and a version.
func message(id, accept, app, version string) string {
	return "MSH|^~\\&|SEND|NORTH|RECV|HQ|20260314||ADT^A08^ADT_A01|" + id + "|P|" + version + "|||" + accept + "|" + app + "\rPID|1||4471123^^^NORTH^MR\r"
}

func TestMessageIsStoredAndAnswered(t *testing.T) {
	t.Parallel()
	j := &journal{}
	provider := sdktrace.NewTracerProvider()
	addr, _ := run(t, Config{Tracer: provider.Tracer("test")}, j.accept)
	sent := message(" 0042", "", "", "2.5.1")
	ack := dial(t, addr).ask(sent)
	for _, want := range []struct {
		segment string
		n       int
		raw     string
	}{
		{"MSH", 2, `^~\&`}, {"MSH", 3, "RECV"}, {"MSH", 4, "HQ"}, {"MSH", 5, "SEND"}, {"MSH", 6, "NORTH"},
		{"MSH", 9, "ACK^A08^ACK"}, {"MSH", 11, "P"}, {"MSH", 12, "2.5.1"}, {"MSA", 1, "AA"}, {"MSA", 2, " 0042"},
	} {
		if got := field(ack, want.segment, want.n); got != want.raw {
			t.Errorf("%s-%d is %q, want %q", want.segment, want.n, got, want.raw)
		}
	}
	if _, found := ack.Find("ERR"); found || field(ack, "MSH", 10) == "" || len(field(ack, "MSH", 10)) > 20 {
		t.Error("an ERR segment, or no control id of its own")
	}
	ms := j.messages()
	if len(ms) != 1 {
		t.Fatalf("%d messages stored", len(ms))
	}
	m := ms[0]
	if m.ID != broker.NewMessageID("north", "main", "adt", "0042", []byte(sent)) || string(m.Body) != sent || m.SenderID != "0042" ||
		m.Kind != "ADT^A08" || m.Format != "hl7v2" || m.Feed != "adt" || m.Group != (broker.Group{}) {
		t.Errorf("stored %v, sender %q", m.LogValue(), m.SenderID)
	}
	if m.ReceivedAt.Location() != time.UTC || time.Since(m.ReceivedAt) > time.Minute || !strings.HasPrefix(m.Trace, "00-") || len(m.Trace) != 55 {
		t.Errorf("received at %v, trace %q", m.ReceivedAt, m.Trace)
	}
}

func TestNothingIsAnsweredBeforeItIsStored(t *testing.T) {
	t.Parallel()
	stored := make(chan struct{})
	addr, _ := run(t, Config{}, func(context.Context, ...*broker.Message) error { <-stored; return nil })
	c := dial(t, addr)
	c.send(message("1", "", "", "2.5.1"))
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("answered before it was stored, or %v", err)
	}
	close(stored)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.read(); err != nil {
		t.Fatal(err)
	}
}

func TestAcknowledgementRules(t *testing.T) {
	t.Parallel()
	var refuse error
	j := &journal{refuse: func([]*broker.Message) error { return refuse }}
	addr, _ := run(t, Config{}, j.accept)
	original, _ := run(t, Config{AckMode: AckOriginal}, j.accept)
	reject := &broker.RejectError{Code: "mapping.required", Err: errors.New("PID-3 is | absent")}
	for _, tt := range []struct {
		accept, app string
		err         error
		code        string // "" means no answer; "-": none, and the connection is closed
		original    bool
	}{
		{"", "", nil, "AA", false},
		{"", "", broker.ErrFull, "AE", false},
		{"", "", errors.New("disk on fire"), "AE", false},
		{"", "", reject, "AR", false},
		{`""`, `""`, nil, "AA", false},
		{"AL", "NE", nil, "CA", false},
		{"AL", "AL", broker.ErrFull, "CE", false},
		{"AL", "AL", reject, "CR", false},
		{"", "AL", nil, "CA", false},
		{" AL ", "", nil, "CA", false},
		{"NE", "AL", nil, "", false},
		{"NE", "NE", reject, "-", false},
		{"ER", "NE", nil, "", false},
		{"ER", "NE", reject, "CR", false},
		{"ER", "NE", broker.ErrFull, "CE", false},
		{"SU", "NE", nil, "CA", false},
		{"SU", "NE", reject, "-", false},
		{"XX", "NE", nil, "CA", false},
		{"NE", "AL", nil, "AA", true},
		{"AL", "NE", reject, "AR", true},
	} {
		name := fmt.Sprintf("MSH-15 %q, MSH-16 %q, %v, always original: %v", tt.accept, tt.app, tt.err, tt.original)
		at := addr
		if tt.original {
			at = original
		}
		c := dial(t, at)
		j.mu.Lock()
		refuse = tt.err
		j.mu.Unlock()
		c.send(message("1", tt.accept, tt.app, "2.5.1"))
		switch tt.code {
		case "-":
			if !c.closed() {
				t.Errorf("%s: answered, or not closed", name)
			}
			continue
		case "": // the next message's answer is the first to come
			ack := c.ask(message("2", "AL", "", "2.5.1"))
			if got := field(ack, "MSA", 2); got != "2" {
				t.Errorf("%s: answered", name)
			}
			continue
		}
		answer, err := c.read()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ack, err := Parse([]byte(answer))
		if err != nil || field(ack, "MSA", 1) != tt.code {
			t.Errorf("%s: %v, %q", name, err, answer)
		}
		_ = c.Close()
	}
}

func TestRefusalsSayWhere(t *testing.T) {
	t.Parallel()
	j := &journal{refuse: func(ms []*broker.Message) error {
		if ms[0].SenderID == "bad" {
			return &broker.RejectError{Code: "mapping.required", Err: errors.New("PID-3 | absent")}
		}
		return nil
	}}
	addr, _ := run(t, Config{MaxFrame: 4096}, j.accept)
	for _, tt := range []struct{ name, message, want string }{
		{"no control id, from 2.5 on", message("", "", "", "2.5.1"), "MSA|AR|\rERR||MSH^1^10|101^Required field missing^HL70357|E||||MSH-10: no message control id\r"},
		{"no control id, in 2.4", message("", "", "", "2.4"), "MSA|AR||MSH-10: no message control id\rERR|MSH^1^10^101&Required field missing&HL70357\r"},
		{"no control id, in the enhanced mode", message("", "AL", "", "2.6"), "MSA|CR|\rERR||MSH^1^10|101^"},
		{"no message type", strings.Replace(message("7", "", "", "2.3"), "ADT^A08^ADT_A01", "", 1), "MSA|AR|7|MSH-9: no message type\rERR|MSH^1^9^101&"},
		{"rejected by the mapping", message("bad", "", "", "2.5.1"), "MSA|AR|bad\rERR|||207^Application internal error^HL70357|E|mapping.required|||mapping.required: PID-3 \\F\\ absent\r"},
		{"rejected by the mapping, in 2.3", message("bad", "", "", "2.3"), "MSA|AR|bad|mapping.required: PID-3 \\F\\ absent\rERR|^^^207&"},
		{"other delimiters", strings.NewReplacer("|", "*", "^", ":").Replace(message("", "", "", "2.5.1")), "MSA*AR*\rERR**MSH:1:10*101:Required field missing:HL70357*E****MSH-10\\S\\ no message control id"},
		{"no header at all", "hello", "MSA|AR|\rERR||MSH^1|100^Segment sequence error^HL70357|E||||MSH: the message does not begin with MSH\r"},
		{"a batch that is cut short", "BHS|^~\\&|A|B|C|D|||||B1\r" + message("1", "", "", "2.5.1") + "BTS|2\r", "MSA|AR|B1\rERR||BTS^1^1|100^"},
	} {
		c := dial(t, addr)
		c.send(tt.message)
		got, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ = strings.Cut(got, "\r")
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q\nwant  %q", tt.name, got, tt.want)
		}
		_ = c.Close()
	}
	if n := len(j.messages()); n != 0 {
		t.Errorf("%d messages stored", n)
	}
}

func TestAnswerHasTheCharacterSetOfTheMessage(t *testing.T) {
	t.Parallel()
	addr, _ := run(t, Config{}, (&journal{}).accept)
	text := strings.TrimSuffix(message("id\u00e9", "AL", "NE", "2.5.1"), "\r")
	text = strings.Replace(text, "|AL|NE", "|AL|NE||UNICODE UTF-16", 1)
	for _, cs := range []charset{{utf16BE.enc, bomBE}, utf16LE} {
		raw, err := cs.encodeAll([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		ack := dial(t, addr).ask(string(raw))
		if !ack.wide || field(ack, "MSA", 1) != "CA" || field(ack, "MSA", 2) != "id\u00e9" || field(ack, "MSH", 18) != "UNICODE UTF-16" {
			t.Errorf("answer %q", ack.Body())
		}
	}
	latin := strings.Replace(message("id\xe9", "AL", "NE", "2.5.1"), "|AL|NE", "|AL|NE||8859/1", 1)
	ack := dial(t, addr).ask(latin)
	if field(ack, "MSA", 2) != "id\xe9" || field(ack, "MSH", 18) != "8859/1" {
		t.Errorf("answer %q", ack.Body())
	}
}

func TestPipelinedMessagesAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	j := &journal{}
	addr, _ := run(t, Config{}, j.accept)
	c := dial(t, addr)
	var all []byte
	for i := range 200 {
		all = append(all, "\r\n"...) // bytes between frames
		all = appendFrame(all, []byte(message(fmt.Sprint(i), "", "", "2.5.1")))
	}
	go func() { _, _ = c.Write(all) }()
	for i := range 200 {
		answer, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		ack, _ := Parse([]byte(answer))
		if got := field(ack, "MSA", 2); got != fmt.Sprint(i) {
			t.Fatalf("answer %d is for message %s", i, got)
		}
	}
	for i, m := range j.messages() {
		if m.SenderID != fmt.Sprint(i) {
			t.Fatalf("message %s stored at place %d", m.SenderID, i)
		}
	}
}

func TestBatchIsStoredInOneStepAndAnsweredAsABatch(t *testing.T) {
	t.Parallel()
	var calls int
	j := &journal{refuse: func([]*broker.Message) error { calls++; return nil }}
	addr, _ := run(t, Config{}, j.accept)
	c := dial(t, addr)
	c.send(mustReadFile("testdata/batch.hl7"))
	answer, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(strings.TrimSuffix(answer, "\r"), "\r") {
		f := strings.Split(l, "|")
		switch f[0] {
		case "FHS", "BHS":
			l = f[0] + " " + f[2] + " to " + f[4] + " answers " + f[11]
		case "MSH":
			l = f[8]
		}
		lines = append(lines, l)
	}
	want := []string{"FHS VAGUS to BILL answers FILE1", "BHS VAGUS to BILL answers BATCH1", "ACK^P03^ACK", "MSA|AA|D1", "ACK^P03^ACK", "MSA|AA|D2", "BTS|2", "FTS|1"}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("answer\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	ms := j.messages()
	if len(ms) != 2 || calls != 1 {
		t.Fatalf("%d messages in %d calls", len(ms), calls)
	}
	for i, m := range ms {
		if m.Group.Index != i || m.Group.Count != 2 || m.Group.ID == "" || m.Group.ID != ms[0].Group.ID || !bytes.HasPrefix(m.Body, []byte("MSH|")) || bytes.Contains(m.Body, []byte("BTS")) {
			t.Errorf("message %d: group %+v, %d bytes", i, m.Group, len(m.Body))
		}
	}
}

func TestOneBadMessageOfABatchDoesNotHoldTheOthers(t *testing.T) {
	t.Parallel()
	j := &journal{refuse: func(ms []*broker.Message) error {
		for _, m := range ms {
			if m.SenderID == "bad" {
				return &broker.RejectError{Code: "x", Err: errors.New("y")}
			}
		}
		return nil
	}}
	addr, _ := run(t, Config{}, j.accept)
	c := dial(t, addr)
	c.send(message("1", "", "", "2.3") + message("bad", "", "", "2.3") + message("", "", "", "2.3") + message("4", "", "", "2.3"))
	answer, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, l := range strings.Split(answer, "\r") {
		if f := strings.Split(l, "|"); f[0] == "MSA" {
			codes = append(codes, f[1]+f[2])
		}
	}
	if got := strings.Join(codes, " "); got != "AA1 ARbad AR AA4" {
		t.Errorf("answers %s", got)
	}
	if ms := j.messages(); len(ms) != 2 || ms[1].Group.Index != 3 || ms[1].Group.Count != 4 {
		t.Errorf("%d messages stored", len(ms))
	}
}

// merge makes a merge with these segments behind its EVN.
func merge(id string, segments ...string) string {
	return "MSH|^~\\&|REG|NORTH|RECV|HQ|20260401||ADT^A40^ADT_A39|" + id + "|P|2.3.1\rSFT|x\rEVN|A40\r" + strings.Join(segments, "")
}

func TestEachPairOfAMergeIsAMessageAndAllHaveOneAnswer(t *testing.T) {
	t.Parallel()
	j := &journal{}
	addr, _ := run(t, Config{}, j.accept)
	c := dial(t, addr)
	sent := merge("M1", "PID|1||1\rPD1|x\rMRG|2\r", "PID|2||3\r\nMRG|4\r\nPV1|1\r\n", "PID|3||2\rMRG|5")
	for range 2 {
		if ack := c.ask(sent); field(ack, "MSA", 1) != "AA" || field(ack, "MSA", 2) != "M1" || bytes.Count(ack.Body(), []byte("MSA|")) != 1 {
			t.Fatalf("answered %q", ack.Body())
		}
	}
	ms := j.messages()
	if len(ms) != 6 {
		t.Fatalf("%d messages stored", len(ms))
	}
	for i, want := range []string{merge("M1", "PID|1||1\rPD1|x\rMRG|2\r"), merge("M1", "PID|2||3\r\nMRG|4\r\nPV1|1\r\n"), merge("M1", "PID|3||2\rMRG|5")} {
		m := ms[i]
		if string(m.Body) != want || m.SenderID != "M1" || m.Kind != "ADT^A40" || m.ID != broker.NewMessageID("north", "main", "adt", "M1", []byte(want)) || m.ID != ms[i+3].ID {
			t.Errorf("pair %d is %q", i, m.Body)
		}
		if m.Group.ID == "" || m.Group.ID != ms[0].Group.ID || m.Group.Index != i || m.Group.Count != 3 {
			t.Errorf("pair %d is in group %+v", i, m.Group)
		}
	}
}

func TestWhatIsNoListOfPairsStaysOneMessage(t *testing.T) {
	t.Parallel()
	two := []string{"PID|1||1\rMRG|2\r", "PID|2||3\rMRG|4\r"}
	for name, sent := range map[string]string{
		"one pair":                         merge("M1", two[0]),
		"a PID without MRG":                merge("M1", two[0], "PID|2||3\r"),
		"a PID without MRG before another": merge("M1", "PID|2||3\r", two[0]),
		"two MRG of one PID":               merge("M1", two[0], "PID|2||3\rMRG|4\rMRG|5\r"),
		"an MRG before the first PID":      merge("M1", "MRG|9\r", two[0], two[1]),
		"another message type":             strings.Replace(merge("M1", two...), "ADT^A40^ADT_A39", "ORU^R01^ORU_R01", 1),
		"much that they share":             merge("M1", "NTE|1||"+strings.Repeat("x", maxShared)+"\r", two[0], two[1]),
		"a swap of beds":                   strings.Replace(merge("M1", "PID|1||1\rPV1|1\r", "PID|2||3\rPV1|1||MRG\r"), "A40^ADT_A39", "A17^ADT_A17", 1),
	} {
		j := &journal{}
		addr, stop := run(t, Config{}, j.accept)
		if code := field(dial(t, addr).ask(sent), "MSA", 1); code != "AA" {
			t.Errorf("%s: answered %s", name, code)
		}
		stop()
		if ms := j.messages(); len(ms) != 1 || string(ms[0].Body) != sent || ms[0].Group != (broker.Group{}) {
			t.Errorf("%s: %d messages stored", name, len(ms))
		}
	}
}

// A merge has one answer: none of its pairs is taken when one of them is rejected. It does
// not hold what is sent with it in a batch, and a batch counts pairs.
func TestTheOtherMessagesOfABatchDoNotWaitForAMerge(t *testing.T) {
	t.Parallel()
	j := &journal{refuse: func(ms []*broker.Message) error {
		for _, m := range ms {
			if bytes.Contains(m.Body, []byte("bad")) {
				return &broker.RejectError{Code: "x", Err: errors.New("y")}
			}
		}
		return nil
	}}
	addr, _ := run(t, Config{}, j.accept)
	c := dial(t, addr)
	good := merge("M2", "PID|1||1\rMRG|2\r", "PID|2||3\rMRG|4\r")
	c.send(message("1", "", "", "2.3") + merge("M1", "PID|1||1\rMRG|2\r", "PID|2||bad\rMRG|4\r") + good)
	answer, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MSA|AA|1\r", "MSA|AR|M1|x: y\rERR|^^^207&", "MSA|AA|M2\r"} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %q in %q", want, answer)
		}
	}
	var places []string
	for _, m := range j.messages() {
		places = append(places, fmt.Sprintf("%s %d/%d", m.SenderID, m.Group.Index, m.Group.Count))
	}
	if got := strings.Join(places, ", "); got != "1 0/5, M2 3/5, M2 4/5" {
		t.Errorf("stored %s", got)
	}

	many := strings.Repeat("PID|1||1\rMRG|2\r", maxBatch)
	c.send(message("3", "", "", "2.5.1") + merge("M3", many) + message("4", "", "", "2.5.1"))
	if answer, err = c.read(); err != nil || strings.Count(answer, "MSA|AR") != 2 || !strings.Contains(answer, "MSA|AA|3\r") || !strings.Contains(answer, "over 10000 messages in one batch") {
		t.Errorf("%v, %.900q", err, answer)
	}
}

func TestFrameOverTheLimitIsRefusedAndTheConnectionClosed(t *testing.T) {
	t.Parallel()
	j := &journal{}
	addr, _ := run(t, Config{MaxFrame: 1 << 20}, j.accept)
	c := dial(t, addr)
	big := message("big", "", "", "2.5.1") + "OBX|1|TX|||" + strings.Repeat("x", 1<<20-300) + "\r"
	if ack := c.ask(big); field(ack, "MSA", 1) != "AA" {
		t.Fatal("a message under the limit was refused")
	}
	go func() { _, _ = c.Write(appendFrame(nil, []byte(big+strings.Repeat("x", 1000)))) }()
	answer, err := c.read()
	if err != nil || !strings.Contains(answer, "MSA|AR|big\r") {
		t.Errorf("%v, %q", err, answer)
	}
	if !c.closed() || len(j.messages()) != 1 {
		t.Error("not closed, or stored")
	}
}

func TestConnectionsThatSendNoFrameAreClosed(t *testing.T) {
	t.Parallel()
	addr, _ := run(t, Config{IdleTimeout: 50 * time.Millisecond, ReadTimeout: 50 * time.Millisecond}, (&journal{}).accept)
	for name, sent := range map[string]string{
		"silence":      "",
		"half a frame": "\x0bMSH|^~\\&|",
	} {
		c := dial(t, addr)
		_, _ = io.WriteString(c, sent)
		if !c.closed() {
			t.Errorf("%s: not closed", name)
		}
	}
}

func TestBytesOutsideFramesAreBounded(t *testing.T) {
	t.Parallel()
	noise := strings.Repeat("x", maxBetween-smallBuffer)
	r := newFrameReader(strings.NewReader(noise+"\x0bone\x1c\r"+noise+noise), 100)
	if frame, err := r.next(func() {}); err != nil || string(frame) != "one" || r.discarded != len(noise) {
		t.Errorf("%q, %v, %d bytes discarded", frame, err, r.discarded)
	}
	if _, err := r.next(func() {}); !errors.Is(err, errOutside) {
		t.Errorf("after too many: %v", err)
	}
}

func TestConnectionsOverTheLimitAreClosedAndCounted(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	addr, _ := run(t, Config{MaxConnections: 2, Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")}, (&journal{}).accept)
	a, b := dial(t, addr), dial(t, addr)
	a.ask(message("1", "", "", "2.5.1"))
	b.ask(message("2", "", "", "2.5.1"))
	if !dial(t, addr).closed() {
		t.Error("a third connection stays open")
	}
	if got := counter(t, reader, "vagus.source.refused_connections"); got != 1 {
		t.Errorf("%d refused connections counted", got)
	}
	_ = a.Close()
	waitFor(t, "a place is free", func() bool {
		c := dial(t, addr)
		defer c.Close()
		c.send(message("3", "", "", "2.5.1"))
		_, err := c.read()
		return err == nil
	})
}

func TestControlIDUsedAgain(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	reader := metric.NewManualReader()
	j := &journal{}
	addr, stop := run(t, Config{Logger: slog.New(slog.NewJSONHandler(&logged, nil)), Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")}, j.accept)
	c := dial(t, addr)
	for _, m := range []string{message("CANARY-ID", "", "", "2.5.1"), message("CANARY-ID", "", "", "2.5.1"), message("CANARY-ID", "", "", "2.4"), message("", "", "", "2.5.1"), "CANARY", merge("CANARY-M", "PID|1||1\rMRG|2\r", "PID|2||3\rMRG|4\r")} {
		c.ask(m)
	}
	stop()
	ms := j.messages()
	if len(ms) != 5 || ms[0].ID != ms[1].ID || ms[0].ID == ms[2].ID {
		t.Errorf("%d messages stored", len(ms))
	}
	for name, want := range map[string]int64{"received": 6, "accepted": 4, "refused": 2, "reused_control_ids": 1, "connections": 0} {
		if got := counter(t, reader, "vagus.source."+name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if out := logged.String(); !strings.Contains(out, "control id used again") || strings.Contains(out, "CANARY") || strings.Contains(out, "4471123") {
		t.Errorf("log: %s", out)
	}
}

func counter(t *testing.T, r metric.Reader, name string) (sum int64) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, p := range data.DataPoints {
					sum += p.Value
				}
			}
		}
	}
	return sum
}

func TestStopFinishesTheMessageInHand(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	j := &journal{}
	addr, stop := run(t, Config{}, func(ctx context.Context, ms ...*broker.Message) error {
		close(entered)
		<-release
		if err := ctx.Err(); err != nil {
			return err
		}
		return j.accept(ctx, ms...)
	})
	idle, busy := dial(t, addr), dial(t, addr)
	busy.send(message("1", "", "", "2.5.1"))
	<-entered
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	if !idle.closed() {
		t.Error("an idle connection stays open")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("a new connection is taken")
	}
	close(release)
	answer, err := busy.read()
	if err != nil || !strings.Contains(answer, "MSA|AA|1") {
		t.Errorf("%v, %q", err, answer)
	}
	if !busy.closed() {
		t.Error("the busy connection stays open")
	}
	<-stopped
	if len(j.messages()) != 1 {
		t.Error("not stored")
	}
}

func TestNewNamesTheSettingAtFault(t *testing.T) {
	t.Parallel()
	for want, conf := range map[string]Config{
		"listen":          {},
		"max_frame":       {Listen: "127.0.0.1:0", MaxFrame: 3},
		"max_connections": {Listen: "127.0.0.1:0", MaxConnections: -1},
		"read_timeout":    {Listen: "127.0.0.1:0", ReadTimeout: -1},
		"ack_mode":        {Listen: "127.0.0.1:0", AckMode: "never"},
		"key_file":        {Listen: "127.0.0.1:0", TLS: reception.TLS{CertFile: "x"}},
		"cert_file":       {Listen: "127.0.0.1:0", TLS: reception.TLS{CertFile: "/nowhere", KeyFile: "/nowhere"}},
	} {
		if _, err := New(testFeed, conf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
