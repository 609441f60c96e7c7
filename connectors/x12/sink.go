package x12

import (
	"context"
	"errors"
	"fmt"

	"github.com/vagus-health/vagus/broker"
)

var _ broker.Target = (*Sink)(nil)

// A Carrier takes interchanges to a partner: a folder, here or on a server.
type Carrier interface {
	// Write makes a file or replaces it: whole, or not at all.
	Write(ctx context.Context, name string, body []byte) error
	// MakeDir makes a folder that is not there yet.
	MakeDir(ctx context.Context, dir string) error
}

// SinkConfig configures a [Sink].
type SinkConfig struct {
	Partner `yaml:",inline"`
	Version string `yaml:"version"` // GS-08 of what is sent, "004010"

	Register *Register `yaml:"-"` // of the site
}

// A Sink puts the transaction set of a unit into an interchange of its own and
// leaves it with the carrier, as a file that is named for its control number,
// "850-000000007.edi". A unit that is applied again has the same number and the
// same name, and replaces its file. That the partner took it is told by the 997
// or 999 that comes back as a file; where the carrier brings an answer at once,
// it is the unit's outcome.
type Sink struct {
	conf    SinkConfig
	partner Partner // with its defaults
	carrier Carrier
	turn    chan struct{} // the carrier is called by one at a time
}

// NewSink returns the sink of a partner.
func NewSink(c SinkConfig, to Carrier) (*Sink, error) {
	if c.Version == "" {
		return nil, errors.New("x12: version: say which is sent, such as 004010")
	}
	if _, err := c.Seal("850", c.Version, []byte("BEG*00~"), Numbers{Interchange: 1, Group: 1}); err != nil {
		return nil, err
	}
	s := &Sink{conf: c, partner: c.Partner, carrier: to, turn: make(chan struct{}, 1)}
	return s, s.partner.fill()
}

// Apply writes the units' interchanges in their order. An error is one of the
// first unit: of a later one it is an outcome, [broker.Retry], of that and of all behind it.
func (s *Sink) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make([]broker.Outcome, len(units))
	for i, u := range units {
		doc, format, ok := u.Emission()
		if !ok || format != NewFormat().Name() {
			out[i] = broker.Outcome{Result: broker.Rejected, Class: "x12.not_a_document", Reason: "the unit has no X12 document: its mapping is for another target"}
			continue
		}
		o, err := s.deliver(ctx, u.ID, u.Ops[0].Model, doc)
		if err != nil && i == 0 {
			return nil, err
		}
		if err != nil {
			for k := i; k < len(out); k++ {
				out[k] = broker.Outcome{Result: broker.Retry, Class: "x12.unreachable", Reason: "the partner was not reached"}
			}
			break
		}
		out[i] = o
	}
	return out, nil
}

func (s *Sink) deliver(ctx context.Context, id, set string, doc []byte) (broker.Outcome, error) {
	n, err := s.conf.Register.Issue(s.conf.Partner, id)
	if err != nil {
		return broker.Outcome{}, err
	}
	sealed, err := s.conf.Seal(set, s.conf.Version, doc, n)
	if err != nil { // its number stays the document's
		return broker.Outcome{Result: broker.Rejected, Class: "x12.document", Reason: err.Error()}, nil
	}
	o, err := s.carry(ctx, fmt.Sprintf("%s-%09d.edi", set, n.Interchange), sealed, n)
	if err != nil {
		return o, fmt.Errorf("leave an interchange with the partner: %w", err)
	}
	return o, nil
}

// carry brings an interchange to the partner and says what came of it.
func (s *Sink) carry(ctx context.Context, name string, sealed []byte, n Numbers) (broker.Outcome, error) {
	p, ok := s.carrier.(poster)
	if !ok {
		return broker.Outcome{}, s.carrier.Write(ctx, name, sealed)
	}
	answer, err := p.Post(ctx, name, sealed)
	var reject *broker.RejectError
	if err != nil && !errors.As(err, &reject) {
		return broker.Outcome{}, err
	}
	o := s.answered(answer, n)
	if reject != nil && o.Result != broker.Rejected {
		o = broker.Outcome{Result: broker.Rejected, Class: reject.Code, Reason: reject.Err.Error()}
	}
	return o, nil
}

// Check asks whether the carrier's folder is there.
func (s *Sink) Check(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.carrier.MakeDir(ctx, ".")
}
