package hl7

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/contract-tests/sink"
)

func item(n int) (kind, format string, doc []byte) {
	return "MFN_M16", formatName, fmt.Appendf(nil, "MSH|^~\\&|||||||MFN^M16^MFN_M16|||2.6\rMFI|INV^Inventory master^HL70175||UPD|||AL\rMFE|MUP|||P-%d|ST\rITM|P-%d|%s%d\r", n, n, sink.Canary, n)
}

var connector = sink.Connector{Document: item}

func newSink(t testing.TB, c SinkConfig) *Sink {
	t.Helper()
	s, err := NewSink(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestASinkKeepsWhatATargetPromises(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]Header{"original mode": {}, "accept acknowledgement": {AcceptAck: "AL", ApplicationAck: "NE"}, "both": {AcceptAck: "AL", ApplicationAck: "AL"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connector
			c.New = func(t *testing.T) (broker.Target, sink.Receiver) {
				r := newReceiver(t)
				t.Cleanup(func() {
					if r.pipeline {
						t.Error("a message was sent before the one before it was answered")
					}
				})
				return newSink(t, SinkConfig{Connect: r.addr, Header: h, AckTimeout: 500 * time.Millisecond}), r
			}
			sink.Run(t, c)
		})
	}
}

func one(t *testing.T, s *Sink, u *broker.Unit) (broker.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := s.Apply(ctx, []*broker.Unit{u})
	if err != nil {
		return broker.Outcome{}, err
	}
	return out[0], nil
}

func TestTheAnswerDecides(t *testing.T) {
	t.Parallel()
	u := connector.Unit(0)
	id := u.ID[:20]
	app := func(code string) string { return ack(code, id) }
	enhanced := Header{AcceptAck: "AL", ApplicationAck: "AL"}
	for _, tt := range []struct {
		name    string
		header  Header
		answers []string
		cut     bool // the connection ends after them
		result  broker.Result
		class   string
		reason  string
		err     string
	}{
		{name: "AA", answers: []string{app("AA")}},
		{name: "CA where nobody asked for it", answers: []string{app("CA")}},
		{name: "AE without a code is tried again", answers: []string{app("AE")}, result: broker.Retry, class: "hl7.ae", reason: "the receiver answered AE"},
		{name: "AE for a value is final", answers: []string{app("AE") + "ERR||PID^1^8|103|E\r"}, result: broker.Rejected, class: "hl7.ae", reason: "the receiver answered AE with error 103 (table value not found) at PID-8"},
		{name: "AE in the words of 2.3", answers: []string{app("AE") + "ERR|PID^1^8^101&Required field missing&HL70357\r"}, result: broker.Rejected, class: "hl7.ae", reason: "AE with error 101 (required field missing) at PID-8"},
		{name: "AE for a locked record is tried again", answers: []string{app("AE") + "ERR|||206\r"}, result: broker.Retry, class: "hl7.ae", reason: "206 (application record locked)"},
		{name: "AE for an unknown key is tried again", answers: []string{app("AE") + "ERR|||204\r"}, result: broker.Retry, class: "hl7.ae"},
		{name: "AR is final", answers: []string{app("AR")}, result: broker.Rejected, class: "hl7.ar"},
		{name: "AR for an error of the receiver's own is tried again", answers: []string{app("AR") + "ERR|||207\r"}, result: broker.Retry, class: "hl7.ar"},
		{name: "AR for the message type is final", answers: []string{app("AR") + "ERR|||200\r"}, result: broker.Rejected, class: "hl7.ar", reason: "200 (unsupported message type)"},
		{name: "a code that is no number is none", answers: []string{app("AR") + "ERR|||Siobhan|E|||Siobhan|Siobhan\r"}, result: broker.Rejected, class: "hl7.ar", reason: "the receiver answered AR"},
		{name: "a place that is no segment is not repeated", answers: []string{app("AR") + "ERR||Siobhan^1^8|101\r"}, result: broker.Rejected, class: "hl7.ar", reason: "the receiver answered AR with error 101 (required field missing)"},
		{name: "the answer to another message is passed over", answers: []string{ack("AE", "ANOTHER"), app("AA")}},
		{name: "a message that is no answer is passed over", answers: []string{"MSH|^~\\&|||||||ADT^A08|1|P|2.5\rPID|1\r", app("AA")}},
		{name: "an empty frame is passed over", answers: []string{"", app("AA")}},
		{name: "an answer without a code is none", answers: []string{app("XX")}, err: "within"},
		{name: "only the answer to another message", answers: []string{ack("AA", "ANOTHER")}, err: "no accept or application acknowledgement came within"},
		{name: "what is no HL7", answers: []string{"HTTP/1.1 400 Siobhan"}, err: "is not HL7 v2"},
		{name: "no answer and the end", cut: true, err: "the connection ended before the answer"},
		{name: "an answer over the limit", answers: []string{app("AA") + "NTE|" + strings.Repeat("x", 5000)}, err: "over the limit"},

		{name: "CA, then AA", header: enhanced, answers: []string{app("CA"), app("AA")}},
		{name: "CA twice, then AA", header: enhanced, answers: []string{app("CA"), app("CA"), app("AA")}},
		{name: "AA and no CA", header: enhanced, answers: []string{app("AA")}},
		{name: "CA and then nothing", header: enhanced, answers: []string{app("CA")}, err: "after CA: a receiver that sends none is to be asked for none"},
		{name: "CA and then the end", header: enhanced, answers: []string{app("CA")}, cut: true, err: "the connection ended before the answer"},
		{name: "CA, then AE", header: enhanced, answers: []string{app("CA"), app("AE") + "ERR|||102\r"}, result: broker.Rejected, class: "hl7.ae", reason: "102 (data type error)"},
		{name: "CE without a code is tried again", header: enhanced, answers: []string{app("CE")}, result: broker.Retry, class: "hl7.ce"},
		{name: "CR is final", header: enhanced, answers: []string{app("CR")}, result: broker.Rejected, class: "hl7.cr"},
		{name: "CA is all that was asked for", header: Header{AcceptAck: "AL", ApplicationAck: "NE"}, answers: []string{app("CA")}},
		{name: "no AA is waited for that comes only on errors", header: Header{AcceptAck: "AL", ApplicationAck: "ER"}, answers: []string{app("CA")}},
		{name: "AA alone was asked for", header: Header{AcceptAck: "ER", ApplicationAck: "AL"}, answers: []string{app("AA")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			r.respond = func(int, string) ([]string, bool) { return tt.answers, !tt.cut }
			o, err := one(t, newSink(t, SinkConfig{Connect: r.addr, Header: tt.header, AckTimeout: 300 * time.Millisecond, MaxFrame: 4096}), u)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "Siobhan") {
					t.Errorf("got %v %v, want the error %q", o, err, tt.err)
				}
				return
			}
			if err != nil || o.Result != tt.result || o.Class != tt.class || !strings.Contains(o.Reason, tt.reason) || strings.Contains(o.Reason, "Siobhan") {
				t.Errorf("got %v %v, want %v %s %q", o, err, tt.result, tt.class, tt.reason)
			}
		})
	}
}

