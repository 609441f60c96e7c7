//go:build unix

package failpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vagus-health/vagus/broker/failpoint"
)

var (
	first  = failpoint.New("test.first", "nothing", "all")
	second = failpoint.New("test.second", "a half", "the other half")
)

// The test binary is the process that ends itself as well: with this set it arms what it
// says, and passes both points three times, by two goroutines at once.
const childArms = "VAGUS_TEST_FAILPOINT"

func TestMain(m *testing.M) {
	text, child := os.LookupEnv(childArms)
	if !child {
		os.Exit(m.Run())
	}
	if err := failpoint.Arm(text); err != nil {
		_, _ = os.Stdout.WriteString(err.Error())
		os.Exit(2)
	}
	for range 3 {
		first.Hit()
		_, _ = os.Stdout.WriteString("1")
		var both sync.WaitGroup
		both.Go(second.Hit)
		both.Go(second.Hit)
		both.Wait()
		_, _ = os.Stdout.WriteString("2")
	}
}

func TestAProcessEndsAtThePointThatItIsArmedAtAndNoStepLater(t *testing.T) {
	t.Parallel()
	for arms, want := range map[string]struct {
		says   string
		killed bool
		code   int
	}{
		"":                                      {says: "121212"},
		"test.first=kill":                       {says: "", killed: true},
		"test.first=kill#3":                     {says: "1212", killed: true},
		"test.first=kill#4":                     {says: "121212"},
		"test.second=kill#2":                    {says: "1", killed: true},
		"test.second=kill#5, test.first=kill#3": {says: "1212", killed: true},
		"test.frist=kill":                       {says: `VAGUS_FAILPOINT: there is no point "test.frist"; there are test.first, test.second`, code: 2},
		"other=kill":                            {says: "VAGUS_FAILPOINT: there is no point \"other\"; `vagus failpoints` lists those of test", code: 2},
		"test.first":                            {says: "VAGUS_FAILPOINT: write test.first=kill, test.first=stop, or with the number of the hit test.first=kill#3, each point once", code: 2},
		"test.first=kill,test.first=kill#2":     {says: "VAGUS_FAILPOINT: write test.first=kill, test.first=stop, or with the number of the hit test.first=kill#3, each point once", code: 2},
		"test.first=kill#0":                     {says: "VAGUS_FAILPOINT: write test.first=kill, test.first=stop, or with the number of the hit test.first=kill#3, each point once", code: 2},
		"test.first=error":                      {says: "VAGUS_FAILPOINT: write test.first=kill, test.first=stop, or with the number of the hit test.first=kill#3, each point once", code: 2},
	} {
		t.Run(arms, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childArms+"="+arms)
			var log strings.Builder
			cmd.Stderr = &log
			out, err := cmd.Output()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if string(out) != want.says || want.killed != (status.Signaled() && status.Signal() == syscall.SIGKILL) || !want.killed && status.ExitStatus() != want.code {
				t.Errorf("it says %q and ends with %v, want %+v", out, err, want)
			}
			if hit := strings.Contains(log.String(), `"msg":"failpoint hit"`); hit != want.killed {
				t.Errorf("its log is %q", log.String())
			}
		})
	}
}

func TestAProcessThatStopsItselfGoesOnWhenItIsTold(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childArms+"=test.second=stop#3")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() || status.StopSignal() != syscall.SIGSTOP {
		t.Fatalf("it is %v: %v", status, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || out.String() != "121212" {
		t.Errorf("it said %q and ended with %v", out.String(), err)
	}
}

func TestPointsAreListedByNameAndRefusedTwice(t *testing.T) {
	t.Parallel()
	all := failpoint.All()
	if len(all) != 2 || all[0] != first || all[1] != second || first.Name() != "test.first" || second.Done() != "a half" || second.Open() != "the other half" || failpoint.Armed() != "" {
		t.Errorf("the points are %v, armed %q", all, failpoint.Armed())
	}
	for _, bad := range [][3]string{{"test.first", "a", "b"}, {"alone", "a", "b"}, {"Test.x", "a", "b"}, {"test.x y", "a", "b"}, {"test.x", "", "b"}, {"test.x", "a", ""}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is taken", bad)
				}
			}()
			failpoint.New(bad[0], bad[1], bad[2])
		}()
	}
}

func BenchmarkHitOfAPointThatIsNotArmed(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		first.Hit()
	}
}
