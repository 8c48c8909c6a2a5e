//go:build !linux

package server

// yieldThread does nothing: other systems do not tell the threads of a process apart.
func yieldThread() {}
