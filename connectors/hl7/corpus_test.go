package hl7

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

// TestCorpus sends every file of the corpus that VAGUS_CORPORA names, and of
// testdata, to a listening source as one frame and to a receiver as one body, and holds what is answered and what accept
// got against the file: each message in it is on storage with its bytes and answered
// AA, or answered AR with the place of what is wrong; no byte is left over, and
// what was stored parses, decodes and is the same bytes again.
func TestCorpus(t *testing.T) {
	t.Parallel()
	roots := []string{"testdata"}
	if root := os.Getenv("VAGUS_CORPORA"); root != "" {
		roots = append(roots, filepath.Join(root, "hl7v2"))
	} else if os.Getenv("CI") == "true" {
		t.Fatal("VAGUS_CORPORA is not set: it must name the directory of test data")
	}
	j := &journal{}
	addr, _ := run(t, Config{AckMode: AckOriginal, MaxFrame: 64 << 20}, j.accept)
	c := dial(t, addr)
	other := &journal{}
	r, err := NewReceiver(testFeed, Config{AckMode: AckOriginal})
	if err != nil {
		t.Fatal(err)
	}
	stored, refused := 0, 0
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || slices.Contains([]string{".json", ".go"}, filepath.Ext(path)) {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil || len(bytes.TrimSpace(data)) == 0 || bytes.Contains(data, []byte{endBlock, carriage}) {
				return err
			}
			before := len(j.messages())
			c.send(string(data))
			answer, err := c.read()
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			good, bad := answered(t, path, data, answer, j.messages()[before:])
			stored, refused = stored+good, refused+bad

			before = len(other.messages())
			got, _ := r.Receive(t.Context(), broker.Delivery{Type: mediaType, Body: data}, other.accept)
			if s, r := answered(t, path, data, string(got.Answer), other.messages()[before:]); s != good || r != bad || outcomes(string(got.Answer)) != outcomes(answer) {
				t.Errorf("%s: over HTTP\n%s\nand over MLLP\n%s", path, outcomes(string(got.Answer)), outcomes(answer))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages stored, %d refused", stored, refused)
	if stored < 5 || refused < 5 || len(roots) > 1 && stored < 300 {
		t.Errorf("only %d messages in the corpus stored, %d refused", stored, refused)
	}
}

// outcomes are what an answer says without what differs from one to the next.
func outcomes(answer string) string {
	var out []string
	for line := range strings.SplitSeq(answer, "\r") {
		if strings.HasPrefix(line, "MSA") || strings.HasPrefix(line, "ERR") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// answered checks the answer to one file, and returns how many messages were
// stored and how many refused.
func answered(t *testing.T, path string, data []byte, answer string, got []*broker.Message) (stored, refused int) {
	t.Helper()
	b, err := split([]byte(answer))
	if err != nil {
		t.Errorf("%s: the answer: %v", path, err)
		return 0, 1
	}
	rest, next := data, 0
	for _, g := range b.groups {
		for _, raw := range g.messages {
			ack, err := Parse(raw)
			if err != nil {
				t.Errorf("%s: the answer: %v", path, err)
				continue
			}
			switch code := field(ack, "MSA", 1); code {
			case "AA":
				stored++
				if next == len(got) {
					t.Errorf("%s: answered AA %d times, %d messages stored", path, stored, len(got))
					return stored, refused
				}
				m := got[next]
				whole := m.Body
				for next++; next < len(got) && bytes.Contains(m.Body, []byte("MRG|")) && got[next].SenderID == m.SenderID; next++ { // its other pairs
					whole = append(whole[:len(whole):len(whole)], got[next].Body[bytes.Index(got[next].Body, []byte("PID|")):]...)
				}
				if id := strings.TrimSpace(field(ack, "MSA", 2)); id != m.SenderID && isASCII([]byte(m.SenderID)) {
					t.Errorf("%s: AA for another message", path)
				}
				before, after, found := bytes.Cut(rest, whole)
				if !found {
					t.Errorf("%s: what was stored is not what was sent", path)
				}
				leftOut(t, path, before, refused > 0)
				rest = after
				readable(t, path, m.Body)
			case "AR":
				refused++
				if e, found := ack.Find("ERR"); !found || !saysWhere(ack, e) {
					t.Errorf("%s: refused without a place or a reason, or not in the words of its version: %q", path, raw)
				}
			default:
				t.Errorf("%s: answered %s", path, code)
			}
		}
	}
	if next != len(got) {
		t.Errorf("%s: %d messages stored, %d answered AA", path, len(got), next)
	}
	leftOut(t, path, rest, refused > 0)
	return stored, refused
}

var (
	errPlace = regexp.MustCompile(`^[A-Z][A-Z0-9]{2}\^1(\^[1-9][0-9]*)?$`)
	errOld   = regexp.MustCompile(`^[A-Z][A-Z0-9]{2}\^1\^([1-9][0-9]*)?\^(10[0-4]|20[0-7])&[A-Z][a-z ]+&HL70357$`)
	errCode  = regexp.MustCompile(`^(10[0-4]|20[0-7])\^[A-Z][a-z ]+\^HL70357$`)
)

// saysWhere holds a refusal against the standard: ERR-1 and MSA-3 before version 2.5, from then on ERR-2, 3, 4 and 8.
func saysWhere(ack *Message, e Segment) bool {
	at := func(n int) string { return string(e.Field(n).Raw()) }
	if v := field(ack, "MSH", 12); strings.HasPrefix(v, "2.") && v < "2.5" {
		return errOld.MatchString(at(1)) && at(2)+at(3)+at(8) == "" && field(ack, "MSA", 3) != ""
	}
	return at(1) == "" && errPlace.MatchString(at(2)) && errCode.MatchString(at(3)) && at(4) == "E" && at(8) != "" && field(ack, "MSA", 3) == ""
}

// leftOut checks that bytes which belong to no stored message are a batch's own
// segments, unless a message of the file was refused.
func leftOut(t *testing.T, path string, left []byte, refused bool) {
	t.Helper()
	if refused {
		return
	}
	for line := range bytes.FieldsFuncSeq(left, func(r rune) bool { return r == '\r' || r == '\n' }) {
		line = bytes.TrimPrefix(bytes.TrimSpace(line), []byte("\xef\xbb\xbf"))
		if name := string(line[:min(3, len(line))]); len(line) > 0 && !slices.Contains([]string{"FHS", "BHS", "BTS", "FTS"}, name) {
			t.Errorf("%s: %d bytes are in no message", path, len(line))
		}
	}
}

// readable checks what was stored by itself.
func readable(t *testing.T, path string, raw []byte) {
	t.Helper()
	m, err := Parse(raw)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if !m.wide && !bytes.Equal(rebuild(m), raw) {
		t.Errorf("%s: the views do not give the same bytes again", path)
	}
	decoded, err := in(t, "2.5.1").Decode(raw, nil)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if decoded.Root.First("MSH") == nil {
		t.Errorf("%s: the tree has no MSH", path)
	}
}
