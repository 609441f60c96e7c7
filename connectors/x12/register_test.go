package x12

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func openRegister(t testing.TB, dir string) *Register {
	t.Helper()
	r, err := OpenRegister(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestADocumentKeepsItsControlNumbers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := openRegister(t, dir)
	issue := func(partner, document string, groups int) Numbers {
		t.Helper()
		n, err := r.issue(partner, document, groups, 7, nil)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := issue("p", "order-1", 1), issue("p", "order-2", 2)
	other := issue("q", "order-1@q", 1)
	if a.Interchange != 7 || a.Group != 7 || b.Interchange != 8 || b.Group != 8 || other.Interchange != 7 {
		t.Errorf("numbers %+v %+v %+v", a, b, other)
	}
	_ = r.Close()
	if _, err := r.issue("p", "order-3", 1, 1, nil); err == nil {
		t.Error("a closed register gives numbers")
	}
	r = openRegister(t, dir)
	if again := issue("p", "order-1", 1); again != a {
		t.Errorf("again %+v, not %+v", again, a)
	}
	if c := issue("p", "order-3", 1); c.Interchange != 9 || c.Group != 10 {
		t.Errorf("after two groups %+v", c)
	}
	if d, ok := r.find("p", "GS", 9); !ok || d != "order-2" {
		t.Errorf("group 9 is of %q", d)
	}
	if d, ok := r.find("p", "ISA", 7); !ok || d != "order-1" {
		t.Errorf("interchange 7 is of %q", d)
	}
	if _, ok := r.find("q", "GS", 9); ok {
		t.Error("another partner's number is known")
	}
}

func TestControlNumbersBeginAgainAfterNineDigits(t *testing.T) {
	t.Parallel()
	r := openRegister(t, t.TempDir())
	for i, want := range []uint32{maxControl, 1, 2} {
		if n, err := r.issue("p", string(rune('a'+i)), 1, maxControl, nil); err != nil || n.Interchange != want || n.Group != want {
			t.Errorf("number %d is %+v, %v", i, n, err)
		}
	}
}

func TestALineThatWasCutOffIsTakenAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := openRegister(t, dir)
	for _, d := range []string{"a", "b"} {
		if _, err := r.issue("p", d, 1, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.Close()
	path := filepath.Join(dir, registerLog)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole, '\n') + 1
	for end := first; end < len(whole); end++ {
		if err := os.WriteFile(path, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		r := openRegister(t, dir)
		if n, err := r.issue("p", "c", 1, 1, nil); err != nil || n.Interchange != 2 {
			t.Fatalf("cut at %d of %d: %+v, %v", end, len(whole), n, err)
		}
		_ = r.Close()
		r = openRegister(t, dir) // what was written after it can be read
		if n, _ := r.issue("p", "c", 1, 1, nil); n.Interchange != 2 {
			t.Fatalf("cut at %d: then %+v", end, n)
		}
		_ = r.Close()
	}
	if err := os.WriteFile(path, append(bytes.Clone(whole[:first]), strings.Repeat("0", 2*len(whole))+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // a last line that is damaged is gone, to its end
		r := openRegister(t, dir)
		if n, err := r.issue("p", string(rune('d'+i)), 1, 1, nil); err != nil || n.Interchange != uint32(2+i) {
			t.Fatalf("after a damaged last line: %+v, %v", n, err)
		}
		_ = r.Close()
	}
	broken := bytes.Clone(whole)
	broken[12] ^= 1
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRegister(dir); err == nil || !strings.Contains(err.Error(), "line 1 is damaged") {
		t.Errorf("damage in the middle: %v", err)
	}
}

func TestWhatIsForgottenStillCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := openRegister(t, dir)
	for i := range 3001 { // the same two documents, in turn with other groups: lines that mean nothing any more
		if _, err := r.issue("p", string(rune('a'+i%2)), 1+i/2%2, 1, &line{Feed: "p", Control: "c", Hash: strings.Repeat("h", 1+i%3)}); err != nil {
			t.Fatal(err)
		}
	}
	last := r.last["p"]
	_ = r.Close()
	before, _ := os.Stat(filepath.Join(dir, registerLog))
	r = openRegister(t, dir)
	after, _ := os.Stat(filepath.Join(dir, registerLog))
	if after.Size() > before.Size()/100 {
		t.Errorf("%d bytes of %d are left", after.Size(), before.Size())
	}
	_ = r.Close()
	r = openRegister(t, dir)
	n, err := r.issue("p", "next", 1, 1, nil)
	if err != nil || n.Interchange != last.Interchange+1 || n.Group != last.Group+1 || r.came("p", "c") != "h" {
		t.Errorf("%+v after %+v, %v, %q", n, last, err, r.came("p", "c"))
	}
}

func TestManyAskAtOnceAndNoTwoGetTheSame(t *testing.T) {
	t.Parallel()
	r := openRegister(t, t.TempDir())
	var wait sync.WaitGroup
	got := make([]Numbers, 64)
	for i := range got {
		wait.Go(func() {
			n, err := r.issue("p", string(rune('0'+i)), 1, 1, nil)
			if err != nil {
				t.Error(err)
			}
			got[i] = n
		})
	}
	wait.Wait()
	seen := map[uint32]bool{}
	for _, n := range got {
		if seen[n.Interchange] || n.Interchange < 1 || n.Interchange > 64 {
			t.Errorf("%d twice, or beyond", n.Interchange)
		}
		seen[n.Interchange] = true
	}
}
