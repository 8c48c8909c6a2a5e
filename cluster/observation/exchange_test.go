package observation

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"meridian/health"
)

// pass makes a book receive what another one has and it lacks, at a time after that, and fails the test if it rejects a message.
func pass(t *testing.T, from, to *Book, at time.Time) (passed int) {
	t.Helper()
	all := from.Missing(to.Known(), "", at)
	for _, m := range all {
		if _, err := to.ReceivePassed(m, at); err != nil {
			t.Fatal(err)
		}
	}
	return len(all)
}

func TestBooksAreEqualAfterAnExchange(t *testing.T) {
	trust := trustOf("ams1", "fra1", "sin1")
	one, two := NewBook("prod", trust), NewBook("prod", trust)
	ams, fra := outboxOf("ams1", now.UnixNano()), outboxOf("fra1", now.UnixNano())
	ams.SetAddress(netip.MustParseAddrPort("[2001:db8::1]:8054"))
	for id := range health.ProbeID(20) {
		ams.Set(Entry{ID: id << 58, Verdict: health.Up})
		fra.Set(Entry{ID: id<<58 | 1, Verdict: health.Down})
	}
	send(t, one, ams.Take(Heartbeat{At: now}))
	send(t, two, fra.Take(Heartbeat{At: now}))
	pass(t, one, two, now.Add(time.Second))
	pass(t, two, one, now.Add(time.Second))
	for name, v := range one.Vantages() {
		other := two.Vantages()[name]
		if !v.Complete || !other.Complete || !reflect.DeepEqual(v.entries, other.entries) || v.Address != other.Address || !v.ArrivedAt.Equal(other.ArrivedAt) {
			t.Errorf("%s: %+v, and %+v", name, v, other)
		}
	}
	if n := pass(t, one, two, now); n != 0 {
		t.Errorf("%d messages between equal books", n)
	}
	ams.Set(Entry{ID: 0, Verdict: health.Down})
	send(t, one, ams.Take(Heartbeat{At: now.Add(2 * time.Second)}))
	if n := pass(t, one, two, now.Add(2*time.Second)); n != 2 {
		t.Errorf("%d messages after one changed block, want that and a heartbeat", n)
	}
}

// A heartbeat that is passed on is as old as it is, and one that was only stored makes no vantage fresh.
func TestPassedHeartbeatKeepsItsAge(t *testing.T) {
	trust := trustOf("ams1")
	one, two, three := NewBook("prod", trust), NewBook("prod", trust), NewBook("prod", trust)
	send(t, one, outboxOf("ams1", now.UnixNano()).Take(Heartbeat{At: now}))
	pass(t, one, two, now.Add(5*time.Second))
	if at := two.Vantages()["ams1"].ArrivedAt; !at.Equal(now) {
		t.Errorf("arrived at %v, want %v", at, now)
	}
	three.Restore(two.Remember(""), now)
	pass(t, three, NewBook("prod", trust), now)
	if at := three.Vantages()["ams1"].ArrivedAt; !at.IsZero() {
		t.Errorf("a restored heartbeat arrived at %v", at)
	}
}

// A message that another one has overtaken on a shorter way is ignored; one that comes much later is a replay.
func TestOvertakenMessageIsNoReplay(t *testing.T) {
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano())
	out.Set(Entry{ID: 7, Verdict: health.Down})
	first := out.Take(Heartbeat{At: now})
	out.Set(Entry{ID: 7, Verdict: health.Up})
	second := out.Take(Heartbeat{At: now.Add(time.Second)})
	third := out.Take(Heartbeat{At: now.Add(time.Minute)})
	receive := func(records []Record, at time.Time) (rejected int) {
		for _, r := range records {
			var reason *RejectionError
			if _, err := book.ReceivePassed(Passed{Raw: r.Value}, at); errors.As(err, &reason) && reason.Reason == Replay {
				rejected++
			}
		}
		return rejected
	}
	receive(second, now)
	if n := receive(first, now.Add(time.Second)); n != 0 {
		t.Errorf("%d overtaken messages were rejected", n)
	}
	receive(third, now.Add(time.Minute))
	if n := receive(first, now.Add(time.Minute)); n != len(first) {
		t.Errorf("%d of %d replays were rejected", n, len(first))
	}
	if e, _ := book.Vantages()["ams1"].Entry(7); e.Verdict != health.Up {
		t.Errorf("the opinion is %v", e)
	}
}

func TestRestoredVantageIsRememberedUntilItIsComplete(t *testing.T) {
	trust := trustOf("ams1", "fra1")
	before := NewBook("prod", trust)
	ams := outboxOf("ams1", now.UnixNano())
	ams.SetAddress(netip.MustParseAddrPort("192.0.2.1:8054"))
	ams.Set(Entry{ID: 7, Verdict: health.Up})
	send(t, before, ams.Take(Heartbeat{At: now}))
	send(t, before, outboxOf("fra1", now.UnixNano()).Take(Heartbeat{At: now}))
	saved := before.Remember("fra1")
	forged := slices.Clone(saved[0])
	forged[len(forged)-1] ^= 1
	after := NewBook("prod", trust)
	after.Restore(append(saved, forged, nil), now)
	v := after.Vantages()["ams1"]
	if len(after.Vantages()) != 1 || !v.Remembered || v.Complete || v.Region != "eu" || v.Address.String() != "192.0.2.1:8054" || len(after.Rejected()) != 0 {
		t.Errorf("%d vantages, %+v, rejected %v", len(after.Vantages()), v, after.Rejected())
	}
	pass(t, before, after, now)
	if v.Remembered || !v.Complete {
		t.Errorf("remembered %v, complete %v", v.Remembered, v.Complete)
	}
	distrusting := NewBook("prod", trustOf("fra1"))
	distrusting.Restore(saved, now)
	if len(distrusting.Vantages()) != 0 || len(distrusting.Rejected()) != 0 {
		t.Errorf("%d vantages that are not trusted any more", len(distrusting.Vantages()))
	}
}

// The record of an earlier process of a vantage ends with the first heartbeat of the next one.
func TestRecordEndsWithItsBoot(t *testing.T) {
	book, old := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano()-1)
	old.SetAddress(netip.MustParseAddrPort("192.0.2.1:8054"))
	old.SetAddress(netip.MustParseAddrPort("0.0.0.0:8054")) // no address for others
	send(t, book, old.Take(Heartbeat{At: now}))
	if a := book.Vantages()["ams1"].Address; a.String() != "192.0.2.1:8054" || book.AddressChanges() != 1 {
		t.Errorf("address %v", a)
	}
	send(t, book, outboxOf("ams1", now.UnixNano()).Take(Heartbeat{At: now}))
	if a := book.Vantages()["ams1"].Address; a.IsValid() {
		t.Errorf("address %v of the earlier process", a)
	}
}
