// Package bed has what tests of whole systems stand on: the processes of Vagus as children
// that can be killed, a path between them that can be cut, a PostgreSQL of one's
// own, and free addresses. It knows no test framework: what fails is an error.
package bed

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"syscall"

	"github.com/vagus-health/vagus/broker/failpoint"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

// A program that uses the bed is the processes of Vagus as well: with these set
// it runs one of them, so that the race detector, and a change of the code that a
// test makes on purpose, are in these too.
const (
	childRole   = "VAGUS_TEST_ROLE"
	childConfig = "VAGUS_TEST_CONFIG"
)

// Role runs the process that this program was started as, and then ends it; it returns at
// once in the program that a person or go test started. Call it first in main or TestMain.
func Role() {
	role := os.Getenv(childRole)
	if role == "" {
		return
	}
	if err := child(role, os.Getenv(childConfig)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Vagus returns a process of this role ("agent", "hub", "worker") with this
// configuration file, whose log lies beside it, and does not start it.
func Vagus(name, role, conf string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return Command(name, conf+".log", []string{childRole + "=" + role, childConfig + "=" + conf, "GORACE=exitcode=0"}, self), nil
}

func child(role, file string) error {
	if err := failpoint.Arm(os.Getenv(failpoint.Env)); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if role == relayRole {
		return relay(ctx, file)
	}
	if dir := os.Getenv("VAGUS_BENCH_PROFILES"); dir != "" { // where to put the profiles of each process
		runtime.SetMutexProfileFraction(100)
		defer context.AfterFunc(ctx, func() { // what it holds while it still works
			for _, name := range []string{"allocs", "mutex"} {
				if out, err := os.Create(filepath.Join(dir, role+"."+name+".pprof")); err == nil {
					_ = pprof.Lookup(name).WriteTo(out, 0)
					_ = out.Close()
				}
			}
		})()
		out, err := os.Create(filepath.Join(dir, role+".pprof"))
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	o := app.Options{Version: "test"}
	var p app.Process
	var err error
	switch role {
	case "agent":
		cfg := config.NewAgent()
		if err := config.Load(file, cfg); err != nil {
			return err
		}
		p, err = app.StartAgent(ctx, cfg, o)
	case "worker":
		cfg := config.NewWorker()
		if err := config.Load(file, cfg); err != nil {
			return err
		}
		p, err = app.StartWorker(ctx, cfg, o)
	case "hub":
		cfg := config.NewHub()
		if err := config.Load(file, cfg); err != nil {
			return err
		}
		p, err = app.StartHub(ctx, cfg, o)
	default:
		return fmt.Errorf("no such role: %s", role)
	}
	if err != nil {
		return err
	}
	ask := make(chan os.Signal, 1)
	signal.Notify(ask, syscall.SIGUSR1)
	go tellHeap(ask, file+".heap")
	return app.Run(ctx, p)
}

// tellHeap writes how many bytes the process holds, whenever it is asked.
func tellHeap(ask <-chan os.Signal, file string) {
	for range ask {
		runtime.GC()
		runtime.GC() // the second one collects what finalizers of the first let go
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if err := os.WriteFile(file+".new", []byte(strconv.FormatUint(m.HeapAlloc, 10)), 0o600); err == nil {
			_ = os.Rename(file+".new", file)
		}
	}
}
