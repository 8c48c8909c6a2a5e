package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"meridian/config"
	"meridian/snapshot"
)

// TestReloadFreesOldSnapshot disables other garbage collections: the old snapshot is
// collected only if it has no reference when the reload returns the memory.
func TestReloadFreesOldSnapshot(t *testing.T) {
	cfg, _, err := config.Parse("meridian.yaml", []byte(steered))
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	t.Setenv("GOGC", "off")
	hangUp, ready, gone := make(chan os.Signal), make(chan struct{}), make(chan struct{})
	loads := 0
	l := Daemon{
		Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) {
			s, _, err := b(cfg)
			if loads++; loads == 1 && s != nil {
				runtime.AddCleanup(s, func(gone chan struct{}) { close(gone) }, gone)
			}
			return s, err
		},
		Reload: hangUp,
		Ready:  func([]netip.AddrPort) { close(ready) },
		Logger: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	<-ready
	hangUp <- syscall.SIGHUP
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the old snapshot is still held when the memory is given back")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
