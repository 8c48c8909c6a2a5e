package health

import (
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"meridian/config"
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
		outcome := Passed
		if round%5 > 1 { // it changes state now and then
			outcome = Failed
		}
		for i, e := range w.entries {
			reason := fmt.Sprintf("status %d of target %d, want 200-299; %s", round, i, strings.Repeat("x", 100))
			o.applyResult(e, Result{Outcome: outcome, Reason: reason, Latency: time.Millisecond, At: time.Now()}, time.Now())
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

// TestEndlessPeersUseBoundedMemory runs many probes at once against peers that send endless headers and bodies, fast or
// slow.
func TestEndlessPeersUseBoundedMemory(t *testing.T) {
	const (
		probes   = 30      // of each peer at once
		perProbe = 1 << 20 // octets of heap, with uncollected garbage
	)
	filler := strings.Repeat("x", 4096)
	peers := map[string]*endpoint{
		"endless body":        serve(t, then(says("HTTP/1.1 200 OK\r\n\r\n"), endless(filler))),
		"endless header":      serve(t, then(says("HTTP/1.1 200 OK\r\n"), endless("X-More: "+filler+"\r\n"))),
		"endless header line": serve(t, then(says("HTTP/1.1 200 OK\r\nX: "), endless(filler))),
		"many headers":        serve(t, then(says("HTTP/1.1 200 OK\r\n"), endless(strings.Repeat("A:\r\n", 1000)))),
		"endless extensions":  serve(t, then(says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), endless("1;"+filler+"\r\na\r\n"))),
		"a dripping body":     serve(t, then(says("HTTP/1.1 200 OK\r\n\r\n"), drips("ok"))),
	}
	p := NewProber(Options{Logger: slog.New(slog.DiscardHandler)})
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // or garbage would be as large as what is in use
	for name, e := range peers {
		t.Run(name, func(t *testing.T) {
			before, most := liveHeap(), uint64(0)
			results := make(chan Result)
			for range probes {
				check := httpCheck(e)
				check.Body, check.Timeout = regexp.MustCompile("never said"), time.Second
				c, _ := prepareCheck(&check)
				go func() {
					r, _ := c.probe(t.Context(), e.Addr(), p.dial, p.log)
					results <- r
				}()
			}
			for range probes {
				if r := <-results; r.Outcome != Failed {
					t.Errorf("%v: %s", r.Outcome, r.Reason)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
			if bound := before + probes*perProbe; most > bound {
				t.Errorf("the heap grew from %d to %d KiB, want at most %d", before>>10, most>>10, bound>>10)
			}
		})
	}
}
