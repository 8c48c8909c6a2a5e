//go:build unix

package keys

import (
	"os"
	"syscall"
)

// lockFolder waits until no other program changes keys in a folder. The kernel releases the lock when the process ends.
func lockFolder(path string) (unlock func(), err error) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		folder.Close()
		return nil, err
	}
	return func() { folder.Close() }, nil
}