func TestWhatWasAnsweredBeforeACutIsNotSentAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.Script(func(n int) sink.Answer {
		if n == 1 {
			return sink.CutBefore
		}
		return sink.Take
	})
	out, err := newSink(t, SinkConfig{Connect: r.addr}).Apply(t.Context(), []*broker.Unit{connector.Unit(0), connector.Unit(1), connector.Unit(2)})
	if err != nil || out[0].Result != broker.Applied || out[1].Result != broker.Retry || out[2].Result != broker.Retry || out[1].Class != "hl7.unreachable" {
		t.Errorf("%v %v", out, err)
	}
	if ids, _ := r.Came(); len(ids) != 2 {
		t.Errorf("%d messages came, want 2: none behind the one that was cut off", len(ids))
	}
}

func TestALateAnswerIsNotTakenForTheNextMessages(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	first, second := connector.Unit(0), connector.Unit(1)
	r.respond = func(n int, _ string) ([]string, bool) {
		if n == 0 { // its answer, one more of the same, and one that nobody asked for
			return []string{ack("AA", first.ID[:20]), ack("AR", first.ID[:20]), ack("AR", "X")}, true
		}
		return []string{ack("AA", second.ID[:20])}, true
	}
	s := newSink(t, SinkConfig{Connect: r.addr})
	for _, u := range []*broker.Unit{first, second} {
		if o, err := one(t, s, u); err != nil || o.Result != broker.Applied {
			t.Fatalf("%v %v", o, err)
		}
	}
	if n := r.connections(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// A receiver that answers twice is asked again on the same connection: what it said of the
// first time is not taken for the second.
func TestAnAnswerThatCameTwiceIsNotTakenForTheNextAttempt(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	u := connector.Unit(0)
	r.respond = func(n int, _ string) ([]string, bool) {
		if n == 0 {
			return []string{ack("AE", u.ID[:20]), ack("AE", u.ID[:20])}, true
		}
		return []string{ack("AA", u.ID[:20])}, true
	}
	s := newSink(t, SinkConfig{Connect: r.addr})
	if o, err := one(t, s, u); err != nil || o.Result != broker.Retry {
		t.Fatalf("%v %v", o, err)
	}
	waitFor(t, "the second answer is there", func() bool { return len(s.open.frames) == 1 })
	if o, err := one(t, s, u); err != nil || o.Result != broker.Applied {
		t.Errorf("%v %v", o, err)
	}
}

func TestAConnectionWithoutAnAnswerIsClosed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	u := connector.Unit(0)
	r.respond = func(n int, _ string) ([]string, bool) {
		if n == 0 {
			return nil, true
		}
		return []string{ack("AA", u.ID[:20])}, true
	}
	s := newSink(t, SinkConfig{Connect: r.addr, AckTimeout: 100 * time.Millisecond})
	if o, err := one(t, s, u); err == nil || s.open != nil {
		t.Fatalf("%v %v", o, err)
	}
	s.conf.AckTimeout = 30 * time.Second
	if o, err := one(t, s, u); err != nil || o.Result != broker.Applied || r.connections() != 2 {
		t.Errorf("%v %v over %d connections, want 2", o, err, r.connections())
	}
}

func TestAConnectionThatTheReceiverClosedMeanwhileIsNotUsed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := newSink(t, SinkConfig{Connect: r.addr})
	if o, err := one(t, s, connector.Unit(0)); err != nil || o.Result != broker.Applied {
		t.Fatalf("%v %v", o, err)
	}
	r.Stop()
	r.Start()
	<-s.open.done
	if o, err := one(t, s, connector.Unit(1)); err != nil || o.Result != broker.Applied {
		t.Errorf("%v %v", o, err)
	}
}

