package state

import (
	"bytes"
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
	*Writer
	written atomic.Int64
	broken  atomic.Bool // gathering fails
	changed chan struct{}
	output  bytes.Buffer // read it after Stop
}

func startWriter(t *testing.T) *writerTest {
	k := &writerTest{changed: make(chan struct{}, 1)}
	k.Writer = newWriter(NewDir(t.TempDir()), func() ([]byte, error) {
		if k.broken.Load() {
			return nil, errors.New("no space left on device")
		}
		k.written.Add(1)
		return []byte(some), nil
	}, k.changed, slog.New(slog.NewTextHandler(&k.output, nil)))
	k.start()
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
		k := startWriter(t)
		k.expect(t, "without a change", 0)
		k.MarkDirty()
		k.expect(t, "after a change", 1)
		for range 9 {
			time.Sleep(100 * time.Millisecond)
			k.MarkDirty()
			select {
			case k.changed <- struct{}{}:
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
		<-k.Stop()
		k.expect(t, "at the end", 65)
	})
}

func TestFlushWritesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startWriter(t)
		k.MarkDirty()
		k.expect(t, "after a change", 1)
		begun := time.Now()
		k.Flush()
		k.expect(t, "with somebody waiting", 2)
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("waited %v", waited)
		}
		<-k.Stop()
		k.Flush() // returns although the writer has stopped
		if waited := time.Since(begun); waited != flushTimeout {
			t.Errorf("after the end it waited %v", waited)
		}
	})
}

func TestWriteFailureIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startWriter(t)
		k.broken.Store(true)
		k.MarkDirty()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !k.failing.Load() {
			t.Error("it passes for kept")
		}
		k.broken.Store(false)
		time.Sleep(retryInterval)
		k.expect(t, "when it can be kept again, without another change", 1)
		<-k.Stop()
		if text := k.output.String(); strings.Count(text, "cannot write state file") != 1 || strings.Count(text, "state file written again") != 1 {
			t.Errorf("logged\n%s", text)
		}
	})
}

func TestFullDiskKeepsPreviousState(t *testing.T) {
	f := held(t, t.TempDir())
	if err := f.Write([]byte(some)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(f.path, nextName), 0o700); err != nil { // makes every write fail
		t.Fatal(err)
	}
	if err := f.Write([]byte(empty)); err == nil {
		t.Fatal("written")
	}
	if m := content(f); m != some {
		t.Errorf("read %q", m)
	}
}
