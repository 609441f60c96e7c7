package workbench

import (
	"context"
	"runtime"
	"sync/atomic"
)

// inOrder does n jobs on all cores and hands on each result in the order of
// the jobs, as soon as it and all before it are there. When ctx ends it, it
// returns ctx's error at once: a job in hand ends by itself, unheard.
func inOrder[T any](ctx context.Context, n int, job func(i int) T, done func(i int, result T)) error {
	results := make([]chan T, n)
	for i := range results {
		results[i] = make(chan T, 1)
	}
	var taken atomic.Int64
	for range min(n, runtime.GOMAXPROCS(0)) {
		go func() {
			for i := int(taken.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(taken.Add(1)) - 1 {
				results[i] <- job(i)
			}
		}()
	}
	for i := range n {
		select {
		case r := <-results[i]:
			done(i, r)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
