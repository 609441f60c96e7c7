package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
	"github.com/vagus-health/vagus/internal/tree"
)

// JSON says how the objects of a delivery become messages. The zero value takes one
// object, whose id is the delivery's.
type JSON struct {
	// ID is the path of an attribute with the sender's own id of an object ("event.id"). It
	// travels with the message, so it must not be a patient's. Default: the delivery's id,
	// or, if that has none, a hash of its content.
	ID string `yaml:"id"`
	// Kind is the path of an attribute with what the object is called ("type"), for people and routing; default "json".
	Kind string `yaml:"kind"`
	// Split makes a message of each object of an array, or of each line.
	Split bool `yaml:"split"`
}

const (
	maxObjects  = 100_000 // of one delivery
	maxSenderID = 200
	maxKind     = 64
)

var _ broker.Receiver = (*Receiver)(nil)

// A Receiver receives deliveries of JSON objects.
type Receiver struct {
	origin broker.Origin
	conf   JSON
	root   *tree.Type // the id and the kind; nil when neither is read
}

// NewReceiver returns a receiver for one feed, or an error that names the setting at fault.
func NewReceiver(origin broker.Origin, conf JSON) (*Receiver, error) {
	r := &Receiver{origin: origin, conf: conf}
	var columns []tree.Column
	for _, s := range []struct{ name, path string }{{"id", conf.ID}, {"kind", conf.Kind}} {
		if s.path == "" {
			continue
		}
		var err error
		if columns, err = withPath(columns, strings.Split(s.path, ".")); err != nil {
			return nil, fmt.Errorf("json: %s: %w", s.name, err)
		}
	}
	if columns == nil {
		return r, nil
	}
	var err error
	if r.root, err = tree.Declared("", nil, columns, false); err != nil {
		return nil, fmt.Errorf("json: id, kind: %w", err)
	}
	return r, nil
}

// withPath adds an attribute to those that are read.
func withPath(columns []tree.Column, steps []string) ([]tree.Column, error) {
	if steps[0] == "" {
		return nil, errors.New("write the attribute's path, such as id or event.id")
	}
	i := slices.IndexFunc(columns, func(c tree.Column) bool { return c.Name == steps[0] })
	if len(steps) == 1 {
		if i >= 0 && columns[i].Type != "text" {
			return nil, fmt.Errorf("%s is an object", steps[0])
		} else if i < 0 {
			columns = append(columns, tree.Column{Name: steps[0], Type: "text"})
		}
		return columns, nil
	}
	if i < 0 {
		i, columns = len(columns), append(columns, tree.Column{Name: steps[0], Type: "object"})
	}
	if columns[i].Type != "object" {
		return nil, fmt.Errorf("%s is no object", steps[0])
	}
	var err error
	columns[i].Parts, err = withPath(columns[i].Parts, steps[1:])
	return columns, err
}

// Receive implements [broker.Receiver]. JSON that is not well formed is refused
// whole. The answer, if objects of several are refused, is a [Summary].
func (r *Receiver) Receive(ctx context.Context, d broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	ms, err := r.messages(ctx, d)
	if err != nil {
		return broker.Receipt{Refused: 1}, &broker.RejectError{Code: "json.malformed", Err: err}
	}
	err = accept(ctx, ms...)
	var reject *broker.RejectError
	switch {
	case err == nil:
		return broker.Receipt{Accepted: len(ms)}, nil
	case len(ms) == 1 || !errors.As(err, &reject):
		return broker.Receipt{}, err
	}
	var s Summary // one of them is at fault: it must not hold the others
	for i, m := range ms {
		if err := accept(ctx, m); err == nil {
			s.Accepted++
		} else if errors.As(err, &reject) {
			s.Refused = append(s.Refused, Refusal{Index: i, Code: reject.Code, Reason: reject.Err.Error()})
		} else {
			return broker.Receipt{}, err
		}
	}
	answer, err := json.Marshal(s)
	if err != nil {
		return broker.Receipt{}, fmt.Errorf("json: write the summary: %w", err)
	}
	return broker.Receipt{Accepted: s.Accepted, Refused: len(s.Refused), Answer: answer, Type: "application/json", Ext: "json"}, nil
}

// A Summary says what became of the objects of a delivery of several.
type Summary struct {
	Accepted int       `json:"accepted"`
	Refused  []Refusal `json:"refused"`
}

// A Refusal says why an object, counted from 0, was not taken.
type Refusal struct {
	Index  int    `json:"index"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// messages makes a message of each object.
func (r *Receiver) messages(ctx context.Context, d broker.Delivery) ([]*broker.Message, error) {
	parts, err := tree.SplitJSON(d.Body, tree.JSONLimits{Bytes: maxFileBytes})
	switch {
	case err != nil:
		return nil, err
	case len(parts) == 0:
		return nil, errors.New("there is no object in it")
	case len(parts) > maxObjects:
		return nil, fmt.Errorf("%d objects; at most %d are taken at once", len(parts), maxObjects)
	case !r.conf.Split && len(parts) > 1:
		return nil, errors.New("there are several objects, and one is expected: split: true makes a message of each")
	}
	group := broker.Group{}
	if len(parts) > 1 {
		group = broker.Group{ID: r.origin.MessageID(d.ID, d.Body), Count: len(parts)}
	}
	delivery := d.ID
	if delivery == "" {
		delivery = broker.ShortID(broker.NewMessageID("", "", "", "", d.Body))
	}
	traced := reception.Traceparent(ctx)
	ms := make([]*broker.Message, len(parts))
	for i, body := range parts {
		id, kind, err := r.read(body)
		if err != nil {
			return nil, err
		}
		if id == "" {
			id = delivery
			if len(parts) > 1 {
				id = fmt.Sprintf("%s/%d", delivery, i+1)
			}
		}
		group.Index = i
		ms[i] = r.origin.Message(formatName, kind, id, d.At.UTC(), body)
		ms[i].Trace, ms[i].Group = traced, group
		if ms[i].ReceivedAt.IsZero() {
			ms[i].ReceivedAt = time.Now().UTC()
		}
	}
	return ms, nil
}

// read returns an object's id and kind, where the settings say where they stand.
func (r *Receiver) read(body []byte) (id, kind string, err error) {
	kind = formatName
	if r.root == nil {
		return "", kind, nil
	}
	root, err := tree.ReadJSON(body, r.root, nil, tree.JSONLimits{EmptyIsAbsent: true})
	if err != nil {
		return "", "", err
	}
	if r.conf.ID != "" {
		if id = text(root, r.conf.ID); id == "" || len(id) > maxSenderID || strings.ContainsFunc(id, func(c rune) bool { return c < '!' || c > '~' }) {
			return "", "", fmt.Errorf("%s: an id of 1 to %d characters without blanks is expected", r.conf.ID, maxSenderID)
		}
	}
	// A kind is for people and routing, and stands in logs: what is no word is left out.
	if k := text(root, r.conf.Kind); k != "" && len(k) <= maxKind && !strings.ContainsFunc(k, notKind) {
		kind = k
	}
	return id, kind, nil
}

func notKind(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/:^", c))
}

// text returns the text at a path, or "".
func text(n *tree.Node, path string) string {
	for step := range strings.SplitSeq(path, ".") {
		n = n.First(step)
	}
	if n == nil || n.State != tree.Value {
		return ""
	}
	return n.Text
}
