package hl7

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// SinkConfig configures a [Sink]. The zero value of every field but Connect
// means its default.
type SinkConfig struct {
	Connect        string        `yaml:"connect"`         // "host:port" of the receiver
	TLS            *ClientTLS    `yaml:"tls"`             // none: plain TCP
	Header         Header        `yaml:"header"`          // of each message
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // with the TLS handshake; default 10 s
	WriteTimeout   time.Duration `yaml:"write_timeout"`   // of one message; default 30 s
	AckTimeout     time.Duration `yaml:"ack_timeout"`     // for each acknowledgement that is awaited; default 30 s
	IdleTimeout    time.Duration `yaml:"idle_timeout"`    // a connection that was not used for so long is closed before it is used again; default 10 m
	MaxFrame       int           `yaml:"max_frame"`       // bytes of one acknowledgement; default 1 MiB

	Logger *slog.Logger `yaml:"-"` // nil discards
	Meter  metric.Meter `yaml:"-"` // nil is a no-op
}

// Header is what the sink writes into those fields of MSH that the mapping left
// empty. A field stands as it is to be sent: components with ^, no escapes.
type Header struct {
	SendingApplication   string `yaml:"sending_application"`   // MSH-3
	SendingFacility      string `yaml:"sending_facility"`      // MSH-4
	ReceivingApplication string `yaml:"receiving_application"` // MSH-5
	ReceivingFacility    string `yaml:"receiving_facility"`    // MSH-6
	ProcessingID         string `yaml:"processing_id"`         // MSH-11; default P
	AcceptAck            string `yaml:"accept_ack"`            // MSH-15: AL, NE, ER or SU; default none, which with no MSH-16 is the original mode
	ApplicationAck       string `yaml:"application_ack"`       // MSH-16, likewise
}

// ClientTLS names the files of a TLS client: version 1.2 or newer, PEM.
type ClientTLS struct {
	CAFile     string `yaml:"ca_file"`     // who signed the receiver's certificate; default: the system's authorities
	CertFile   string `yaml:"cert_file"`   // our own, if the receiver asks for one
	KeyFile    string `yaml:"key_file"`    // of CertFile
	ServerName string `yaml:"server_name"` // in the receiver's certificate; default: the host of connect
}

func (c SinkConfig) withDefaults() (SinkConfig, error) {
	host, port, err := net.SplitHostPort(c.Connect)
	if err != nil || host == "" || port == "" {
		return c, errors.New("connect: write host:port, such as lab.example.org:2575")
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 30*time.Second)
	c.AckTimeout = cmp.Or(c.AckTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 10*time.Minute)
	c.MaxFrame = cmp.Or(c.MaxFrame, 1<<20)
	c.Header.ProcessingID = cmp.Or(c.Header.ProcessingID, "P")
	switch {
	case min(c.ConnectTimeout, c.WriteTimeout, c.AckTimeout, c.IdleTimeout) < time.Millisecond:
		return c, errors.New("connect_timeout, write_timeout, ack_timeout, idle_timeout: use 1ms or more")
	case c.MaxFrame < 256 || c.MaxFrame > 1<<30:
		return c, errors.New("max_frame: use 256 bytes to 1 GiB")
	}
	h := c.Header
	for _, f := range []struct{ name, value string }{{"sending_application", h.SendingApplication}, {"sending_facility", h.SendingFacility}, {"receiving_application", h.ReceivingApplication},
		{"receiving_facility", h.ReceivingFacility}, {"processing_id", h.ProcessingID}} {
		if strings.ContainsFunc(f.value, func(r rune) bool { return r < ' ' || r > '~' || r == '|' }) {
			return c, fmt.Errorf("header.%s: use printable ASCII without |", f.name)
		}
	}
	for _, f := range []struct{ name, value string }{{"accept_ack", h.AcceptAck}, {"application_ack", h.ApplicationAck}} {
		if !slices.Contains([]string{"", "AL", "NE", "ER", "SU"}, f.value) {
			return c, fmt.Errorf("header.%s: use AL, NE, ER or SU, or leave it out", f.name)
		}
	}
	if _, ok := awaited(h.AcceptAck, h.ApplicationAck); !ok {
		return c, errors.New("header: with this accept_ack and application_ack no answer says that a message arrived: use accept_ack: AL")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// load returns the client's TLS settings. The files are read for each
// connection, so that renewed ones are taken up without a restart.
func (t *ClientTLS) load(host string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmp.Or(t.ServerName, host)}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls: read ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: ca_file %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return conf, nil
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: read cert_file and key_file: %w", err)
	}
	conf.Certificates = []tls.Certificate{cert}
	return conf, nil
}