func TestAnIdleConnectionIsRenewed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := newSink(t, SinkConfig{Connect: r.addr, IdleTimeout: time.Minute})
	for n := range 2 {
		if o, err := one(t, s, connector.Unit(n)); err != nil || o.Result != broker.Applied {
			t.Fatalf("%v %v", o, err)
		}
		s.open.used = s.open.used.Add(-time.Hour)
	}
	if n := r.connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestAnApplicationAcknowledgementThatAsksForItIsAccepted(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	u := connector.Unit(0)
	r.respond = func(n int, _ string) ([]string, bool) {
		if n == 0 {
			return []string{ack("CA", u.ID[:20]), strings.Replace(ack("AA", u.ID[:20]), "|P|2.6\r", "|P|2.6|||AL|NE\r", 1)}, true
		}
		return []string{ack("CA", connector.Unit(1).ID[:20]), ack("AA", connector.Unit(1).ID[:20])}, true
	}
	s := newSink(t, SinkConfig{Connect: r.addr, Header: Header{AcceptAck: "AL", ApplicationAck: "AL"}})
	for n := range 2 {
		if o, err := one(t, s, connector.Unit(n)); err != nil || o.Result != broker.Applied {
			t.Fatalf("%v %v", o, err)
		}
	}
	_, all := r.Came()
	if len(all) != 3 || !strings.Contains(all[1], "MSA|CA|RAA\r") {
		t.Errorf("%d messages came: %q", len(all), all)
	}
}

