package fhir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// An exporter is a server that exports files of NDJSON. Safe for concurrent use.
type exporter struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string]string // by kind and name: "output/patients"
	etag     string
	ranges   bool // it can send a part
	cut      int  // the next file ends after so many bytes; 0: it does not
	gone     bool // files have expired
	waits    int  // how often it says that the job is under way
	kickoffs []string
	deleted  int
	asked    []string // of files: their Range
	manifest func(map[string]any)
}

func newExporter(t testing.TB) *exporter {
	t.Helper()
	x := &exporter{files: map[string]string{}, etag: `"1"`, ranges: true, waits: 2}
	x.Server = httptest.NewServer(http.HandlerFunc(x.serve))
	t.Cleanup(x.Close)
	return x
}

func (x *exporter) serve(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/$export"):
		x.kickoffs = append(x.kickoffs, r.URL.Path+"?"+r.URL.RawQuery+" "+r.Header.Get("Prefer"))
		w.Header().Set("Content-Location", x.URL+"/job/1")
		w.WriteHeader(http.StatusAccepted)
	case r.URL.Path == "/job/1" && r.Method == http.MethodDelete:
		x.deleted++
		w.WriteHeader(http.StatusAccepted)
	case r.URL.Path == "/job/1" && x.waits > 0:
		x.waits--
		w.Header().Set("X-Progress", "50% of Canaryson's data")
		w.WriteHeader(http.StatusAccepted)
	case r.URL.Path == "/job/1":
		m := map[string]any{"transactionTime": fmt.Sprintf("2026-03-0%dT00:00:00Z", len(x.kickoffs)), "request": x.URL, "requiresAccessToken": false}
		for name := range x.files {
			kind, _, _ := strings.Cut(name, "/")
			list, _ := m[kind].([]any)
			m[kind] = append(list, map[string]any{"type": "Patient", "url": x.URL + "/files/" + name})
		}
		if x.manifest != nil {
			x.manifest(m)
		}
		_ = json.NewEncoder(w).Encode(m)
	default:
		x.file(w, r)
	}
}

func (x *exporter) file(w http.ResponseWriter, r *http.Request) {
	body, ok := x.files[strings.TrimPrefix(r.URL.Path, "/files/")]
	if !ok || x.gone {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	x.asked = append(x.asked, r.Header.Get("Range"))
	w.Header().Set("ETag", x.etag)
	if x.cut > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write([]byte(body[:x.cut]))
		x.cut = 0
		panic(http.ErrAbortHandler)
	}
	if x.ranges {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		return
	}
	_, _ = w.Write([]byte(body))
}

