//go:build !linux

package geo

// collapseHugePages does nothing: only Linux supports it.
func collapseHugePages([]byte) {}

// prefault does nothing: only Linux supports it.
func prefault([]byte) {}
