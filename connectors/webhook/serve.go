package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
)

// Seconds of Retry-After.
const (
	soon  = 1  // others are being served
	later = 10 // it could not be stored
)

// A problem is an answer that says what is wrong (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Code   string `json:"code,omitempty"`   // of the fault, the same in every answer
	Detail string `json:"detail,omitempty"` // where, never a value
	reason string // of the metric
	retry  int    // seconds
}

// serve answers one request. stopping is done when the source stops.
func (s *Source) serve(stopping context.Context, w http.ResponseWriter, r *http.Request, accept broker.Accept) {
	// Also of a request that is refused the server reads what is left of its body.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.conf.ReadTimeout))
	defer s.inHand.Add(-1)
	if s.inHand.Add(1) > int64(s.conf.MaxRequests) {
		s.refuse(r.Context(), w, problem{Status: http.StatusTooManyRequests, reason: "busy", retry: soon})
		return
	}
	if p := s.checkHeaders(w, r); p != nil {
		s.refuse(r.Context(), w, *p)
		return
	}
	body, p := s.body(stopping, w, r)
	if p != nil {
		s.refuse(r.Context(), w, *p)
		return
	}
	now := time.Now()
	if err := s.guard.verify(r.Header, body, now); err != nil {
		s.unauthorised(r.Context(), w, err)
		return
	}
	d := broker.Delivery{ID: r.Header.Get("webhook-id"), Type: r.Header.Get("Content-Type"), At: now.UTC(), Body: body}
	if d.ID == "" {
		d.ID = strings.Trim(r.Header.Get("Idempotency-Key"), `"`)
	}
	if d.ID != "" && checkID(d.ID) != nil {
		s.refuse(r.Context(), w, problem{Status: http.StatusBadRequest, Code: "http.id", Detail: "webhook-id or Idempotency-Key: " + checkID(d.ID).Error(), reason: "syntax"})
		return
	}
	// A stop, or a sender that hangs up, must not leave a message stored and not acknowledged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.conf.AcceptTimeout)
	defer cancel()
	ctx, span := s.meters.Tracer.Start(ctx, "http.receive", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	receipt, err := s.receiver.Receive(ctx, d, accept)
	atReceived.Hit()
	s.answer(ctx, w, receipt, err)
	s.meters.Answered(ctx, now)
}

// checkHeaders returns what is wrong with a request before its body is read.
func (s *Source) checkHeaders(w http.ResponseWriter, r *http.Request) *problem {
	switch {
	case r.URL.Path != s.conf.Path:
		return &problem{Status: http.StatusNotFound, reason: "syntax"}
	case !slices.Contains(s.conf.Methods, r.Method):
		w.Header().Set("Allow", strings.Join(s.conf.Methods, ", "))
		return &problem{Status: http.StatusMethodNotAllowed, reason: "syntax"}
	case !s.guard.admits(r):
		w.Header().Set("WWW-Authenticate", s.guard.challenge())
		return &problem{Status: http.StatusUnauthorized, Detail: errUnknown.Error(), reason: "unauthorised"}
	case s.conf.Types != nil && !slices.Contains(s.conf.Types, mediaType(r.Header.Get("Content-Type"))):
		return &problem{Status: http.StatusUnsupportedMediaType, Detail: "Content-Type: use " + strings.Join(s.conf.Types, ", "), reason: "syntax"}
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 12.5.3
		return &problem{Status: http.StatusUnsupportedMediaType, Detail: "Content-Encoding: send the body as it is", reason: "syntax"}
	case r.ContentLength > s.conf.MaxBody:
		return &problem{Status: http.StatusRequestEntityTooLarge, Detail: s.tooLarge(), reason: "too_large"}
	}
	return nil
}

func mediaType(header string) string {
	t, _, _ := mime.ParseMediaType(header)
	return t
}

func (s *Source) tooLarge() string {
	return "the body may have " + strconv.FormatInt(s.conf.MaxBody, 10) + " bytes"
}

// body reads a request's body.
func (s *Source) body(stopping context.Context, w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	conn := http.NewResponseController(w)
	stop := context.AfterFunc(stopping, func() { _ = conn.SetReadDeadline(time.Now().Add(min(stopGrace, s.conf.ReadTimeout))) })
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.conf.MaxBody))
	stop()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Detail: s.tooLarge(), reason: "too_large"}
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, &problem{Status: http.StatusRequestTimeout, Detail: "the body did not come to its end", reason: "cut_off"}
	}
	_ = conn.SetReadDeadline(time.Time{})
	return body, nil
}

// answer tells a sender what became of its delivery: the one place where an error becomes
// a status.
func (s *Source) answer(ctx context.Context, w http.ResponseWriter, receipt broker.Receipt, err error) {
	var reject *broker.RejectError
	var p problem
	switch {
	case err == nil:
		s.meters.Accepted(ctx, receipt.Accepted)
		s.meters.Refused(ctx, receipt.Refused, "rejected")
		if receipt.Answer == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		write(w, http.StatusOK, receipt.Type, receipt.Answer)
		return
	case errors.As(err, &reject):
		p = problem{Status: http.StatusUnprocessableEntity, Code: reject.Code, Detail: reject.Err.Error(), reason: "rejected"}
		if strings.HasSuffix(reject.Code, ".malformed") {
			p.Status = http.StatusBadRequest
		}
	case errors.Is(err, broker.ErrFull):
		p = problem{Status: http.StatusServiceUnavailable, Detail: "storage is full, try again later", reason: "full", retry: later}
	default:
		p = problem{Status: http.StatusServiceUnavailable, Detail: "the message could not be stored, try again", reason: "error", retry: later}
		s.log.WarnContext(ctx, "delivery not stored", "error", err)
	}
	if receipt.Answer == nil {
		s.refuse(ctx, w, p)
		return
	}
	s.count(ctx, p)
	p.setRetry(w)
	write(w, p.Status, receipt.Type, receipt.Answer)
}

func (s *Source) unauthorised(ctx context.Context, w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", s.guard.challenge())
	s.refuse(ctx, w, problem{Status: http.StatusUnauthorized, Detail: err.Error(), reason: "unauthorised"})
}

// refuse answers with a problem.
func (s *Source) refuse(ctx context.Context, w http.ResponseWriter, p problem) {
	s.count(ctx, p)
	p.Title = http.StatusText(p.Status)
	p.setRetry(w)
	body, _ := json.Marshal(p) // texts and a number
	write(w, p.Status, "application/problem+json", body)
}

func (p problem) setRetry(w http.ResponseWriter) {
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
}

// count counts a request that was not taken: as one message, whatever is in it.
func (s *Source) count(ctx context.Context, p problem) {
	s.meters.Refused(ctx, 1, p.reason)
	s.log.WarnContext(ctx, "request refused", "status", p.Status, "reason", p.reason, "code", p.Code)
}

func write(w http.ResponseWriter, status int, mediaType string, body []byte) {
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