func TestTheHeaderIsCompletedAndNothingElseIsTouched(t *testing.T) {
	t.Parallel()
	u := connector.Unit(0)
	id := u.ID[:20]
	h := Header{SendingApplication: "VAGUS", SendingFacility: "NORTH^1.2.3^ISO", ReceivingApplication: "LAB", ReceivingFacility: "N", ProcessingID: "T", AcceptAck: "AL", ApplicationAck: "NE"}
	for _, tt := range []struct{ name, doc, want, fault string }{
		{name: "what is empty is filled in", doc: "MSH|^~\\&|||||||MFN^M16|||2.6\rITM|1|a\r", want: "MSH|^~\\&|VAGUS|NORTH^1.2.3^ISO|LAB|N|20260504162011+0000||MFN^M16|" + id + "|T|2.6|||AL|NE\rITM|1|a\r"},
		{name: "what the mapping wrote stays", doc: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16|X1|P|2.6|||NE|AL\r", want: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16|X1|P|2.6|||NE|AL\r"},
		{name: "one of MSH-15 and 16 is both", doc: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16|X1|P|2.6||||AL\r", want: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16|X1|P|2.6||||AL\r"},
		{name: "another character set", doc: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16||P|2.6||||||GB 18030-2000\rITM|\xd6\xd0\r", want: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16|" + id + "|P|2.6|||AL|NE||GB 18030-2000\rITM|\xd6\xd0\r"},
		{name: "no header", doc: "ITM|1\r", fault: "does not begin with MSH"},
		{name: "no message type", doc: "MSH|^~\\&|A|B|C|D|20260101||||P|2.6\r", fault: "MSH-9"},
		{name: "an answer that nobody waits for", doc: "MSH|^~\\&|A|B|C|D|20260101||MFN^M16|X1|P|2.6|||NE|NE\r", fault: "ask for no answer"},
		{name: "the end of a frame", doc: "MSH|^~\\&|||||||MFN^M16|||2.6\rITM|\x1c\r", fault: "frame a message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := seal(u, []byte(tt.doc), h)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("got %v, want %q", err, tt.fault)
				}
				return
			}
			if err != nil || string(m.frame) != "\x0b"+tt.want+"\x1c\r" {
				t.Fatalf("%v\n%q\nwant\n%q", err, m.frame, tt.want)
			}
		})
	}
}

func TestASinkTrustsOnlyWhomItIsToldTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	other, otherKey := certificate(t, dir, "other", nil, nil)
	certificate(t, dir, "server", ca, caKey)
	certificate(t, dir, "client", ca, caKey)
	certificate(t, dir, "stranger", other, otherKey)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, tt := range []struct {
		name string
		tls  *ClientTLS
		ok   bool
	}{
		{"our certificate and its authority", &ClientTLS{CAFile: in("ca.pem"), CertFile: in("client.pem"), KeyFile: in("client.key"), ServerName: "localhost"}, true},
		{"no certificate of ours", &ClientTLS{CAFile: in("ca.pem"), ServerName: "localhost"}, false},
		{"a certificate of another authority", &ClientTLS{CAFile: in("ca.pem"), CertFile: in("stranger.pem"), KeyFile: in("stranger.key"), ServerName: "localhost"}, false},
		{"a receiver of another authority", &ClientTLS{CAFile: in("other.pem"), CertFile: in("client.pem"), KeyFile: in("client.key"), ServerName: "localhost"}, false},
		{"a receiver of another name", &ClientTLS{CAFile: in("ca.pem"), CertFile: in("client.pem"), KeyFile: in("client.key"), ServerName: "lab.example.org"}, false},
		{"no encryption", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			r.Stop()
			r.tls = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
			r.Start()
			o, err := one(t, newSink(t, SinkConfig{Connect: r.addr, TLS: tt.tls, AckTimeout: 2 * time.Second}), connector.Unit(0))
			if (err == nil) != tt.ok || tt.ok && o.Result != broker.Applied {
				t.Errorf("%v %v", o, err)
			}
		})
	}
}

func TestASinksSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c    SinkConfig
		want string
	}{
		{SinkConfig{}, "connect: write host:port"},
		{SinkConfig{Connect: "lab"}, "connect: write host:port"},
		{SinkConfig{Connect: "lab:1", MaxFrame: 3}, "max_frame"},
		{SinkConfig{Connect: "lab:1", AckTimeout: -1}, "ack_timeout"},
		{SinkConfig{Connect: "lab:1", Header: Header{SendingApplication: "a|b"}}, "header.sending_application"},
		{SinkConfig{Connect: "lab:1", Header: Header{ReceivingFacility: "a\rb"}}, "header.receiving_facility"},
		{SinkConfig{Connect: "lab:1", Header: Header{AcceptAck: "yes"}}, "header.accept_ack"},
		{SinkConfig{Connect: "lab:1", Header: Header{AcceptAck: "NE", ApplicationAck: "NE"}}, "use accept_ack: AL"},
		{SinkConfig{Connect: "lab:1", TLS: &ClientTLS{CAFile: "/nowhere"}}, "ca_file"},
		{SinkConfig{Connect: "lab:1", TLS: &ClientTLS{CertFile: "/nowhere"}}, "cert_file"},
	} {
		if _, err := NewSink(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
