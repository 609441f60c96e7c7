package hl7

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

var _ broker.Receiver = (*Receiver)(nil)

// A Receiver takes HL7 v2 from behind any transport: one message, messages one
// after the other, a batch (FHS, BHS), or MLLP frames as engines write them into
// files. The answer is what a connection would have been told.
type Receiver struct{ *intake }

// NewReceiver returns a receiver for one feed, or an error that names the
// setting at fault.
func NewReceiver(origin broker.Origin, conf Config) (*Receiver, error) {
	conf, err := conf.answering()
	if err != nil {
		return nil, fmt.Errorf("hl7: %w", err)
	}
	in, err := newIntake(origin, conf)
	if err != nil {
		return nil, fmt.Errorf("hl7: %w", err)
	}
	in.behind = true
	return &Receiver{in}, nil
}

// The media type of HL7 over HTTP, a convention of the HAPI project.
const mediaType = "application/hl7-v2"

// Receive implements broker.Receiver. When some message of a batch could not be
// stored, the error asks for all of them again: those that were are the same
// messages then.
func (r *Receiver) Receive(ctx context.Context, d broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	charset, err := mediaCharset(d.Type)
	if err != nil {
		return r.refused(ctx, d.Body, "utf-8", err)
	}
	b, err := unframe(d.Body)
	if err != nil {
		return r.refused(ctx, d.Body, "utf-8", err)
	}
	if charset, err = agreed(charset, b.first()); err != nil {
		return r.refused(ctx, b.first(), charset, err)
	}
	answer, res := r.takeIn(ctx, accept, nil, d.Body, b)
	receipt := receipt(answer, charset)
	receipt.Accepted, receipt.Refused = res.taken, res.refused
	switch {
	case res.again != nil:
		return receipt, fmt.Errorf("hl7: %w", res.again)
	case res.taken == 0:
		return receipt, asReject(res.fault)
	}
	return receipt, nil
}

func (r *Receiver) refused(ctx context.Context, body []byte, charset string, err error) (broker.Receipt, error) {
	receipt := receipt(r.refuse(ctx, nil, body, err), charset)
	receipt.Refused = 1
	return receipt, asReject(err)
}

func receipt(answer []byte, charset string) broker.Receipt {
	if len(answer) == 0 {
		return broker.Receipt{}
	}
	return broker.Receipt{Answer: answer, Type: mediaType + "; charset=" + charset, Ext: "ack"}
}

func asReject(err error) error {
	var reject *broker.RejectError
	if errors.As(err, &reject) {
		return reject
	}
	return &broker.RejectError{Code: formatName + ".malformed", Err: err}
}

// unframe cuts what was delivered into its messages, which keep their bytes.
// Errors are *syntaxError.
func unframe(body []byte) (batch, error) {
	rest := bytes.TrimLeft(body, "\r\n")
	if len(bytes.TrimSpace(body)) == 0 {
		return batch{}, &syntaxError{errSequence, "MSH", 0, "there is no message"}
	}
	if rest[0] != startBlock {
		return split(body)
	}
	var all batch
	for len(rest) > 0 {
		if rest[0] != startBlock {
			return all, &syntaxError{errSequence, "MSH", 0, "there is something between two frames"}
		}
		end := bytes.Index(rest, []byte{endBlock, carriage})
		if end < 0 {
			return all, &syntaxError{errSequence, "MSH", 0, "the last frame has no end"}
		}
		b, err := split(rest[1:end:end])
		if err != nil {
			return all, err
		}
		if all.file == nil {
			all.file = b.file
		}
		all.groups, all.count = append(all.groups, b.groups...), all.count+b.count
		if all.count > maxBatch {
			return all, tooMany()
		}
		rest = bytes.TrimLeft(rest[end+2:], "\r\n")
	}
	return all, nil
}

// charsets are names of the internet (RFC 2978) for what MSH-18 names by HL7
// table 0211.
var charsets = map[string]string{
	"us-ascii": "ASCII", "utf-8": "UNICODE UTF-8", "utf-16": "UNICODE UTF-16", "iso-8859-1": "8859/1", "windows-1252": "8859/1",
	"iso-8859-2": "8859/2", "iso-8859-3": "8859/3", "iso-8859-4": "8859/4", "iso-8859-5": "8859/5", "iso-8859-6": "8859/6", "iso-8859-7": "8859/7",
	"iso-8859-8": "8859/8", "iso-8859-9": "8859/9", "iso-8859-15": "8859/15", "gb18030": "GB 18030-2000", "big5": "BIG-5", "euc-kr": "KS X 1001",
}

// mediaCharset returns the character set that a media type names, in lower case,
// or "".
func mediaCharset(contentType string) (string, error) {
	if contentType == "" {
		return "", nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return "", &syntaxError{errDataType, "MSH", 0, "the media type is malformed"}
	case strings.HasSuffix(media, "+xml"), strings.HasSuffix(media, "/xml"):
		return "", &syntaxError{errDataType, "MSH", 0, "the XML encoding is not taken: send ER7 (vertical bars)"}
	}
	return strings.ToLower(params["charset"]), nil
}

// agreed returns the internet's name of a message's character set, which its
// answer will be in. What the media type says of it (given, or "") must be what MSH-18
// says: the bytes are kept as they came, and the message alone will be read later.
func agreed(given string, message []byte) (string, error) {
	env, err := readEnvelope(message)
	if err != nil { // it will be refused for that
		return "utf-8", nil
	}
	inside := strings.ToUpper(strings.TrimSpace(string(nth(env.fields[18], env.delims.repetition, 1))))
	if isUTF16(message) {
		inside = "UNICODE UTF-16"
	}
	charset := "utf-8"
	for name, hl7 := range charsets {
		if hl7 == inside && name != "windows-1252" {
			charset = name
		}
	}
	named, known := charsets[given]
	unicode := named == "ASCII" || named == "UNICODE UTF-8"
	switch {
	case given == "":
		return charset, nil
	case known && named == inside,
		unicode && (inside == "" || inside == "ASCII" || inside == "UNICODE UTF-8"),
		inside == "" && named == "8859/1": // what is not valid UTF-8 is read so
		return given, nil
	}
	return charset, &syntaxError{errDataType, "MSH", 18, "the media type names another character set"}
}
