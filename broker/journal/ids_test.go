package journal

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// appendEach appends messages one after the other.
func appendEach(t *testing.T, j *Journal, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := j.Append(t.Context(), "adt", testMessage(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func held(t *testing.T, j *Journal) int {
	t.Helper()
	st, err := j.Stats(t.Context(), "adt")
	if err != nil {
		t.Fatal(err)
	}
	return int(st.Messages)
}

// A start finds what the journal holds whatever happened to the file that says so.
func TestRepeatsAreRecognisedWhateverBecameOfTheFile(t *testing.T) {
	t.Parallel()
	const n = 600 // more than one read of the stream
	for name, spoil := range map[string]func(t *testing.T, path string, whole []byte){
		"it is as it was": func(*testing.T, string, []byte) {},
		"it is gone": func(t *testing.T, path string, _ []byte) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"its end is torn":           func(t *testing.T, path string, whole []byte) { write(t, path, whole[:len(whole)/2+7]) },
		"its end is zeros":          func(t *testing.T, path string, whole []byte) { clear(whole[len(whole)/2:]); write(t, path, whole) },
		"one bit of it has flipped": func(t *testing.T, path string, whole []byte) { whole[len(whole)/3] ^= 4; write(t, path, whole) },
		"it is empty":               func(t *testing.T, path string, _ []byte) { write(t, path, nil) },
		"it holds something else": func(t *testing.T, path string, whole []byte) {
			write(t, path, []byte("not a file of ours, not a file of ours"))
		},
		"it says all of it twice": func(t *testing.T, path string, whole []byte) { write(t, path, append(whole, whole...)) },
		"a rewrite was cut short": func(t *testing.T, path string, whole []byte) { write(t, path+".new", whole[:50]) },
		"it is ahead of the stream": func(t *testing.T, path string, whole []byte) {
			write(t, path, appendRecord(whole[:len(whole)/2], place{1, 5000}))
		},
		"it could not be written on": func(t *testing.T, path string, whole []byte) { write(t, path, whole[:100*idRecord]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j, err := Open(t.Context(), Config{Dir: dir, Feeds: []Feed{{Name: "adt"}}})
			if err != nil {
				t.Fatal(err)
			}
			all := make([]*broker.Message, n)
			for i := range all {
				all[i] = testMessage(i)
			}
			if err := j.Append(t.Context(), "adt", all[:n-3]...); err != nil {
				t.Fatal(err)
			}
			appendEach(t, j, n-3, n)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "ids", "adt")
			whole, err := os.ReadFile(path)
			if err != nil || len(whole) != n*idRecord {
				t.Fatalf("the file has %d bytes, %v", len(whole), err)
			}
			spoil(t, path, whole)
			for range 2 { // and the start after the next one
				j = openTest(t, dir, "adt")
				for _, i := range []int{0, n / 3, n/2 + 1, n - 4, n - 1} {
					if err := j.Append(t.Context(), "adt", testMessage(i)); err != nil {
						t.Fatal(err)
					}
					if e, err := j.Find(t.Context(), "adt", broker.ShortID(testMessage(i).ID)); err != nil || e.Position.Seq != uint64(i+1) {
						t.Errorf("message %d is found at %d, %v", i, e.Position.Seq, err)
					}
				}
				if got := held(t, j); got != n {
					t.Errorf("%d messages, want %d", got, n)
				}
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Size()%idRecord != 0 {
				t.Errorf("the file is not whole: %v, %v", info, err)
			}
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A message that the file knows and the stream does not is new: taking it for a repeat would lose it.
func TestWhatOnlyTheFileKnowsIsStored(t *testing.T) {
	t.Parallel()
	other, dir := t.TempDir(), t.TempDir()
	for d, from := range map[string]int{other: 100, dir: 0} {
		j, err := Open(t.Context(), Config{Dir: d, Feeds: []Feed{{Name: "adt"}}})
		if err != nil {
			t.Fatal(err)
		}
		appendEach(t, j, from, from+10)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The stream of other has other messages at the sequences of which the file speaks, and
	// ends before the last of them.
	was, err := os.ReadFile(filepath.Join(dir, "ids", "adt"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "ids", "adt"), appendRecord(was, place{idHash(testMessage(50).ID), 5000}))
	j := openTest(t, other, "adt")
	appendEach(t, j, 5, 10)
	appendEach(t, j, 50, 51)
	appendEach(t, j, 5, 10)
	if got := held(t, j); got != 16 {
		t.Errorf("%d messages, want the 10 of before and 6", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openTest(t, other, "adt")
	appendEach(t, j, 5, 10)
	appendEach(t, j, 50, 51)
	if got := held(t, j); got != 16 {
		t.Errorf("%d messages after another start, want 16", got)
	}
}

func TestWhatAnEarlierVersionStoredIsRecognised(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, err := Open(t.Context(), Config{Dir: dir, Feeds: []Feed{{Name: "adt"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := j.lanes["adt"].current()
	for i := range 3 {
		m := encode(testMessage(i))
		m.Subject = subject("adt", broker.ShortID(testMessage(i).ID))
		if _, err := s.nc.RequestMsg(m, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "ids")); err != nil {
		t.Fatal(err)
	}
	j = openTest(t, dir, "adt")
	appendEach(t, j, 0, 4)
	if got := held(t, j); got != 4 {
		t.Errorf("%d messages, want 4", got)
	}
}

func TestTrimmedIDsAreGivenFree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := openTest(t, dir, "adt")
	appendEach(t, j, 0, 40)
	x := j.lanes["adt"].ids
	for _, step := range []struct{ upTo, memory int }{{9, 40}, {29, 10}, {39, 0}} {
		if n, err := j.Trim(t.Context(), "adt", Position{Seq: uint64(step.upTo + 1), ID: testMessage(step.upTo).ID}, time.Now().Add(time.Hour)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		x.mu.Lock()
		memory := len(x.at)
		x.mu.Unlock()
		info, err := os.Stat(filepath.Join(dir, "ids", "adt"))
		if err != nil {
			t.Fatal(err)
		}
		if memory != step.memory || info.Size() != int64(step.memory)*idRecord {
			t.Errorf("trimmed up to %d: %d in memory and %d in the file, want %d", step.upTo, memory, info.Size()/idRecord, step.memory)
		}
		if x.where(idHash(testMessage(step.upTo).ID)) != 0 {
			t.Errorf("message %d is trimmed and found", step.upTo)
		}
	}
	appendEach(t, j, 38, 41) // what was trimmed is new, and goes into the file that was rewritten
	if got := held(t, j); got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "ids", "adt")); err != nil || info.Size() != 3*idRecord {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// Of several who bring one message at the same moment one stores it, and all are told that it is safe.
func TestWhoComesWhileItIsOnItsWayWaitsForIt(t *testing.T) {
	t.Parallel()
	j := openTest(t, t.TempDir(), "adt")
	l := j.lanes["adt"]
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l.syncMu.Lock() // what is published now is not committed
	ends := make(chan error, 8)
	for range cap(ends) - 1 {
		go func() { ends <- j.Append(ctx, "adt", testMessage(1)) }()
	}
	go func() { ends <- j.Append(ctx, "adt", testMessage(2), testMessage(1)) }()
	for coming := 0; coming == 0; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		coming = len(l.coming)
		l.mu.Unlock()
	}
	given, stop := context.WithCancel(ctx)
	stop()
	if err := j.Append(given, "adt", testMessage(1)); err == nil {
		t.Error("it is safe before it was synced")
	}
	select {
	case err := <-ends:
		t.Errorf("one was answered before the sync: %v", err)
	default:
	}
	l.syncMu.Unlock()
	for range cap(ends) {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	if got := held(t, j); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.coming) != 0 {
		t.Errorf("%d are still on their way", len(l.coming))
	}
}
