//go:build race

package main

// raceEnabled is true under the race detector, which makes everything five to ten times slower.
const raceEnabled = true
