//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package state

import (
	"syscall"
	"testing"
)

// TestUnlockedStateDirIsFreeAtOnce keeps a copy of the descriptor of the lock open, as a program has that is being started.
func TestUnlockedStateDirIsFreeAtOnce(t *testing.T) {
	first := held(t, t.TempDir())
	descriptor, err := syscall.Dup(int(first.locked.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(descriptor)
	first.Unlock()
	second := NewDir(first.path)
	if err := second.Lock(); err != nil {
		t.Errorf("after the first let go: %v", err)
	}
	second.Unlock()
}
