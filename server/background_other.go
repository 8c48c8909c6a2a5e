//go:build !linux

package server

// lowerThreadPriority does nothing: other systems do not tell the threads of a process apart.
func lowerThreadPriority() {}
