package demo

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheSameSeedGivesTheSameMessages(t *testing.T) {
	t.Parallel()
	a, b, size, n := NewAdmissions(7, 10), NewAdmissions(7, 10), 0, 200
	seen := map[string]int{}
	for range n {
		x, y := a.Next(), b.Next()
		if !bytes.Equal(x.Body, y.Body) {
			t.Fatal("two hospitals of one seed differ")
		}
		seen[x.MRN]++
		if x.Version != seen[x.MRN] || (x.Version == 1) == (x.Event == "A08") {
			t.Errorf("message %d of a patient is an %s with version %d", seen[x.MRN], x.Event, x.Version)
		}
		if !strings.HasPrefix(string(x.Body), "MSH|^~\\&|") {
			t.Errorf("a message begins with %.10q", x.Body)
		}
		size += len(x.Body)
	}
	if mean := size / n; mean < 1100 || mean > 1500 {
		t.Errorf("a message has %d bytes on average; ADT has about 1,200", mean)
	}
}
