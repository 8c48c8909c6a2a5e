//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package state

import "os"

// lockFile does nothing: this system has no lock that ends with the process.
func lockFile(*os.File) error { return nil }

// unlockFile does nothing, either.
func unlockFile(*os.File) {}
