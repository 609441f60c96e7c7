// Package endtoend_test runs the whole way of a message with real processes:
// agent, hub and workers are children of the test that can be killed, the link
// between site and cloud is a TCP path that can be cut or frozen, PostgreSQL is
// real, Odoo is the simulated one. After every scenario the same audit holds
// what was acknowledged against what the ledger and Odoo have.
package endtoend_test

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
	"testing"

	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
)

// The test binary is the program as well: with these set it runs one process
// of the system, so that the race detector watches that too.
const (
	childRole   = "VAGUS_TEST_ROLE"
	childConfig = "VAGUS_TEST_CONFIG"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(role, os.Getenv(childConfig)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(role, file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if dir := os.Getenv("VAGUS_BENCH_PROFILES"); dir != "" { // where to put a processor profile of each process
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
