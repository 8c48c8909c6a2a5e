package health

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeartbeatAdvances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := NewProber(Options{Dial: w.dial})
		if !p.Heartbeat().At.IsZero() {
			t.Error("a heartbeat before Run")
		}
		_, p, _, end := logged(t, nil)
		defer end()
		watch(t, p, targetsOf(tcpCheck(), addrs(7)))
		time.Sleep(time.Hour)
		beat := p.Heartbeat()
		if age := time.Since(beat.At); age > heartbeatInterval || age < 0 || beat.Targets != 7 || beat.Panics != 0 {
			t.Errorf("heartbeat %+v, %v ago", beat, age)
		}
	})
}

func TestStalledProberIsLoggedAndStatesFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, book, end := logged(t, nil)
		defer end()
		var slow atomic.Bool
		l := &listener{}
		w, err := p.Watch(targetsOf(tcpCheck(), addrs(3)), func(transitions []Transition) {
			if slow.Swap(false) {
				time.Sleep(time.Minute)
			}
			l.record(transitions)
		})
		if err != nil {
			t.Fatal(err)
		}
		w.FirstRound(t.Context())
		slow.Store(true)
		watch(t, p, nil)
		p.call(func(o *scheduler) { o.renotifyAll() }) // so that it is called
		time.Sleep(2 * time.Minute)
		hung, well := 0, 0
		for _, line := range book.lines() {
			hung += strings.Count(line, `level=ERROR msg="prober stalled`)
			well += strings.Count(line, `level=INFO msg="prober recovered`)
			if strings.Contains(line, "uncertain") {
				t.Errorf("logged %s", line)
			}
		}
		if hung != 1 || well != 1 {
			t.Errorf("%d lines of the stall and %d of the recovery, want one each:\n%s", hung, well, strings.Join(book.lines(), "\n"))
		}
	})
}

func TestPanicOfSchedulerIsLoggedAndAllVerdictsRenotified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, book, end := logged(t, nil)
		defer end()
		all := addrs(100)
		var once atomic.Bool
		l := &listener{}
		frail, err := p.Watch(targetsOf(tcpCheck(), all), func(transitions []Transition) {
			if once.CompareAndSwap(false, true) {
				panic("a tree fell")
			}
			l.record(transitions)
		})
		if err != nil {
			t.Fatal(err)
		}
		_, steady := watch(t, p, targetsOf(tcpCheck(), all[:1]))
		frail.FirstRound(t.Context())
		time.Sleep(10 * time.Second)
		known := make(map[int]Verdict)
		for _, transition := range l.take() {
			known[transition.Index] = transition.To
		}
		if len(known) != len(all) {
			t.Errorf("notified of %d verdicts, want all %d", len(known), len(all))
		}
		if transitions := steady.take(); len(transitions) == 0 || transitions[0].To != Up {
			t.Errorf("the other watch heard %+v", transitions)
		}
		if n := p.Heartbeat().Panics; n != 1 {
			t.Errorf("%d panics counted, want 1", n)
		}
		if line := strings.Join(book.lines(), "\n"); !strings.Contains(line, `level=ERROR msg="prober panicked, recovered" reason="a tree fell" stack=`) {
			t.Errorf("logged %s", line)
		}
		before := len(w.dialled(all[5]))
		time.Sleep(time.Minute)
		if n := len(w.dialled(all[5])) - before; n < 10 {
			t.Errorf("%d probes in a minute after the panic, want 10 to 13", n)
		}
	})
}

func TestPanicInCallFailsOnlyThatCall(t *testing.T) {
	probing(t, func(t *testing.T, w *world, p *Prober) {
		watching, l := watch(t, p, targetsOf(tcpCheck(), addrs(1)))
		synctest.Wait()
		l.take()
		if p.call(func(*scheduler) { panic("no") }) {
			t.Error("the call says that it ran")
		}
		if _, err := p.Watch(targetsOf(tcpCheck(), addrs(2)), func([]Transition) { panic("not now") }); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("watching: %v", err)
		}
		time.Sleep(time.Minute)
		if s, ok := watching.Status(0); !ok || s.Verdict != Up || time.Since(s.Last[0].At) > 6*time.Second {
			t.Errorf("status %+v", s)
		}
		left := -1
		p.call(func(o *scheduler) { left = len(o.entries) })
		if left != 1 {
			t.Errorf("%d entries, want that of the remaining watch", left)
		}
	})
}
