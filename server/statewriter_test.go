package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// writerTest is a running writer on a directory with its recorded activity.
type writerTest struct {
	*stateWriter
	written  atomic.Int64
	broken   atomic.Bool // gathering fails
	verdicts chan struct{}
	log      bytes.Buffer // read it after stop
	stop     func()
}

func startKeeper(t *testing.T) *writerTest {
	k := &writerTest{verdicts: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	k.stop = func() { cancel(); <-done }
	k.stateWriter = &stateWriter{
		dir: newStateDir(t.TempDir()), log: slog.New(slog.NewTextHandler(&k.log, nil)),
		verdicts: k.verdicts, changed: make(chan struct{}, 1), waiting: make(chan chan<- struct{}),
		gather: func() ([]byte, error) {
			if k.broken.Load() {
				return nil, errors.New("no space left on device")
			}
			k.written.Add(1)
			return encodeState(someMemory(), keptAt)
		},
	}
	go func() { defer close(done); k.run(ctx) }()
	t.Cleanup(k.dir.unlock)
	return k
}

func (k *writerTest) expect(t *testing.T, when string, written int64) {
	t.Helper()
	synctest.Wait()
	if got := k.written.Load(); got != written {
		t.Errorf("%s: written %d times, want %d", when, got, written)
	}
}

func TestStateWritesAreRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKeeper(t)
		k.expect(t, "without a change", 0)
		k.markDirty()
		k.expect(t, "after a change", 1)
		for range 9 {
			time.Sleep(100 * time.Millisecond)
			k.markDirty()
			select {
			case k.verdicts <- struct{}{}:
			default:
			}
		}
		k.expect(t, "in the first second", 1)
		time.Sleep(101 * time.Millisecond)
		k.expect(t, "after it", 2)
		time.Sleep(time.Second)
		k.expect(t, "for the turn that came with the other change", 3)
		time.Sleep(refreshInterval - time.Second)
		k.expect(t, "in a minute without a change", 3)
		time.Sleep(time.Second)
		k.expect(t, "after it", 4)
		time.Sleep(time.Hour)
		k.expect(t, "in an hour without a change", 64)
		k.stop()
		k.expect(t, "at the end", 65)
	})
}

func TestFlushWritesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKeeper(t)
		k.markDirty()
		k.expect(t, "after a change", 1)
		begun := time.Now()
		k.flush()
		k.expect(t, "with somebody waiting", 2)
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("waited %v", waited)
		}
		k.stop()
		k.flush() // returns although the writer has stopped
		if waited := time.Since(begun); waited != flushTimeout {
			t.Errorf("after the end it waited %v", waited)
		}
	})
}

func TestWriteFailureIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKeeper(t)
		k.broken.Store(true)
		k.markDirty()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !k.failing.Load() {
			t.Error("it passes for kept")
		}
		k.broken.Store(false)
		time.Sleep(retryInterval)
		k.expect(t, "when it can be kept again, without another change", 1)
		k.stop()
		if text := k.log.String(); strings.Count(text, "cannot write state file") != 1 || strings.Count(text, "state file written again") != 1 {
			t.Errorf("logged\n%s", text)
		}
	})
}

func TestFullDiskKeepsPreviousState(t *testing.T) {
	f := held(t, t.TempDir())
	if err := f.write(encoded(t, someMemory())); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(f.path, stateNext), 0o700); err != nil { // makes every write fail
		t.Fatal(err)
	}
	if err := f.write(encoded(t, &savedState{})); err == nil {
		t.Fatal("written")
	}
	if m, _ := f.read(slog.New(slog.DiscardHandler)); m == nil || len(m.Overrides) != 2 {
		t.Errorf("remembered %+v", m)
	}
}
