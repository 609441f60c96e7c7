package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"

	"github.com/vagus-health/vagus/broker"
)

var _ broker.Target = (*Sink)(nil)

// A SinkConfig configures a [Sink].
type SinkConfig struct {
	Server `yaml:",inline"`
	// Identifier is the system of the identifier by which a resource is known; default: that of the first one it has.
	Identifier string `yaml:"identifier"`

	UserAgent string       `yaml:"-"`
	Logger    *slog.Logger `yaml:"-"` // nil discards
	Meter     metric.Meter `yaml:"-"` // nil is a no-op
}

// A Sink writes resources to a FHIR server: the document of a unit, whole, to
// the resource that has its identifier, or to a new one.
//
// It asks for a conditional create. When the resource is there already it is
// read and, where it says something else, updated under the condition that
// nobody has written it meanwhile. So a unit whose answer was lost finds what
// it did when it is applied again, and has one effect.
type Sink struct {
	client     *client
	identifier string
	sent       metric.Int64Counter

	mu          sync.Mutex
	conditional map[string]bool // types that the server creates conditionally; nil: it was not asked
}

// NewSink returns the sink that the configuration describes. It makes no call.
func NewSink(c SinkConfig) (*Sink, error) {
	server, err := c.Server.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("fhir: %w", err)
	}
	s := &Sink{identifier: c.Identifier}
	if s.client, err = newClient(server, c.UserAgent); err != nil {
		return nil, fmt.Errorf("fhir: %w", err)
	}
	if c.Meter == nil {
		c.Meter = noopmetric.Meter{}
	}
	if s.sent, err = c.Meter.Int64Counter("vagus.sink.answers", metric.WithDescription("answers to documents, by what they mean")); err != nil {
		return nil, fmt.Errorf("fhir: metrics: %w", err)
	}
	return s, nil
}

// Apply writes the resources of the units in their order. An error is one of
// the first unit: of a later one it is an outcome, [broker.Retry], of that and
// of all behind it.
func (s *Sink) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	out := make([]broker.Outcome, 0, len(units))
	for i, u := range units {
		o, err := s.deliver(ctx, u)
		if err != nil && i == 0 {
			return nil, err
		}
		if err != nil {
			for range units[i:] {
				out = append(out, broker.Outcome{Result: broker.Retry, Class: "fhir.unreachable", Reason: "the server did not answer"})
			}
			break
		}
		s.sent.Add(ctx, 1, metric.WithAttributes(attribute.String("result", o.Result.String())))
		out = append(out, o)
	}
	return out, nil
}

// Check asks for the server's capabilities.
func (s *Sink) Check(ctx context.Context) error {
	_, err := s.ask(ctx)
	return err
}

// ask reads which types the server creates conditionally.
func (s *Sink) ask(ctx context.Context) (map[string]bool, error) {
	var about struct {
		Type string `json:"resourceType"`
		Rest []struct {
			Resource []struct {
				Type        string `json:"type"`
				Conditional bool   `json:"conditionalCreate"`
			} `json:"resource"`
		} `json:"rest"`
	}
	_, body, err := s.client.read(ctx, http.MethodGet, s.client.at("metadata"), http.Header{"Accept": {mediaType}}, nil)
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(body, &about) != nil || about.Type != "CapabilityStatement" {
		return nil, &serverError{text: "the FHIR server's metadata is no CapabilityStatement: look at its url"}
	}
	types := map[string]bool{}
	for _, rest := range about.Rest {
		for _, r := range rest.Resource {
			types[r.Type] = r.Conditional
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conditional = types
	return types, nil
}

func (s *Sink) conditionally(ctx context.Context, typ string) (bool, error) {
	s.mu.Lock()
	types := s.conditional
	s.mu.Unlock()
	if types == nil {
		var err error
		if types, err = s.ask(ctx); err != nil {
			return false, err
		}
	}
	return types[typ], nil
}

// deliver writes one unit's resource. An error says that the server did not
// answer or does not let us in.
func (s *Sink) deliver(ctx context.Context, u *broker.Unit) (broker.Outcome, error) {
	doc, format, ok := u.Emission()
	if !ok || format != formatName {
		return broker.Outcome{Result: broker.Rejected, Class: "fhir.not_a_document", Reason: "the unit has no FHIR resource: its mapping is for another target"}, nil
	}
	r, err := readOwn(doc, s.identifier)
	if err != nil {
		return broker.Outcome{Result: broker.Rejected, Class: "fhir.document", Reason: err.Error()}, nil
	}
	return judge(s.put(ctx, r, u.ID))
}

// judge says what an error means to the unit: the one place where an HTTP
// status becomes an outcome.
func judge(err error) (broker.Outcome, error) {
	if err == nil {
		return broker.Outcome{Result: broker.Applied}, nil
	}
	var e *serverError
	if !errors.As(err, &e) || e.status == 0 {
		return broker.Outcome{}, err
	}
	o := broker.Outcome{Result: broker.Rejected, Class: fmt.Sprintf("fhir.%d", e.status), Reason: e.text}
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusRequestTimeout,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return broker.Outcome{}, err
	case http.StatusConflict, http.StatusLocked, http.StatusTooEarly, http.StatusInternalServerError:
		o.Result = broker.Retry
	}
	return o, nil
}
