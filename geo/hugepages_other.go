//go:build !linux

package geo

// collapseHugePages is for Linux alone.
func collapseHugePages([]byte) {}

// prefault is for Linux alone.
func prefault([]byte) {}
