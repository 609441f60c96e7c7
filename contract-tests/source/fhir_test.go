package source_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/contract-tests/source"
)

// A fhirSender sends resources over one connection.
type fhirSender struct {
	addr string
	http *http.Client
	conn net.Conn // open from the start, as that of a sender that says nothing is
}

func dialFHIR(t *testing.T, addr string) *fhirSender {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &fhirSender{addr: addr, conn: conn}
	first := conn
	s.http = &http.Client{Transport: &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if c := first; c != nil {
				first = nil
				return c, nil
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *fhirSender) Send(ctx context.Context, body []byte) (source.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/Patient", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusCreated:
		return source.Accepted, nil
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		return source.TryAgain, nil
	case resp.StatusCode/100 == 4:
		return source.AtFault, nil
	}
	return 0, fmt.Errorf("status %d", resp.StatusCode)
}

func (s *fhirSender) SendPart(body []byte) error {
	_, err := fmt.Fprintf(s.conn, "POST /Patient HTTP/1.1\r\nHost: vagus\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, body)
	return errors.Join(err, s.conn.Close())
}

func (s *fhirSender) Close() error {
	s.http.CloseIdleConnections()
	_ = s.conn.Close()
	return nil
}

func TestTheFHIREndpointKeepsWhatASourcePromises(t *testing.T) {
	t.Parallel()
	source.Run(t, source.Connector{
		New: func(t *testing.T) (broker.Source, func(*testing.T) source.Client) {
			src, err := fhir.New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, fhir.Config{Endpoint: &fhir.Endpoint{Listen: "127.0.0.1:0", MaxBody: 64 << 10}})
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
				return dialFHIR(t, src.Addr().String())
			}
		},
		Message: func(n int) []byte {
			return fmt.Appendf(nil, `{"resourceType":"Patient","id":"p%d","meta":{"versionId":"1"},"name":[{"family":"Doe"}]}`, n)
		},
		Garbage:  []byte("MSH|^~\\&|EPIC|NORTH|VAGUS|CLOUD|20260314091522||ADT^A08|1|P|2.5.1\r"),
		TooLarge: []byte(`{"resourceType":"Patient","name":[{"family":"` + string(bytes.Repeat([]byte("x"), 100<<10)) + `"}]}`),
	})
}
