package bed

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

const relayRole = "relay"

// Relay returns a process that carries TCP connections from one address to another, as
// a server's front does whose database is elsewhere: it can be killed and stopped, and what
// stands behind it lives on. It does not start it.
func Relay(name, dir, listen, to string) (*Process, error) {
	conf := dir + "/" + name
	if err := os.WriteFile(conf, []byte(listen+" "+to), 0o600); err != nil {
		return nil, err
	}
	return Vagus(name, relayRole, conf)
}

func relay(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	listen, to, _ := strings.Cut(string(text), " ")
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		in, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("relay %s: %w", listen, err)
		}
		go carry(in, to)
	}
}

func carry(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, in); _ = out.Close(); _ = in.Close() })
	both.Go(func() { _, _ = io.Copy(in, out); _ = out.Close(); _ = in.Close() })
	both.Wait()
}
