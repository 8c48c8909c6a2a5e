//go:build !linux

package server

// lowerThreadPriority does nothing: other systems have no priority for each thread.
func lowerThreadPriority() {}
