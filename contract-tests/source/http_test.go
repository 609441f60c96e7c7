package source_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/contract-tests/source"
)

// A poster is one connection of a sender of webhooks.
type poster struct {
	addr   string
	client *http.Client
}

func (p *poster) Send(ctx context.Context, body []byte) (source.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr+"/", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, err
	}
	switch res.StatusCode {
	case 200, 202:
		return source.Accepted, nil
	case 429, 503:
		return source.TryAgain, nil
	case 400, 413, 422:
		return source.AtFault, nil
	}
	return 0, fmt.Errorf("answered %s", res.Status)
}

func (p *poster) SendPart(body []byte) error {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", p.addr, len(body)+1, body)
	return err
}

func (p *poster) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

func TestHTTPKeepsWhatASourcePromises(t *testing.T) {
	t.Parallel()
	source.Run(t, source.Connector{
		New: func(t *testing.T) (broker.Source, func(*testing.T) source.Client) {
			r, err := webhook.NewReceiver(broker.Origin{Tenant: "main", Site: "north", Feed: "orders"}, webhook.JSON{ID: "id"})
			if err != nil {
				t.Fatal(err)
			}
			src, err := webhook.New("orders", webhook.Config{Listen: "127.0.0.1:0", Open: true, MaxBody: 64 << 10}, r)
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
				p := &poster{src.Addr().String(), &http.Client{Transport: &http.Transport{}}}
				t.Cleanup(func() { _ = p.Close() })
				return p
			}
		},
		Message:  func(n int) []byte { return fmt.Appendf(nil, `{"id": %d, "name": "Doe"}`, n) },
		Garbage:  []byte("MSH|^~\\&|EPIC"),
		TooLarge: fmt.Appendf(nil, `{"id": 1, "note": %q}`, bytes.Repeat([]byte("x"), 100<<10)),
	})
}
