package fhir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// A delivery is one resource, or one Bundle, on its way to its answer.
type delivery struct {
	msg     *broker.Message // nil if it can not be taken
	created string          // where the answer says the resource is; "" of what has an address of its own
	reply   reply
}

// base takes what is sent to the service base: transactions, batches, and the
// empty notifications of subscriptions.
func (e *endpoint) base(w http.ResponseWriter, r *http.Request, accept broker.Accept) {
	switch {
	case r.Method != http.MethodPost:
		e.method(w, r, "POST")
	case r.ContentLength == 0:
		e.notified(w, r)
	default:
		body, done, ok := e.body(w, r)
		defer done()
		if ok {
			e.bundle(w, r, accept, body)
		}
	}
}

// notified takes a notification without payload (subscription.html, rest-hook):
// something has changed at the server that is polled.
func (e *endpoint) notified(w http.ResponseWriter, r *http.Request) {
	if len(e.s.watches) == 0 {
		e.refuse(w, r, refuse(http.StatusUnprocessableEntity, "unsupported", "not-supported", "a notification without payload asks to look, and this feed polls no server: subscribe with a payload"))
		return
	}
	for _, watch := range e.s.watches {
		watch.look()
	}
	e.send(w, reply{status: http.StatusAccepted, issues: []issue{{"informational", "", "the server is asked what has changed"}}})
}

// typed takes a create: POST [base]/[type].
func (e *endpoint) typed(w http.ResponseWriter, r *http.Request, accept broker.Accept, typ string) {
	if r.Method != http.MethodPost {
		e.method(w, r, "POST")
		return
	}
	e.one(w, r, accept, typ, "")
}

// instance takes an update, PUT [base]/[type]/[id], which is how a subscription
// notifies with payload too, and a delete.
func (e *endpoint) instance(w http.ResponseWriter, r *http.Request, accept broker.Accept, typ, id string) {
	switch {
	case !isID(id):
		e.refuse(w, r, refuse(http.StatusBadRequest, "syntax", "value", "the address has no id of a resource"))
	case r.Method == http.MethodPut:
		e.one(w, r, accept, typ, id)
	case r.Method == http.MethodDelete:
		d := &delivery{msg: e.s.deletion(typ, id, "", r.Header.Get("X-Request-Id"), time.Now().UTC())}
		e.answer(w, r, accept, d, http.StatusOK)
	default:
		e.method(w, r, "PUT, DELETE")
	}
}

func (e *endpoint) method(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	e.refuse(w, r, refuse(http.StatusMethodNotAllowed, "unsupported", "not-supported", "here can be sent: "+allow+"; nothing can be read"))
}

// one takes one resource. id is that of the address, "" in a create.
func (e *endpoint) one(w http.ResponseWriter, r *http.Request, accept broker.Accept, typ, id string) {
	body, done, ok := e.body(w, r)
	defer done()
	if !ok {
		return
	}
	d := &delivery{}
	if d.reply = e.check(body, typ, id); d.reply.status == 0 {
		d.msg = e.s.resource(body, r.Header.Get("X-Request-Id"), time.Now().UTC())
	}
	status := http.StatusOK
	if id == "" {
		status = http.StatusCreated
		d.place(e, typ)
	}
	e.answer(w, r, accept, d, status)
}

// place says where a created resource is, and gives it an id if it has none (R4
// http.html#create: the server chooses it): its message's, so that a resend has the same.
func (d *delivery) place(e *endpoint, typ string) {
	if d.msg == nil {
		return
	}
	id := readHead(d.msg.Body).ID
	if id == "" {
		id = d.msg.ID
		d.msg.Body = withID(d.msg.Body, id)
	}
	d.created = e.conf.Path + "/" + typ + "/" + id + "/_history/1"
}

// withID puts an id into a resource that has none. All else stays as it was sent.
func withID(resource []byte, id string) []byte {
	at := bytes.IndexByte(resource, '{') + 1
	return slices.Concat(resource[:at], []byte(`"id":"`+id+`",`), resource[at:])
}

// check says what is wrong with one resource that is sent as typ and, in an
// update, as id. It is the zero reply of what is in order.
func (e *endpoint) check(body []byte, typ, id string) reply {
	bad := func(issues ...issue) reply { return reply{http.StatusBadRequest, "syntax", issues} }
	if issues := validate(body, e.conf.Validation); len(issues) > 0 {
		return bad(issues...)
	}
	h := readHead(body)
	switch {
	case h.Type != typ:
		return bad(issue{"invalid", "resourceType", "the resource is of another type than the address says"})
	case id != "" && h.ID != id:
		return bad(issue{"invalid", typ + ".id", "an update has the id that its address has"})
	}
	return reply{}
}

// answer stores a delivery and answers it.
func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, accept broker.Accept, d *delivery, status int) {
	began := time.Now()
	e.take(r.Context(), accept, []*delivery{d}, false)
	if d.reply.status == 0 {
		d.reply.status = status
		if d.created != "" {
			w.Header().Set("Location", d.created)
		}
	}
	e.send(w, d.reply)
	e.s.meters.Answered(r.Context(), began)
}

// take hands the sound messages of a request to accept in one call. Where each
// stands for itself and accept rejects them, they are offered one at a time, so
// that one of them does not hold the others.
func (e *endpoint) take(ctx context.Context, accept broker.Accept, ds []*delivery, apart bool) {
	// A stop must not leave a message stored and not acknowledged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.conf.AcceptTimeout)
	defer cancel()
	ctx, span := e.s.meters.Tracer.Start(ctx, "fhir.receive", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	parent := reception.Traceparent(ctx)

	var ms []*broker.Message
	for _, d := range ds {
		if d.msg != nil {
			d.msg.Trace = parent
			ms = append(ms, d.msg)
		}
	}
	if len(ms) > 0 {
		err := accept(ctx, ms...)
		var reject *broker.RejectError
		apart = apart && len(ms) > 1 && errors.As(err, &reject)
		for _, d := range ds {
			if d.msg == nil {
				continue
			}
			own := err
			if apart {
				own = accept(ctx, d.msg)
			}
			if own != nil {
				d.reply = replyTo(own)
				e.s.log.WarnContext(ctx, "message not taken", "message", broker.ShortID(d.msg.ID), "kind", d.msg.Kind, "reason", d.reply.reason, "error", own)
			}
		}
	}
	for _, d := range ds {
		e.s.count(ctx, d.reply.reason)
		if d.reply.reason == "" {
			continue
		}
		span.SetStatus(codes.Error, d.reply.reason)
		if d.msg == nil {
			e.s.log.WarnContext(ctx, "refused", "reason", d.reply.reason, "detail", d.reply.detail())
		}
	}
}

// detail is the first issue, for logs: it has a place and no value.
func (r reply) detail() string {
	if len(r.issues) == 0 {
		return ""
	}
	i := r.issues[0]
	more := ""
	if n := len(r.issues) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return strings.TrimPrefix(i.path+": "+i.text+more, ": ")
}
