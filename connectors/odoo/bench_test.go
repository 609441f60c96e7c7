package odoo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// asServer makes the test binary a simulated server, until its input ends.
const asServer = "VAGUS_BENCH_ODOO"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	url, err := simulated.New(simulated.Config{}).Start("127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(url)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// elsewhere starts a simulated server in a process of its own, so that this
// process's time is the target's alone.
func elsewhere(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asServer+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// admission is what the reference mapping makes of an ADT message: a patient
// and a next of kin.
func admission(patient, version int) *broker.Unit {
	xid := fmt.Sprint("vagus.patient_NORTH_", patient)
	place := func(v broker.Values) broker.Values {
		v["street"], v["street2"], v["city"], v["zip"] = fmt.Sprint(1+patient%2000, " Main Street"), fmt.Sprint("Apt 4 v", version), "Austin", "78701"
		country := []string{"US", "DE", "FR"}[patient%3]
		v["country_id"] = map[string]any{"$ref": "res.country", "by": map[string]any{"code": country}, "on_none": "skip"}
		v["state_id"] = map[string]any{"$ref": "res.country.state", "by": map[string]any{"code": "TX", "country_id.code": "US"}, "on_none": "skip"}
		return v
	}
	return &broker.Unit{ID: fmt.Sprint("u", patient, "_", version), Ops: []broker.Operation{
		upsert(xid, place(broker.Values{"name": "Jan Kowalski", "ref": json.Number(fmt.Sprint(patient)), "company_type": "person",
			"phone": "+1 512 5550100", "mobile": "+1 512 5550101", "email": "jan@example.org"})),
		{ID: "kin#1", Model: "res.partner", Do: "upsert", XID: xid + "_kin_1", Vals: place(broker.Values{"name": "Ola Kowalska",
			"type": "other", "phone": "+1 512 5550102", "parent_id": map[string]any{"$op": "patient"}})},
	}}
}

// BenchmarkApply measures this process only, for each unit of an admission:
// half of them of patients whom Odoo knows.
func BenchmarkApply(b *testing.B) {
	for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
		for _, size := range []int{50, 100} {
			b.Run(fmt.Sprintf("%s/units=%d", protocol, size), func(b *testing.B) {
				target := newTarget(b, elsewhere(b), protocol)
				sets := make([][]*broker.Unit, b.N+1)
				for n := range sets {
					for i := range size / 2 {
						sets[n] = append(sets[n], admission(n*size/2+i, n), admission((n+1)*size/2+i, n))
					}
				}
				apply := func(n int) {
					out, err := target.Apply(context.Background(), sets[n])
					if err != nil || out[0].Result != broker.Applied {
						b.Fatal(err)
					}
				}
				apply(0)
				cpu := cpuTime()
				b.ResetTimer()
				for n := range b.N {
					apply(n + 1)
				}
				b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N*size), "cpu-µs/unit")
			})
		}
	}
}
