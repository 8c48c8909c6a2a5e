package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// watchedDisk records each step of the real disk; the step named fails returns an error instead.
func watchedDisk(steps *[]string, fails string) fileOps {
	real := realDisk()
	step := func(what, path string) error {
		*steps = append(*steps, what+" "+filepath.Base(path))
		if (*steps)[len(*steps)-1] == fails {
			return fmt.Errorf("%s: input/output error", fails)
		}
		return nil
	}
	return fileOps{
		create: func(path string) (*os.File, error) {
			if err := step("create", path); err != nil {
				return nil, err
			}
			return real.create(path)
		},
		write: func(f *os.File, data []byte) error { return errors.Join(step("write", f.Name()), real.write(f, data)) },
		sync:  func(f *os.File) error { return errors.Join(step("sync", f.Name()), real.sync(f)) },
		rename: func(from, to string) error {
			if err := step("rename", from); err != nil {
				return err
			}
			return real.rename(from, to)
		},
		remove: func(path string) error { return errors.Join(step("remove", path), real.remove(path)) },
	}
}

// TestStateIsSyncedBeforeRename checks that after a crash at any point the named file
// is complete, and contains every acknowledged write.
func TestStateIsSyncedBeforeRename(t *testing.T) {
	f := held(t, filepath.Join(t.TempDir(), "folder"))
	var steps []string
	f.disk = watchedDisk(&steps, "")
	if err := f.Write([]byte(some)); err != nil {
		t.Fatal(err)
	}
	want := []string{"create " + nextName, "write " + nextName, "sync " + nextName, "rename " + nextName, "sync folder"}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

// TestFailedWriteStepLeavesWholeState makes each step fail in turn: the old state is
// left, or the new one after the rename.
func TestFailedWriteStepLeavesWholeState(t *testing.T) {
	for _, c := range []struct {
		fails string
		left  string // the state left on disk
	}{
		{"create " + nextName, some},
		{"write " + nextName, some},
		{"sync " + nextName, some},
		{"rename " + nextName, some},
		{"sync folder", empty},
	} {
		t.Run(c.fails, func(t *testing.T) {
			f := held(t, filepath.Join(t.TempDir(), "folder"))
			if err := f.Write([]byte(some)); err != nil {
				t.Fatal(err)
			}
			var steps []string
			f.disk = watchedDisk(&steps, c.fails)
			if err := f.Write([]byte(empty)); err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("got %v", err)
			}
			if m := content(f); m != c.left {
				t.Errorf("read %q after %q", m, steps)
			}
			f.disk = realDisk()
			if err := f.Write([]byte(empty)); err != nil {
				t.Errorf("the next time: %v", err)
			}
		})
	}
}
