//go:build !unix

package health

import "math"

// fileLimit is how many files, sockets among them, this process may have open.
func fileLimit() int { return math.MaxInt }
