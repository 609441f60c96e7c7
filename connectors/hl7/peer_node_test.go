package hl7

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// nodePeers is where contract-tests/setup.sh puts simple-hl7, an MLLP client and server of Node.
const nodePeers = "../../contract-tests/peers/node_modules"

// startNode runs a script with simple-hl7 as `hl7` and returns what it prints; ok is false where peers
// were not asked for.
func startNode(t *testing.T, script string, args ...string) (lines func() []string, ok bool) {
	t.Helper()
	if os.Getenv("VAGUS_PEERS") != "1" {
		t.Log("NOT RUN: peers were not asked for (VAGUS_PEERS is not 1)")
		return nil, false
	}
	modules, err := filepath.Abs(nodePeers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "simple-hl7")); err != nil {
		t.Fatal("VAGUS_PEERS=1 needs simple-hl7: run contract-tests/setup.sh")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	cmd := exec.CommandContext(ctx, "node", append([]string{"-e", "const hl7 = require('simple-hl7');" + script, "--"}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.WaitDelay = time.Second
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	in := bufio.NewScanner(out)
	return func() []string {
		t.Helper()
		if !in.Scan() {
			t.Fatal("the peer has ended")
		}
		return strings.Fields(in.Text())
	}, true
}

// nodeSender sends the messages of files, one after the other, and prints each as it went out, with MSA-1 and
// MSA-2 of its answer.
const nodeSender = `
const fs = require('fs'), [, port, ...files] = process.argv;
const client = hl7.Server.createTcpClient({ host: '127.0.0.1', port: port, keepalive: true });
const next = (i) => {
  if (i === files.length) return client.close();
  const m = new hl7.Parser({ segmentSeperator: '\r' }).parse(fs.readFileSync(files[i], 'utf8').trimEnd());
  client.send(m, (err, ack) => {
    const msa = ack.getSegment('MSA');
    console.log(msa.getField(1) || '-', msa.getField(2) || '-', Buffer.from(m.toString()).toString('base64'));
    setImmediate(next, i + 1); // it still waits while it calls us
  });
};
next(0);
`

// TestASenderOfNode sends by simple-hl7, which reads and writes messages in its own way.
func TestASenderOfNode(t *testing.T) {
	t.Parallel()
	j := &journal{}
	addr, _ := run(t, Config{}, j.accept)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir, args := t.TempDir(), []string{port, "testdata/adt_a01.hl7", "testdata/adt_a40.hl7"}
	for name, text := range map[string]string{"text": strings.Replace(message("78", "", "", "2.5.1"), "PID|", "PID|1||Ünïcode^\\T\\^~||", 1), "no-id": message("", "", "", "2.3")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line, ok := startNode(t, nodeSender, append(args, filepath.Join(dir, "text"), filepath.Join(dir, "no-id"))...)
	if !ok {
		return
	}
	var sent []string
	for i, want := range []string{"CA MSG00042", "AA MSG00102", "AA 78", "AR -"} {
		got := line()
		if strings.Join(got[:2], " ") != want {
			t.Errorf("message %d is answered %v, want %s", i, got[:2], want)
		}
		body, err := base64.StdEncoding.DecodeString(got[2])
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, string(body))
	}
	j.has(t, sent[0], sent[1], sent[2])
}

// nodeReceiver answers with the acknowledgements that simple-hl7 makes, refuses the fifth message, and ends the
// connection instead of answering the third.
const nodeReceiver = `
let count = 0;
const app = hl7.tcp();
app.use((req, res) => {
  console.log('got', req.msg.header.getField(8), req.msg.getSegment('ITM').getField(1));
  if (++count === 3) return res.socket.destroy();
  if (count === 5) res.ack.getSegment('MSA').setField(1, 'AR');
  res.end();
});
app.use((err, req, res, next) => console.log('error', err));
const s = app.start(0);
s.server.on('listening', () => console.log('port', s.server.address().port));
`

// TestAReceiverOfNode sends to the server of simple-hl7.
func TestAReceiverOfNode(t *testing.T) {
	t.Parallel()
	line, ok := startNode(t, nodeReceiver)
	if !ok {
		return
	}
	s := newSink(t, SinkConfig{Connect: "127.0.0.1:" + line()[1]})
	for _, want := range []struct {
		n      int
		result broker.Result
		fails  bool
	}{{0, broker.Applied, false}, {1, broker.Applied, false}, {2, 0, true}, {2, broker.Applied, false}, {3, broker.Rejected, false}, {4, broker.Applied, false}} {
		o, err := one(t, s, connector.Unit(want.n))
		if (err != nil) != want.fails || err == nil && o.Result != want.result {
			t.Errorf("message %d: %v %v, want %v", want.n, o, err, want.result)
		}
		if got := line(); strings.Join(got, " ") != fmt.Sprintf("got %s P-%d", connector.Unit(want.n).ID[:20], want.n) {
			t.Errorf("message %d came as %v", want.n, got)
		}
	}
}
