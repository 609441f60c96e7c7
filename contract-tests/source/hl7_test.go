package source_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/contract-tests/source"
	"github.com/vagus-health/vagus/internal/app/demo"
)

type mllp struct{ *demo.Sender }

func (m mllp) Send(ctx context.Context, body []byte) (source.Answer, error) {
	code, _, err := m.Sender.Send(ctx, body)
	if err != nil {
		return 0, err
	}
	switch code {
	case "AA", "CA":
		return source.Accepted, nil
	case "AE", "CE":
		return source.TryAgain, nil
	case "AR", "CR":
		return source.AtFault, nil
	}
	return 0, fmt.Errorf("MSA-1 is %q", code)
}

func TestMLLPKeepsWhatASourcePromises(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"original mode": "", "enhanced mode": "|||AL|NE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source.Run(t, source.Connector{
				New: func(t *testing.T) (broker.Source, func(*testing.T) source.Client) {
					src, err := hl7.New(broker.Origin{Tenant: "main", Site: "north", Feed: "adt"}, hl7.Config{Listen: "127.0.0.1:0", MaxFrame: 64 << 10})
					if err != nil {
						t.Fatal(err)
					}
					return src, func(t *testing.T) source.Client {
						t.Helper()
						for deadline := time.Now().Add(10 * time.Second); src.Addr() == nil; time.Sleep(time.Millisecond) {
							if time.Now().After(deadline) {
								t.Fatal("the source does not listen")
							}
						}
						c, err := demo.Dial(t.Context(), src.Addr().String())
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = c.Close() })
						return mllp{c}
					}
				},
				Message: func(n int) []byte {
					return fmt.Appendf(nil, "MSH|^~\\&|EPIC|NORTH|VAGUS|CLOUD|20260314091522||ADT^A08^ADT_A01|MSG%05d|P|2.5.1%s\rPID|1||%d^^^NORTH^MR||Doe^Jane\r", n, header, n)
				},
				Garbage:  []byte("GET / HTTP/1.1\r\nHost: hospital\r\n\r\n"),
				TooLarge: append([]byte("MSH|^~\\&|EPIC|NORTH|||20260314091522||ADT^A08|BIG|P|2.5.1\rNTE|1||"), bytes.Repeat([]byte("x"), 100<<10)...),
			})
		})
	}
}
