//go:build !linux

package app

import "runtime/debug"

// releaseStart gives back the memory that only starting needed.
func releaseStart() error {
	debug.FreeOSMemory()
	return nil
}
