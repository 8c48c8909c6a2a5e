package health

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// targetBytes is the limit of a target's heap, in octets, with all its history: 10,000 of them are 80 MB of the 200 MB
// limit of such a prober.
const targetBytes = 8 << 10

func TestTargetMemoryIsBounded(t *testing.T) {
	const targets = 5000
	check := tcpCheck()
	check.FlapDamping = config.FlapDamping{Turns: 4, Window: 10 * time.Minute, Hold: time.Minute, Max: 15 * time.Minute}
	before := liveHeap()
	o, w := newIdleScheduler(t, targetsOf(check, addrs(targets)))
	for round := range 3 * historySize {
		outcome := probe.Passed
		if round%5 > 1 { // it changes state now and then
			outcome = probe.Failed
		}
		for i, e := range w.entries {
			reason := fmt.Sprintf("status %d of target %d, want 200-299; %s", round, i, strings.Repeat("x", 100))
			o.applyResult(e, probe.Result{Outcome: outcome, Reason: reason, Latency: time.Millisecond, At: time.Now()}, time.Now())
		}
		o.notify()
	}
	each := (int(liveHeap()) - int(before)) / targets
	t.Logf("%d octets a target", each)
	if each > targetBytes {
		t.Errorf("%d octets a target, want at most %d", each, targetBytes)
	}
	runtime.KeepAlive(o)
}

// newIdleScheduler returns a scheduler that does not run, with a watch of targets.
func newIdleScheduler(tb testing.TB, targets []Target) (*scheduler, *Watch) {
	tb.Helper()
	o := newScheduler(tb.Context(), NewProber(Options{Logger: slog.New(slog.DiscardHandler)}))
	checkers, err := prepareChecks(targets)
	if err != nil {
		tb.Fatal(err)
	}
	w := &Watch{targets: targets, callback: func([]Transition) {}, settled: make(chan struct{}), entries: make([]*targetState, len(targets)), known: make([]bool, len(targets))}
	w.pending.Store(int64(len(targets)))
	o.subscribe(w, checkers)
	return o, w
}

// liveHeap returns the heap in use after a collection.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
