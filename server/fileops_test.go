package server

import (
	"errors"
	"fmt"
	"log/slog"
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
	if err := f.write(encoded(t, someMemory())); err != nil {
		t.Fatal(err)
	}
	want := []string{"create " + stateNext, "write " + stateNext, "sync " + stateNext, "rename " + stateNext, "sync folder"}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

// TestFailedWriteStepLeavesWholeState makes each step fail in turn: the old state is
// left, or the new one after the rename.
func TestFailedWriteStepLeavesWholeState(t *testing.T) {
	for _, c := range []struct {
		fails     string
		overrides int // of the state left on disk
	}{
		{"create " + stateNext, 2},
		{"write " + stateNext, 2},
		{"sync " + stateNext, 2},
		{"rename " + stateNext, 2},
		{"sync folder", 0},
	} {
		t.Run(c.fails, func(t *testing.T) {
			f := held(t, filepath.Join(t.TempDir(), "folder"))
			if err := f.write(encoded(t, someMemory())); err != nil {
				t.Fatal(err)
			}
			var steps []string
			f.disk = watchedDisk(&steps, c.fails)
			if err := f.write(encoded(t, &savedState{})); err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("got %v", err)
			}
			if m, _ := f.read(slog.New(slog.DiscardHandler)); m == nil || len(m.Overrides) != c.overrides {
				t.Errorf("remembered %+v after %q", m, steps)
			}
			f.disk = realDisk()
			if err := f.write(encoded(t, &savedState{})); err != nil {
				t.Errorf("the next time: %v", err)
			}
		})
	}
}
