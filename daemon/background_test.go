package daemon

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestRaisedGOMAXPROCSIsRestored(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS() // the default of a process
	before := runtime.GOMAXPROCS(0)
	noMore := raiseGOMAXPROCS()
	during := runtime.GOMAXPROCS(0)
	noMore()
	if after := runtime.GOMAXPROCS(0); during != before+1 || after != before {
		t.Errorf("from %d to %d to %d at once", before, during, after)
	}
}

func TestRaisedGOMAXPROCSKeepsEnvironment(t *testing.T) {
	t.Setenv("GOMAXPROCS", "7") // as read by the runtime at start
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(7))
	noMore := raiseGOMAXPROCS()
	during := runtime.GOMAXPROCS(0)
	noMore()
	if after := runtime.GOMAXPROCS(0); during != 8 || after != 7 {
		t.Errorf("from 7 to %d to %d at once", during, after)
	}
}

func TestRelaxedGCIsRestoredAndKeepsEnvironment(t *testing.T) {
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	t.Setenv("GOGC", "")
	before := percent()
	asBefore := relaxGC()
	during := percent()
	asBefore()
	if after := percent(); during != buildGC || after != before {
		t.Errorf("from %d to %d to %d", before, during, after)
	}
	t.Setenv("GOGC", "50")
	defer relaxGC()()
	if now := percent(); now != before {
		t.Errorf("with GOGC set, %d became %d", before, now)
	}
}

func TestBackgroundReturnsWhenContextEnds(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	hangs := make(chan struct{})
	defer close(hangs)
	if _, err := inBackground(ctx, func() (int, error) { end(); <-hangs; return 1, nil }); err != context.Canceled {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
