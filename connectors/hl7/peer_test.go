package hl7

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRealSender starts mllp_send, the MLLP client of Debian's python3-hl7,
// against the source. It runs where VAGUS_PEERS=1 asks for peers.
func TestRealSender(t *testing.T) {
	t.Parallel()
	if os.Getenv("VAGUS_PEERS") != "1" {
		t.Log("NOT RUN: peers were not asked for (VAGUS_PEERS is not 1)")
		return
	}
	sender, err := exec.LookPath("mllp_send")
	if err != nil {
		t.Fatal("VAGUS_PEERS=1 needs mllp_send: apt-get install python3-hl7")
	}
	j := &journal{}
	addr, _ := run(t, Config{}, j.accept)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	for _, name := range []string{"adt_a01", "adt_a40"} {
		sent = append(sent, mustReadFile("testdata/"+name+".hl7"))
	}
	sent = append(sent, message("77", "", "", "2.3"), message("78", "NE", "NE", "2.3")[:30]+"\r") // the last is cut: no control id
	file := filepath.Join(t.TempDir(), "messages")
	var framed []byte
	for _, m := range sent {
		framed = appendFrame(framed, []byte(m))
	}
	if err := os.WriteFile(file, framed, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sender, "--port", port, "--file", file, "127.0.0.1")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var codes []string
	for _, line := range strings.FieldsFunc(string(out), func(r rune) bool { return r == '\r' || r == '\n' }) {
		if f := strings.Split(line, "|"); f[0] == "MSA" {
			codes = append(codes, f[1]+" "+f[2])
		}
	}
	if got := strings.Join(codes, ", "); got != "CA MSG00042, AA MSG00102, AA 77, AR " {
		t.Errorf("the sender printed %s\n%q", got, out)
	}
	// The sender strips the last CR of a message before it frames it.
	for i := range sent {
		sent[i] = strings.TrimRight(sent[i], "\r")
	}
	j.has(t, sent[0], sent[1], sent[2])
}

// has checks that these messages are stored, the second of them, a merge of two pairs, as one for each pair.
func (j *journal) has(t *testing.T, before, merge, after string) {
	t.Helper()
	first, second := strings.Index(merge, "PID|"), strings.LastIndex(merge, "PID|")
	want := []string{before, merge[:second], merge[:first] + merge[second:], after}
	ms := j.messages()
	if len(ms) != len(want) {
		t.Fatalf("%d messages stored", len(ms))
	}
	for i, m := range ms {
		if string(m.Body) != want[i] {
			t.Errorf("message %d is stored as\n%q, and was sent as\n%q", i, m.Body, want[i])
		}
	}
}
