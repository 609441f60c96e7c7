package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

var nextPort atomic.Uint32

// FreeAddr returns a loopback address that a process may listen on later. It
// takes ports below those that the system gives to outgoing connections.
func FreeAddr() (string, error) {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12000+(uint32(os.Getpid())*61+nextPort.Add(1))%18000)
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr, nil
		}
	}
	return "", errors.New("no free port")
}

// Wait waits until a condition holds. It is an error, which names what was waited for, if
// that is not so in time or ctx is done before.
func Wait(ctx context.Context, what string, limit time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ok() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%v passed without %s", limit, what)
		}
	}
	return nil
}

// Answers says whether somebody listens at an address.
func Answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}
