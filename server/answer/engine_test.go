package answer

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

func TestMain(m *testing.M) { answertest.TestMain(m) }

// TestReplaceWaitsForReaders checks that a responder that reads the old snapshot blocks Replace, and
// that an idle one releases it.
func TestReplaceWaitsForReaders(t *testing.T) {
	first, second := answertest.World(t), answertest.World(t)
	synctest.Test(t, func(t *testing.T) {
		s := newEngine(first, nil)
		busy, idle, fresh := s.Responder(), s.Responder(), s.Responder()
		idle.Acquire()
		idle.Release()
		busy.Acquire()

		swapped := make(chan struct{})
		go func() {
			defer close(swapped)
			if old := s.Replace(second)(); old != first {
				t.Errorf("%p", old)
			}
		}()
		time.Sleep(time.Second) // synthetic time
		synctest.Wait()
		select {
		case <-swapped:
			t.Fatal("Replace returned while a responder reads")
		default:
		}
		busy.Release()
		<-swapped
		for _, r := range []*Responder{busy, idle, fresh} {
			if held := r.slot.Load(); held.active != nil {
				t.Error("a responder still holds the old snapshot")
			}
			r.Acquire()
			if r.at.active.snapshot != second {
				t.Error("a responder does not take the new snapshot")
			}
			r.Release()
		}
	})
}

// TestReplaceIsNotHeldUpByBusyResponders checks that a responder that has ended a batch, and so uses
// the new snapshot, does not block Replace.
func TestReplaceIsNotHeldUpByBusyResponders(t *testing.T) {
	first, second := answertest.World(t), answertest.World(t)
	synctest.Test(t, func(t *testing.T) {
		s := newEngine(first, nil)
		r := s.Responder()
		r.Acquire()
		swapped := make(chan struct{})
		go func() { defer close(swapped); s.Replace(second)() }()
		synctest.Wait()
		r.Release()
		r.Acquire()
		<-swapped
		r.Release()
	})
}

func TestExcessIdleRespondersAreRemoved(t *testing.T) {
	s := newEngine(answertest.World(t), nil)
	query := answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA))
	var used []*Responder
	for range cap(s.responders.idle) + 10 {
		r := s.Borrow()
		r.Respond(nil, query, netip.MustParseAddr("192.0.2.1"), true)
		used = append(used, r)
	}
	for _, r := range used {
		s.responders.put(r)
	}
	if n := len(s.responders.all); n != cap(s.responders.idle) {
		t.Errorf("%d responders left, want %d", n, cap(s.responders.idle))
	}
	if c := s.Counters(); c.TCP != uint64(len(used)) {
		t.Errorf("%d queries counted, want %d", c.TCP, len(used))
	}
}