// patients are n lines.
func patients(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"resourceType":"Patient","id":"p%d","meta":{"versionId":"1"},"name":[{"family":"Canaryson"}]}`+"\n", from+i)
	}
	return b.String()
}

func newExportSource(t testing.TB, x *exporter, dir string, conf Export) *Source {
	t.Helper()
	src, err := New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, Config{Server: &Server{URL: x.URL}, Export: &conf, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	src.firstWait = 10 * time.Millisecond
	return src
}

// told counts messages by identity and returns how many there were.
func told(t *testing.T, j *journal) (ids map[string]int) {
	t.Helper()
	ids = map[string]int{}
	for _, m := range j.all() {
		ids[m.SenderID]++
	}
	return ids
}

func TestAnExportIsReadToItsEndAndItsJobDeleted(t *testing.T) {
	t.Parallel()
	x, j := newExporter(t), &journal{}
	x.files["output/a"] = patients(0, 2500) + strings.TrimSuffix(patients(2500, 1), "\n")
	x.files["output/b"] = "\r\n" + patients(3000, 1) + "\r\n"
	x.files["deleted/c"] = `{"resourceType":"Bundle","id":"d","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/p9"}}]}` + "\n"
	x.files["error/d"] = `{"resourceType":"OperationOutcome","issue":[]}` + "\n"
	src := newExportSource(t, x, t.TempDir(), Export{Group: "g1", Types: []string{"Patient", "Coverage"}})
	src.export.s.conf.Export.Every = 50 * time.Millisecond // shorter than anybody may set
	run(t, src, j.accept)
	until(t, "a second export is asked for", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return len(x.kickoffs) > 1 })
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := told(t, j)
	if len(ids) != 2503 || ids["Patient/p2500/_history/1"] == 0 || ids["Patient/p3000/_history/1"] == 0 || ids["Bundle/d"] == 0 {
		t.Errorf("%d resources are stored", len(ids))
	}
	if m := j.all()[0]; string(m.Body)+"\n" != patients(0, 1) && m.Kind == "Patient" && m.SenderID == "Patient/p0/_history/1" {
		t.Errorf("the line has become %q", string(m.Body))
	}
	if x.deleted == 0 {
		t.Error("the job was not deleted")
	}
	if want := "/Group/g1/$export?_outputFormat=application%2Ffhir%2Bndjson&_type=Patient%2CCoverage respond-async"; x.kickoffs[0] != want {
		t.Errorf("asked for was %s", x.kickoffs[0])
	}
	if !strings.Contains(x.kickoffs[1], "_since=2026-03-01T00%3A00%3A00Z") {
		t.Errorf("the next time asked for was %s", x.kickoffs[1])
	}
}

// An export that is stopped anywhere goes on where it stood.
func TestAnExportGoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	const lines = 4500 // five steps
	for name, prepare := range map[string]func(*exporter){
		"of a server that sends parts":  func(*exporter) {},
		"of a server that sends all":    func(x *exporter) { x.ranges = false },
		"of a server that says no ETag": func(x *exporter) { x.etag = "" },
		"of a server that does neither": func(x *exporter) { x.ranges = false; x.etag = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, dir := newExporter(t), t.TempDir()
			x.files["output/a"] = patients(0, lines)
			prepare(x)
			j := &journal{}
			for stop := 1; stop <= 6; stop++ { // a process that ends after each step
				steps := 0
				ctx, cancel := context.WithCancel(context.Background())
				src := newExportSource(t, x, dir, Export{})
				ended := make(chan error, 1)
				go func() {
					ended <- src.Run(ctx, func(ctx context.Context, ms ...*broker.Message) error {
						err := j.accept(ctx, ms...)
						if steps++; steps == 1 {
							cancel()
						}
						return err
					})
				}()
				select {
				case err := <-ended:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("it does not end")
				}
				cancel()
				x.mu.Lock()
				done := x.deleted > 0
				x.mu.Unlock()
				if done || len(told(t, j)) == lines {
					break
				}
			}
			ids := told(t, j)
			for n := range lines {
				if got := ids[fmt.Sprintf("Patient/p%d/_history/1", n)]; got != 1 {
					t.Fatalf("patient %d was told %d times", n, got)
				}
			}
		})
	}
}

func TestAFileThatBreaksOffIsAskedForAgain(t *testing.T) {
	t.Parallel()
	x, j := newExporter(t), &journal{}
	x.files["output/a"] = patients(0, 3000)
	x.cut = len(x.files["output/a"])/2 + 7 // in the middle of a line
	run(t, newExportSource(t, x, t.TempDir(), Export{}), j.accept)
	until(t, "the job is deleted", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.deleted > 0 })
	if ids := told(t, j); len(ids) != 3000 || ids["Patient/p2999/_history/1"] != 1 {
		t.Errorf("%d patients are stored", len(ids))
	}
	if len(x.asked) != 2 || !strings.HasPrefix(x.asked[1], "bytes=") {
		t.Errorf("asked for was %q", x.asked)
	}
}

func TestAFileThatHasChangedIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	x, j := newExporter(t), &journal{}
	x.files["output/a"] = patients(0, 3000)
	x.cut = len(x.files["output/a"]) / 2
	first := true
	run(t, newExportSource(t, x, t.TempDir(), Export{}), func(ctx context.Context, ms ...*broker.Message) error {
		if x.mu.Lock(); first {
			first = false
			x.etag, x.files["output/a"] = `"2"`, patients(5000, 3000)
		}
		x.mu.Unlock()
		return j.accept(ctx, ms...)
	})
	until(t, "the job is deleted", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.deleted > 0 })
	ids := told(t, j)
	for n := range 3000 {
		if ids[fmt.Sprintf("Patient/p%d/_history/1", 5000+n)] == 0 {
			t.Fatalf("patient %d was passed over", n)
		}
	}
}

func TestWhatCanNotBeStoredNowIsOfferedAgain(t *testing.T) {
	t.Parallel()
	x, j, fails := newExporter(t), &journal{}, 3
	x.files["output/a"] = patients(0, 1500)
	src := newExportSource(t, x, t.TempDir(), Export{})
	var mu sync.Mutex
	run(t, src, func(ctx context.Context, ms ...*broker.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if fails--; fails >= 0 {
			return fmt.Errorf("append: %w", broker.ErrFull)
		}
		return j.accept(ctx, ms...)
	})
	until(t, "the job is deleted", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.deleted > 0 })
	if ids := told(t, j); len(ids) != 1500 {
		t.Errorf("%d patients are stored", len(ids))
	}
}

func TestALineThatIsTooLongIsLeftOutAndTheRestIsNot(t *testing.T) {
	t.Parallel()
	x, j := newExporter(t), &journal{}
	x.files["output/a"] = patients(0, 2) + strings.Repeat("x", maxLine+1) + "\n" + patients(2, 2)
	run(t, newExportSource(t, x, t.TempDir(), Export{}), j.accept)
	until(t, "the job is deleted", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.deleted > 0 })
	if ids := told(t, j); len(ids) != 4 {
		t.Errorf("stored are %v", ids)
	}
}

func TestAnExportThatHasExpiredIsAskedForAgain(t *testing.T) {
	t.Parallel()
	x, j := newExporter(t), &journal{}
	x.files["output/a"], x.gone = patients(0, 3), true
	run(t, newExportSource(t, x, t.TempDir(), Export{}), j.accept)
	until(t, "it is asked for again", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.gone = len(x.kickoffs) < 2
		return !x.gone
	})
	until(t, "it is read", func() bool { return len(j.all()) == 3 })
}

func TestOurTokenIsNotGivenAway(t *testing.T) {
	t.Parallel()
	for name, manifest := range map[string]func(map[string]any){
		"a file elsewhere that wants it": func(m map[string]any) {
			m["requiresAccessToken"], m["output"] = true, []any{map[string]any{"url": "https://elsewhere.example.org/a"}}
		},
		"a file elsewhere in the clear": func(m map[string]any) { m["output"] = []any{map[string]any{"url": "http://elsewhere.example.org/a"}} },
	} {
		x := newExporter(t)
		x.manifest = manifest
		src := newExportSource(t, x, t.TempDir(), Export{})
		run(t, src, (&journal{}).accept)
		until(t, name+" is a problem", func() bool { return strings.Contains(src.Problem(), "at another origin") })
	}
}

// An endless exporter makes its file while it is read.
func bigExport(t testing.TB, size int) (x *httptest.Server, lines int) {
	t.Helper()
	line := []byte(patients(0, 1))
	line = bytes.Replace(line, []byte("Canaryson"), []byte(strings.Repeat("Canaryson ", 200)), 1) // 2 KB
	lines = size / len(line)
	block := bytes.Repeat(line, 64)
	x = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/$export":
			w.Header().Set("Content-Location", x.URL+"/job")
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusAccepted)
		case r.URL.Path == "/job":
			fmt.Fprintf(w, `{"transactionTime":"2026-03-01T00:00:00Z","output":[{"type":"Patient","url":%q}]}`, x.URL+"/file")
		default:
			for n := 0; n < lines; n += 64 {
				if _, err := w.Write(block[:min(64, lines-n)*len(line)]); err != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(x.Close)
	return x, lines
}

// export runs one export and returns what is resident at its most, and how long
// it took.
func exportOnce(t testing.TB, size int) (before, most int64, took time.Duration) {
	t.Helper()
	x, lines := bigExport(t, size)
	src, err := New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, Config{Server: &Server{URL: x.URL}, Export: &Export{}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	src.firstWait = time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	debug.FreeOSMemory()
	before, began, count := resident(t), time.Now(), 0
	ended := make(chan error, 1)
	go func() {
		ended <- src.Run(ctx, func(_ context.Context, ms ...*broker.Message) error {
			if count += len(ms); count%10_000 < len(ms) {
				most = max(most, resident(t))
			}
			if count == lines {
				took = time.Since(began)
				cancel()
			}
			return nil
		})
	}()
	select {
	case err = <-ended:
	case <-time.After(2 * time.Minute):
		err = errors.New("two minutes passed")
	}
	if err != nil || count != lines {
		t.Fatalf("%d of %d lines: %v", count, lines, err)
	}
	return before, most, took
}

func resident(t testing.TB) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// It is not parallel: what is resident is the whole process's.
func TestAnExportOf100MBNeedsLittleMemory(t *testing.T) {
	before, most, took := exportOnce(t, 100<<20)
	t.Logf("resident %d MiB before, %d MiB at most; %.0f MB/s", before>>20, most>>20, 100/took.Seconds())
	if most-before > 100<<20 {
		t.Errorf("100 MB take %d MiB of memory", (most-before)>>20)
	}
}

func BenchmarkExport(b *testing.B) {
	const size = 100 << 20
	b.SetBytes(size)
	var grown int64
	for b.Loop() {
		before, most, _ := exportOnce(b, size)
		grown = max(grown, most-before)
	}
	b.ReportMetric(float64(grown>>20), "MB-grown")
}
