package fhir_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/fhir"
)

// answered is what a client is told, step by step.
const answered = `capabilities 4.0.1 create update delete
create 201 Patient
update 200
transaction transaction-response 200 OK 201 Created
batch batch-response 200 OK 400 Bad Request
delete 200
invalid 400 value Patient.gender
conditional 412 not-supported
read 405 not-supported
search 405 not-supported
stranger 401 login
`

// TestAClientThatNobodyHereWrote runs fhir-kit-client against the endpoint, in
// the version that client/package-lock.json pins. It runs where VAGUS_PEERS=1 asks for peers.
func TestAClientThatNobodyHereWrote(t *testing.T) {
	t.Parallel()
	if os.Getenv("VAGUS_PEERS") != "1" {
		t.Log("NOT RUN: peers were not asked for (VAGUS_PEERS is not 1)")
		return
	}
	const token = "a-token-of-the-ehr"
	base, taken := listening(t, fhir.Endpoint{Path: "/fhir", Token: broker.NewSecret(token)})
	cmd := exec.CommandContext(t.Context(), "node", "client.mjs", base, token)
	cmd.Dir, cmd.WaitDelay = "client", 5*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: VAGUS_PEERS=1 needs what contract-tests/setup.sh installs\n%s", err, out)
	}
	if string(out) != answered {
		t.Errorf("the client was told\n%s\nnot\n%s", out, answered)
	}
	taken.mu.Lock()
	defer taken.mu.Unlock()
	var kinds []string
	for _, m := range taken.ms {
		kinds = append(kinds, m.Kind)
	}
	if got := strings.Join(kinds, " "); got != "Patient Patient Bundle Patient Bundle" {
		t.Errorf("the journal has %s", got)
	}
}
