package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestLastGoodWithoutPermissionIsNotCorrupt reads a copy as another user, on a thread of its own.
func TestLastGoodWithoutPermissionIsNotCorrupt(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can become another user")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, goodName), []byte("a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir := folder; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil { // that user may rename the file
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	l := &instance{Daemon: &Daemon{Logger: slog.New(slog.NewTextHandler(&log, nil)), LastGood: &LastGood{}}}
	done := make(chan *goodFile)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its user
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
		}
		found, _ := l.findLastGood([]string{folder})
		done <- found
	}()
	if found := <-done; found != nil {
		t.Error("the copy is used")
	}
	if text := log.String(); !strings.Contains(text, "no permission to read the last good configuration") || strings.Contains(text, "corrupt") {
		t.Errorf("logged %s", text)
	}
	if _, err := os.Stat(filepath.Join(folder, goodName)); err != nil {
		t.Errorf("the copy was moved: %v", err)
	}
}
