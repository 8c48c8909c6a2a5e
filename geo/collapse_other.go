//go:build !linux

package geo

// collapse is for Linux alone.
func collapse([]byte) {}

// ahead is for Linux alone.
func ahead([]byte) {}
