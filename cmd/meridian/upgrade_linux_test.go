package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/counterpart"
)

// TestUpgradeWithFullDiskKeepsOverrides fills the file system of the state: the state passes from process to process
// without it.
func TestUpgradeWithFullDiskKeepsOverrides(t *testing.T) {
	u := newUpgradable(t)
	u.state = filepath.Join(filepath.Dir(u.program), "full")
	if err := os.Mkdir(u.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", u.state, "tmpfs", 0, "size=64k"); err != nil {
		counterpart.Missing(t, "only root mounts file systems: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(u.state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	err := os.WriteFile(filepath.Join(u.state, "ballast"), make([]byte, 1<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	u.configure(1)
	u.start(u.program, "serve", "-c", u.config)
	u.log.await(t, "cannot write state file")
	if out, ok := u.run("drain", "web/a"); !ok {
		t.Fatal(out)
	}
	u.upgrade()
	if got := u.answers(); got != "127.0.0.82" {
		t.Errorf("after the upgrade: %s, want the member that is not drained", got)
	}
	if status, _ := u.run("status", "-o", "json"); !strings.Contains(status, `"persisted": false`) {
		t.Errorf("the state counts as saved:\n%s", status)
	}
}
