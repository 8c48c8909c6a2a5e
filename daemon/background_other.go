//go:build !linux

package daemon

// lowerThreadPriority does nothing: other systems have no priority for each thread.
func lowerThreadPriority() {}
