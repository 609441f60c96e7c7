package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
)

// A Remap asks a site to map a message of its journal again, with the mapping
// that it has now, and to send the units again.
type Remap struct {
	Message string `json:"message"` // message id
	Feed    string `json:"feed"`
	Request string `json:"request"` // id of the request: a replay's, say
}

// RequestRemap sends a Remap to a site. Asking again with the same request id
// within ten minutes has no further effect. The units come back in UNITS with
// HeaderRemap set to the request id.
func RequestRemap(ctx context.Context, js jetstream.JetStream, site string, r Remap) error {
	if err := errors.Join(CheckToken("site", site), r.Check()); err != nil {
		return err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode remap: %w", err)
	}
	m := &nats.Msg{Subject: DownSubject(site, DownRemap, broker.ShortID(r.Message)), Data: body}
	if _, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(r.Request+":"+r.Message), jetstream.WithExpectStream(Down)); err != nil {
		return fmt.Errorf("request remap of %s at %s: %w", r.Message, site, err)
	}
	return nil
}

// Check says whether the request is complete and its parts may stand in
// headers and subjects.
func (r Remap) Check() error {
	err := CheckToken("feed", r.Feed)
	for _, p := range []struct{ what, v string }{{"message", r.Message}, {"request", r.Request}} {
		if !IsID(p.v) {
			err = errors.Join(err, fmt.Errorf("remap: %s is not an id of 1 to 64 of a-z, A-Z, 0-9, - and _", p.what))
		}
	}
	return err
}

// IsID says whether an id may stand in headers and as a token of a subject: 1 to
// 64 of a-z, A-Z, 0-9, - and _.
func IsID(s string) bool {
	ok := s != "" && len(s) <= 64
	for _, c := range s {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	return ok
}
