package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"

	"meridian/server"
	"meridian/server/answer"
)

func TestPeakOfConnectionsHasPassedWhenMostHaveEnded(t *testing.T) {
	for _, c := range []struct {
		what string
		open []uint64
		want int // how many times it has passed
	}{
		{"none", []uint64{0, 0}, 0},
		{"few", []uint64{999, 0, 999, 0}, 0},
		{"many at once", []uint64{0, 1000, 0, 0}, 1},
		{"step by step", []uint64{4000, 3500, 2500, 2001, 2000, 1900}, 1},
		{"again and again", []uint64{3000, 0, 3000, 0}, 2},
		{"many of far more", []uint64{100000, 98000, 60000, 100000}, 0},
		{"most remain, then all end", []uint64{5000, 2400, 1401, 1400, 400}, 2},
	} {
		var peak connectionPeak
		passed := 0
		for _, open := range c.open {
			if peak.passed(open) {
				passed++
			}
		}
		if passed != c.want {
			t.Errorf("%s, %d: passed %d times, want %d", c.what, c.open, passed, c.want)
		}
	}
}

// TestMemoryIsReturnedAfterManyConnections disables other garbage collections: the memory of the connections is collected
// only if it is returned.
func TestMemoryIsReturnedAfterManyConnections(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	s := server.NewEmpty(server.Options{})
	l := &instance{server: s, Daemon: &Daemon{}, processors: sharedSetting{begin: raiseGOMAXPROCS}}
	var peak connectionPeak
	collections := func() uint32 {
		l.returnMemory(&peak)
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		return now.NumGC
	}
	count := func(over answer.Transport, event answer.ConnectionEvent, n int) {
		for range n {
			s.CountConnection(over, event)
		}
	}
	before := collections()
	count(answer.TCP, answer.Accepted, manyConnections/2)
	count(answer.DoQ, answer.Accepted, manyConnections/2)
	if now := collections(); now != before {
		t.Errorf("%d collections while all are open", now-before)
	}
	peak.note(l.openConnections())
	count(answer.TCP, answer.Closed, manyConnections/2)
	if now := collections(); now != before {
		t.Errorf("%d collections while half are open", now-before)
	}
	count(answer.DoQ, answer.Closed, manyConnections/2)
	after := collections()
	if after == before {
		t.Error("no collection after all have ended")
	}
	count(answer.DoT, answer.Accepted, manyConnections) // a flood between two looks at the memory
	peak.note(l.openConnections())
	count(answer.DoT, answer.Closed, manyConnections)
	if now := collections(); now == after {
		t.Error("no collection after a short flood")
	}
}
