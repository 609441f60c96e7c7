package hl7

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

func BenchmarkParse(b *testing.B) {
	body := []byte(sampleADT)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseAgain parses as Decode does, into memory of earlier messages.
func BenchmarkParseAgain(b *testing.B) {
	body, m := []byte(sampleADT), &Message{}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.read(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEnvelope(b *testing.B) {
	body := []byte(sampleADT)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readEnvelope(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body, d := []byte(sampleADT), in(b, "2.5.1")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(body, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeSome decodes what a mapping of patients reads.
func BenchmarkDecodeSome(b *testing.B) {
	body := []byte(sampleADT)
	only := tree.Selection{"MSH": {"4": true, "9": true, "10": true}, "PID": {}}
	for _, field := range []string{"3", "5", "7", "8", "11", "13", "15"} {
		only.Add("PID", field)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	d := in(b, "2.5.1")
	b.ResetTimer()
	for b.Loop() {
		if _, err := d.Decode(body, only); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAccept1(b *testing.B)  { benchmarkAccept(b, 1) }
func BenchmarkAccept64(b *testing.B) { benchmarkAccept(b, 64) }

// benchmarkAccept sends one message after the other on each connection to a
// source whose Accept does nothing. The senders' time counts as well.
func benchmarkAccept(b *testing.B, connections int) {
	addr, stop := run(b, Config{}, func(context.Context, ...*broker.Message) error { return nil })
	defer stop()
	frame := appendFrame(nil, []byte(sampleADT))
	work := make(chan struct{}, connections)
	var wg sync.WaitGroup
	for range connections {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer c.Close()
			answer := make([]byte, 4096)
			for range work {
				if _, err := c.Write(frame); err != nil {
					b.Error(err)
					return
				}
				n, err := c.Read(answer)
				if err != nil || !bytes.Contains(answer[:n], []byte("MSA|CA")) {
					b.Error("no acknowledgement", err)
					return
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
