//go:build race

package admin_test

// raceEnabled is true under the race detector.
const raceEnabled = true
