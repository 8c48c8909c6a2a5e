//go:build unix

package keys

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the user of a file, or -1 if it is unknown.
func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
