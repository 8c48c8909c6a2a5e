package daemon

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// niceness returns the nice value of the current thread.
func niceness(t *testing.T) int {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	return 20 - raw // the system call returns no negative values
}

func TestBackgroundThreadHasLowPriority(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, thread := niceness(t), unix.Gettid()
	broken := errors.New("broken")
	inside, err := inBackground(t.Context(), func() (int, error) {
		if unix.Gettid() == thread {
			t.Error("it is the caller's thread")
		}
		return niceness(t), broken
	})
	if inside != backgroundNice || err != broken {
		t.Errorf("got nice value %d, want %d; error %v, want %v", inside, backgroundNice, err, broken)
	}
	if after := niceness(t); after != before {
		t.Errorf("the caller's nice value went from %d to %d", before, after)
	}
}
