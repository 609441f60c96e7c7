package x12

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

func BenchmarkEnvelopeScan(b *testing.B) {
	body := manyClaims(5000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scanEnvelopes(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceiveClaims: 228 KB of 1,000 claims take 9 ms of CPU on the machine that the README's figures are of (25 MB/s). Two thirds are the
// comparison with the guide: a quarter elements and conditions, a fifth finding the place of each segment; then one message each
// (its body 8 %, its id 7 %) and finding the claims (6 %). What was cheap to leave out is: the checker makes no tree, a guide
// knows its segments once. The rest is spread thin, and far above what a disk syncs.
func BenchmarkReceiveClaims(b *testing.B) {
	body := manyClaims(1000)
	r := open(b, Config{Split: SplitClaim, Partners: []Partner{{Name: "m", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}}})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		got, err := r.Receive(b.Context(), broker.Delivery{Body: body}, func(context.Context, ...*broker.Message) error { return nil })
		if err != nil || got.Accepted != 1000 {
			b.Fatal(got.Accepted, err)
		}
	}
}

// manyClaims is an interchange of n claims, each of a subscriber of its own.
func manyClaims(n int) []byte {
	all := professional("", "")
	i, j := strings.Index(all, "HL*2*"), strings.Index(all, "HL*3*")
	var b strings.Builder
	b.WriteString(all[:i])
	for k := range n {
		fmt.Fprintf(&b, "HL*%d*", k+2)
		b.WriteString(all[i+5 : j])
		b.WriteString(claimText("ACC778812", "310.25"))
	}
	return sent("005010X222A1", "HC", 11, b.String())
}

func TestTheEnvelopeScanAllocatesNothingForASegment(t *testing.T) {
	few, many := manyClaims(10), manyClaims(2000)
	count := func(body []byte) float64 {
		return testing.AllocsPerRun(20, func() { _, _ = scanEnvelopes(body) })
	}
	if a, b := count(few), count(many); b > a {
		t.Errorf("%v allocations for 10 claims, %v for 2000", a, b)
	}
}
