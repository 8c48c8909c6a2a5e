package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The settings of the check, and the time from a failure to a state change according to the
// manual.
const (
	deathInterval = 100 * time.Millisecond
	deathTimeout  = 100 * time.Millisecond
	deathConfirm  = 50 * time.Millisecond
	deathRow      = 2 // rise and fall
	deathBudget   = deathInterval*11/10*deathRow + deathTimeout + deathConfirm + deathTimeout
	deathProbes   = deathRow + 1 // and the confirming probe
)

// TestFailoverTime queries a server continuously while an endpoint
// fails in three ways, and recovers from each. Two limits apply to wrong answers:
//
//   - Probes: no answer is wrong after the failed endpoint has received one probe more than a
//     state change needs. During recovery, a stall may fail a probe that was received.
//   - Time: the manual's budget plus an interval plus four times the delay of a goroutine
//     that only sleeps, because machines stall.
func TestFailoverTime(t *testing.T) {
	_, port := endpoint(t, "127.0.0.62", 0)
	first := newMortal(t, fmt.Sprintf("127.0.0.61:%d", port))
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeConfig(t, file, "127.0.0.1:0", "gslb.example.com", port)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("fall: 2,"), []byte("fall: 2, confirm: 50ms,"), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	at := stderr.await(t, `msg=serving listen=(\S+)`)[1]

	for _, becomes := range []life{resets, lives, hangs, lives, refuses, lives} {
		want := "127.0.0.62"
		if becomes == lives {
			want = "127.0.0.61"
		}
		meter := newStallMeter()
		begun, last, answers, most := time.Now(), time.Duration(0), 0, int64(0)
		first.become(t, becomes)
		for right := 0; right < 200 && time.Since(begun) < time.Minute; answers++ {
			seen := first.seen[becomes].Load()
			if lookUp(t, at, "www.gslb.example.com.") == want {
				right++
				continue
			}
			last, right, most = time.Since(begun), 0, seen
		}
		stall := meter.stop()
		t.Logf("%s: the last wrong answer of %d came after %v, when the endpoint had seen %d probes; budget %v and %d probes (interval %v and a tenth, rise and fall %d, confirm %v, timeout %v); the machine stalled for %v",
			becomes, answers, last.Round(time.Millisecond), most, deathBudget, deathProbes, deathInterval, deathRow, deathConfirm, deathTimeout, stall.Round(time.Millisecond))
		if last == 0 || becomes != lives && most > deathProbes {
			t.Errorf("%s: a wrong answer after %v and %d probes, the budget is %d", becomes, last, most, deathProbes)
		}
		if bound := deathBudget + deathInterval + 4*stall; last > bound {
			t.Errorf("%s: %v, the budget is %v, with what the machine stalled %v", becomes, last, deathBudget, bound)
		}
	}
}

// life is the behaviour of an endpoint.
type life int

const (
	lives   life = iota
	resets       // accepts connections and resets them
	hangs        // accepts requests and never answers
	refuses      // does not listen
)

func (l life) String() string { return [...]string{"recovery", "resetting", "hanging", "death"}[l] }

// mortal is an endpoint that fails and recovers. It counts the probes since its last
// change; it sees none while it refuses connections.
type mortal struct {
	at   string
	is   atomic.Int32
	seen [refuses + 1]atomic.Int64
	http *http.Server
}

func newMortal(t *testing.T, at string) *mortal {
	t.Helper()
	m := &mortal{at: at}
	m.listen(t)
	t.Cleanup(func() { m.http.Close() })
	return m
}

func (m *mortal) become(t *testing.T, next life) {
	t.Helper()
	m.seen[next].Store(0)
	before := life(m.is.Swap(int32(next)))
	switch {
	case next == refuses:
		m.http.Close()
	case before == refuses:
		m.listen(t)
	}
}

func (m *mortal) listen(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", m.at)
	if err != nil {
		t.Fatal(err)
	}
	m.http = &http.Server{Handler: m}
	go m.http.Serve(l) //nolint:errcheck // ends with the test
}

func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	is := life(m.is.Load())
	m.seen[is].Add(1)
	switch is {
	case resets:
		panic(http.ErrAbortHandler)
	case hangs:
		<-r.Context().Done()
	}
}

// stallMeter measures the total delay of a goroutine that sleeps repeatedly.
type stallMeter struct {
	end  chan struct{}
	done sync.WaitGroup
	late time.Duration
}

func newStallMeter() *stallMeter {
	const nap = 5 * time.Millisecond
	m := &stallMeter{end: make(chan struct{})}
	m.done.Go(func() {
		timer := time.NewTimer(nap)
		defer timer.Stop()
		for begun := time.Now(); ; begun = time.Now() {
			select {
			case <-timer.C:
				m.late += max(0, time.Since(begun)-nap)
				timer.Reset(nap)
			case <-m.end:
				return
			}
		}
	})
	return m
}

func (m *stallMeter) stop() time.Duration {
	close(m.end)
	m.done.Wait()
	return m.late
}
