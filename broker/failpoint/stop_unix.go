//go:build unix

package failpoint

import (
	"os"
	"os/signal"
	"syscall"
)

// stop returns when the process goes on: the signal may stop another thread first, and this one must
// take no step meanwhile.
func stop() {
	on := make(chan os.Signal, 1)
	signal.Notify(on, syscall.SIGCONT)
	defer signal.Stop(on)
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		os.Exit(1)
	}
	<-on
}
