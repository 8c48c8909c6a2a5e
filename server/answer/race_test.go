//go:build race

package answer

// raceEnabled is true under the race detector, which makes everything five to ten times slower.
const raceEnabled = true
