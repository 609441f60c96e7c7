package simulated

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func post(t testing.TB, s *Server, path, contentType, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get("Connection") != "close" {
		t.Error("the connection is kept alive")
	}
	return w.Code, w.Body.String()
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, `{"jsonrpc":"2.0"}`)
	_ = z.Close()
	for _, c := range []struct {
		name, path, body string
		status           int
		contains         string
	}{
		{"garbage JSON", "/jsonrpc", "{not json", 400, "Invalid JSON data"},
		{"a compressed body", "/jsonrpc", zipped.String(), 400, "Invalid JSON data"},
		{"no body", "/jsonrpc", "", 400, "Invalid JSON data"},
		{"a batch", "/jsonrpc", "[1]", 400, "Invalid JSON-RPC data"},
		{"no such service", "/jsonrpc", `{"jsonrpc":"2.0","id":7,"params":{"service":"zzz","method":"m","args":[]}}`, 200, `"name":"builtins.KeyError"`},
		{"the id comes back", "/jsonrpc", `{"jsonrpc":"2.0","id":"a","params":{"service":"common","method":"version","args":[]}}`, 200, `"id":"a"`},
		{"no such path", "/nosuch", "{}", 404, "404 Not Found"},
		{"malformed XML", "/xmlrpc/2/object", "<not xml", 200, "ExpatError"},
		{"a control character", "/xmlrpc/2/common", "<methodCall><methodName>version</methodName><params><param><value><string>\x0b</string></value></param></params></methodCall>", 200, "ExpatError"},
		{"no such XML service", "/xmlrpc/2/nosuch", "<methodCall><methodName>x</methodName><params></params></methodCall>", 200, "KeyError: 'nosuch'"},
		{"no such method", "/xmlrpc/2/common", "<methodCall><methodName>zzz</methodName><params></params></methodCall>", 200, "Exception: Method not found: zzz"},
		{"version", "/xmlrpc/2/common", "<methodCall><methodName>version</methodName><params></params></methodCall>", 200, "<string>18.0</string>"},
		{"None, after the work", "/xmlrpc/2/object", "<methodCall><methodName>execute_kw</methodName><params><param><value>demo</value></param><param><value><int>2</int></value></param>" +
			"<param><value>simulated</value></param><param><value>res.partner</value></param><param><value>action_archive</value></param><param><value><array><data><value><array><data><value><int>1</int></value></data></array></value></data></array></value></param></params></methodCall>",
			200, "TypeError: cannot marshal None unless allow_none is enabled"},
	} {
		if status, body := post(t, s, c.path, "application/json", c.body); status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if s.Records("res.partner")[0].Values["active"] == true {
		t.Error("the work before None was not done")
	}
	for path, status := range map[string]int{"/xmlrpc/2/object": 405, "/jsonrpc": 400, "/web/health": 200} {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != status {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
}

func TestDownAndUpKeepsAddressAndRecords(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	health := func() error {
		resp, err := (&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url + "/web/health")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := s.SetDown(true); err != nil {
		t.Fatal(err)
	}
	if health() == nil {
		t.Error("it answers while down")
	}
	if err := s.SetDown(false); err != nil {
		t.Fatal(err)
	}
	if err := health(); err != nil {
		t.Error(err)
	}
}

func TestDeclaredModelsAndSeeds(t *testing.T) {
	t.Parallel()
	s := New(Config{Models: map[string]Model{
		"hr.employee": {Label: "Employee", Fields: map[string]Field{"name": {Type: "char", Label: "Name", Required: true}, "department_id": {Type: "many2one", Label: "Department", Relation: "hr.department"}}},
		"res.partner": {Fields: map[string]Field{"x_mrn": {Type: "char", Label: "MRN"}}},
	}, Seeds: []Seed{{Model: "res.partner", XID: "site.one", Values: map[string]any{"name": "one", "x_mrn": "1"}}}})
	if _, err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, ok := s.ByXID("site.one"); !ok || r.Values["x_mrn"] != "1" || r.Values["type"] != "contact" {
		t.Errorf("%+v", r)
	}
	_, body := post(t, s, "/jsonrpc", "application/json", `{"jsonrpc":"2.0","id":1,"params":{"service":"object","method":"execute_kw","args":["demo",2,"simulated","hr.employee","load",[["id","name","department_id"],[["t.e","e","Radiology"]]]]}}`)
	if !strings.Contains(body, "No matching record found for name 'Radiology' in field 'Department'") {
		t.Error(body)
	}
	if _, err := New(Config{Seeds: []Seed{{Model: "no.model"}, {Model: "res.partner"}}}).Start("127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "no such model") || !strings.Contains(err.Error(), "require a name") {
		t.Error(err)
	}
}

func loadBody(rows int, tag string) string {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":1,"params":{"service":"object","method":"execute_kw","args":["demo",2,"simulated","res.partner","load",[["id","name","ref","street","city","zip","phone","email","company_type","active","country_id/.id","state_id/.id"],[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `["t.%s%d","Jan Kowalski","r%d","1 Main Street","Austin","78701","+1 512 555 0100","jan@example.org","person","1","1","5"]`, tag, i, i)
	}
	b.WriteString(`]],{"context":{"mode":"update","noupdate":true}}]}}`)
	return b.String()
}

func TestEffectsTellWhatWasDoneAndInWhichOrder(t *testing.T) {
	t.Parallel()
	s := New(Config{History: true})
	for range 2 {
		if _, body := post(t, s, "/jsonrpc", "application/json", loadBody(3, "a")); strings.Contains(body, "error") {
			t.Fatal(body)
		}
	}
	_, _ = post(t, s, "/jsonrpc", "application/json", strings.Replace(loadBody(1, "a"), `{"mode":"update","noupdate":true}`, `{}`, 1))
	_, _ = post(t, s, "/jsonrpc", "application/json", strings.Replace(loadBody(2, "b"), `"person"`, `"nobody"`, 1))
	effects := s.EffectsOf("t.a0")
	if len(effects) != 2 || effects[0].Kind != "create" || effects[1].Kind != "write" || effects[0].Seq >= effects[1].Seq || effects[1].Values["name"] != "Jan Kowalski" {
		t.Errorf("%+v", effects)
	}
	if n := len(s.Effects()); n != 4 {
		t.Errorf("%d effects: what was taken back counts, or what was left alone", n)
	}
	if c := s.Calls()["res.partner.load"]; c != (Count{Calls: 4, Rows: 9, MaxRows: 3}) {
		t.Errorf("%+v", c)
	}
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte("<methodCall><methodName>m</methodName><params><param><value><struct><member><name>a</name><value><array><data><value><int>1</int></value><value/><value>&lt;&#65;</value></data></array></value></member></struct></value></param></params></methodCall>"))
	f.Add([]byte(strings.Repeat("<value><array>", 100)))
	f.Fuzz(func(t *testing.T, data []byte) { _, _, _ = parseXML(data) })
}

// BenchmarkUpserts is what the server answers over HTTP: calls with 50 rows of
// 12 columns, and with one.
func BenchmarkUpserts(b *testing.B) {
	for _, rows := range []int{50, 1} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := New(Config{})
			url, err := s.Start("127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			cpu := func() int64 {
				var u syscall.Rusage
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
				return u.Utime.Nano() + u.Stime.Nano()
			}
			start, began, n := cpu(), time.Now(), 0
			for b.Loop() {
				n++
				resp, err := http.Post(url+"/jsonrpc", "application/json", strings.NewReader(loadBody(rows, fmt.Sprint(n, "_"))))
				if err != nil {
					b.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Contains(body, []byte(`"ids":[`)) {
					b.Fatalf("%s %v", body, err)
				}
			}
			b.ReportMetric(float64(n*rows)/time.Since(began).Seconds(), "upserts/s")
			b.ReportMetric(float64(cpu()-start)/1000/float64(n*rows), "cpu-µs/upsert")
		})
	}
}
