//go:build !unix

package health

import "math"

// fileLimit returns how many files, including sockets, this process may open.
func fileLimit() int { return math.MaxInt }
