package hl7

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// receiverScript is a receiver made of Debian's python3-hl7: it parses each
// message, answers with what the library makes of it, and prints MSH-10. The third
// message it drops with the connection.
const receiverScript = `
import asyncio, sys, hl7, hl7.mllp
count = 0
async def serve(reader, writer):
    global count
    try:
        while not writer.is_closing():
            m = await reader.readmessage()
            count += 1
            print("got", m.extract_field("MSH", 1, 10), m.extract_field("ITM", 1, 1), flush=True)
            if count == 3:
                writer.close()
                return
            writer.writemessage(m.create_ack("AR" if count == 5 else "AA"))
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
async def main():
    async with await hl7.mllp.start_hl7_server(serve, "127.0.0.1", 0) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()
asyncio.run(main())
`

// TestARealReceiver sends to the MLLP server of python3-hl7. It runs where
// VAGUS_PEERS=1 asks for peers.
func TestARealReceiver(t *testing.T) {
	t.Parallel()
	if os.Getenv("VAGUS_PEERS") != "1" {
		t.Log("NOT RUN: peers were not asked for (VAGUS_PEERS is not 1)")
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-c", receiverScript)
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
	lines := bufio.NewScanner(out)
	line := func() (a, b string) {
		if !lines.Scan() {
			cancel()
			_ = cmd.Wait()
			t.Fatalf("the receiver ended: %s", said.String())
		}
		f := strings.Fields(lines.Text())
		return f[1], f[len(f)-1]
	}
	port, _ := line()
	s := newSink(t, SinkConfig{Connect: "127.0.0.1:" + port})
	for _, want := range []struct {
		n      int
		result broker.Result
		fails  bool
	}{{0, broker.Applied, false}, {1, broker.Applied, false}, {2, 0, true}, {2, broker.Applied, false}, {3, broker.Rejected, false}, {4, broker.Applied, false}} {
		o, err := one(t, s, connector.Unit(want.n))
		if (err != nil) != want.fails || err == nil && o.Result != want.result {
			t.Errorf("message %d: %v %v, want %v", want.n, o, err, want.result)
		}
		id, code := line()
		if id != connector.Unit(want.n).ID[:20] || code != fmt.Sprintf("P-%d", want.n) {
			t.Errorf("message %d came as %s %s", want.n, id, code)
		}
	}
	cancel()
	_ = cmd.Wait()
}
