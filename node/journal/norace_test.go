//go:build !race

package journal_test

// raceEnabled says that the tests run with the race detector, which makes them ten times slower.
const raceEnabled = false
