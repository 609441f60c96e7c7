//go:build race

package simulation

// raced says that the race detector is in: all is some eight times slower, and goroutines are shuffled.
const raced = true
