//go:build unix

package health

import (
	"math"
	"syscall"
)

// fileLimit returns how many files, including sockets, this process may open.
func fileLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt)) // Cur is signed on some systems
}
