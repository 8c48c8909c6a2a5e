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

// What the check of the test asks for, and how long by the manual it takes from a
// death to a verdict.
const (
	deathInterval = 100 * time.Millisecond
	deathTimeout  = 100 * time.Millisecond
	deathConfirm  = 50 * time.Millisecond
	deathRow      = 2 // rise and fall
	deathBudget   = deathInterval*11/10*deathRow + deathTimeout + deathConfirm + deathTimeout
	deathProbes   = deathRow + 1 // and the one that confirms
)

// TestTheTimeFromADeathToTheLastWrongAnswer asks a server all the time while an
// endpoint dies in three ways, and comes back from each. Two things bound a wrong answer:
//
//   - Exactly, by the probes that the endpoint itself has seen since it died: none is
//     wrong that was asked for when one more had come than turn the verdict. On the way
//     back a stall may fail a probe that was seen.
//   - In time, by the budget of the manual, an interval, and four times what a
//     goroutine beside it that does nothing but sleep was late by: machines stall.
func TestTheTimeFromADeathToTheLastWrongAnswer(t *testing.T) {
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

// life is how an endpoint is.
type life int

const (
	lives   life = iota
	resets       // its process takes connections and drops them
	hangs        // it takes requests and answers none
	refuses      // nobody listens
)

func (l life) String() string { return [...]string{"recovery", "resetting", "hanging", "death"}[l] }

// mortal is an endpoint that dies and comes back, and counts the probes that it sees
// while it is as it is; who refuses sees none.
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

// stallMeter measures by how much in all a goroutine that sleeps again and again
// wakes too late.
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
