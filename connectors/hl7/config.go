package hl7

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker/reception"
)

// Ack modes of [Config].
const (
	AckByMessage = "message"  // as MSH-15 and MSH-16 of each message ask
	AckOriginal  = "original" // always AA, AE or AR, whatever MSH-15 and MSH-16 say
)

// Config configures a [Source]; of a [Receiver] only AckMode, AcceptTimeout and
// what is not YAML. The zero value of every field but Listen means its default.
type Config struct {
	Listen         string        `yaml:"listen"`          // "host:port"; port 0 takes a free one
	TLS            reception.TLS `yaml:"tls"`             // zero: plain TCP
	MaxFrame       int           `yaml:"max_frame"`       // bytes of one frame's content; default 16 MiB
	MaxConnections int           `yaml:"max_connections"` // more are closed at once; default 256
	ReadTimeout    time.Duration `yaml:"read_timeout"`    // from a frame's first byte to its last; default 30 s
	IdleTimeout    time.Duration `yaml:"idle_timeout"`    // between frames; default 1 h
	WriteTimeout   time.Duration `yaml:"write_timeout"`   // of one answer; default 30 s
	AcceptTimeout  time.Duration `yaml:"accept_timeout"`  // of storing one message or batch; default 30 s
	AckMode        string        `yaml:"ack_mode"`        // "message" (default) or "original"

	Logger *slog.Logger `yaml:"-"` // nil discards
	Tracer trace.Tracer `yaml:"-"` // nil is a no-op
	Meter  metric.Meter `yaml:"-"` // nil is a no-op
}

// withDefaults returns the settings with the defaults filled in, or an error
// that names the setting to change.
func (c Config) withDefaults() (Config, error) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return c, fmt.Errorf("listen: write host:port, such as 0.0.0.0:2575: %w", err)
	}
	orInt := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	orTime := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	orInt(&c.MaxFrame, 16<<20)
	orInt(&c.MaxConnections, 256)
	orTime(&c.ReadTimeout, 30*time.Second)
	orTime(&c.IdleTimeout, time.Hour)
	orTime(&c.WriteTimeout, 30*time.Second)
	switch {
	case c.MaxFrame < 256 || c.MaxFrame > 1<<30:
		return c, errors.New("max_frame: use 256 bytes to 1 GiB")
	case c.MaxConnections < 1:
		return c, errors.New("max_connections: use 1 or more")
	case min(c.ReadTimeout, c.IdleTimeout, c.WriteTimeout) < time.Millisecond:
		return c, errors.New("read_timeout, idle_timeout, write_timeout: use 1ms or more")
	}
	return c.answering()
}

// answering fills in and checks the settings that any way in has.
func (c Config) answering() (Config, error) {
	c.AcceptTimeout = cmp.Or(c.AcceptTimeout, 30*time.Second)
	c.AckMode = cmp.Or(c.AckMode, AckByMessage)
	switch {
	case c.AcceptTimeout < time.Millisecond:
		return c, errors.New("accept_timeout: use 1ms or more")
	case c.AckMode != AckByMessage && c.AckMode != AckOriginal:
		return c, fmt.Errorf("ack_mode: use %s or %s", AckByMessage, AckOriginal)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
