package event_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"meridian/control/event"
)

// reference is a slow, obvious log.
type reference []event.Event

func (r reference) since(id uint64, f event.Filter, limit int) (found []event.Event) {
	for _, e := range r[max(0, len(r)-event.Size):] {
		if e.ID > id && f.Match(&e) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found
}

func TestLogEqualsReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	l, r := event.NewLog(nil), reference(nil)
	kinds := event.Kinds()
	for range 25_000 {
		r = append(r, l.Add(event.Event{Kind: kinds[rng.IntN(len(kinds))], Subject: fmt.Sprintf("web/%d", rng.IntN(5))}))
		if rng.IntN(500) != 0 {
			continue
		}
		id, limit := rng.Uint64N(uint64(len(r)+10)), 1+rng.IntN(2000)
		f := event.Filter{}
		if rng.IntN(2) == 0 {
			f = event.Filter{Kinds: kinds[:rng.IntN(len(kinds))], Subject: []string{"", "web", "web/1", "we"}[rng.IntN(4)]}
		}
		got, want := l.Since(id, f, limit), r.since(id, f, limit)
		if !slices.EqualFunc(got.Events, want, func(a, b event.Event) bool { return a.ID == b.ID }) {
			t.Fatalf("since %d %+v: %d events, want %d", id, f, len(got.Events), len(want))
		}
		rest := l.Since(got.Next, f, event.Size)
		if all := r.since(id, f, event.Size); len(got.Events)+len(rest.Events) != len(all) {
			t.Fatalf("since %d: %d events and %d after next, want %d", id, len(got.Events), len(rest.Events), len(all))
		}
		latest := l.Latest(f, limit).Events
		if all := r.since(0, f, event.Size); len(latest) != min(limit, len(all)) || len(latest) > 0 && latest[len(latest)-1].ID != all[len(all)-1].ID {
			t.Fatalf("latest: %d events of %d", len(latest), len(all))
		}
	}
}

func TestIDsGrowOverRestart(t *testing.T) {
	l := event.NewLog(nil)
	for range 3 {
		l.Add(event.Event{Kind: event.State})
	}
	next := event.NewLog(l.Save())
	if e := next.Add(event.Event{}); e.ID != 4 || len(next.Save()) != 4 {
		t.Errorf("id %d of %d events, want 4 of 4", e.ID, len(next.Save()))
	}
}

func TestRestoreDropsEventsOutOfOrder(t *testing.T) {
	l := event.NewLog([]event.Event{{ID: 5}, {ID: 3}, {ID: 0}, {ID: 1 << 63}, {ID: 7}})
	if got := l.Since(0, event.Filter{}, 10).Events; len(got) != 2 || got[0].ID != 5 || got[1].ID != 7 {
		t.Errorf("restored %v", got)
	}
}

// TestFollowerMissesNothing follows a log with several writers.
func TestFollowerMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 4, 500
		l := event.NewLog(nil)
		var running sync.WaitGroup
		for range writers {
			running.Go(func() {
				for range each {
					l.Add(event.Event{Kind: event.State})
				}
			})
		}
		seen := uint64(0)
		for seen < writers*each {
			changed := l.Changed()
			p := l.Since(seen, event.Filter{}, 7)
			for _, e := range p.Events {
				if e.ID != seen+1 {
					t.Fatalf("event %d after %d", e.ID, seen)
				}
				seen = e.ID
			}
			if len(p.Events) == 0 {
				<-changed
			}
		}
		running.Wait()
	})
}

// TestSubjectIsAZoneWithOrWithoutDot selects the events of a zone by its name as operators write it.
func TestSubjectIsAZoneWithOrWithoutDot(t *testing.T) {
	for subject, want := range map[string]bool{"gslb.example.com": true, "gslb.example.com.": true, "example.com": false, "gslb": false} {
		f := event.Filter{Subject: subject}
		if got := f.Match(&event.Event{Subject: "gslb.example.com."}); got != want {
			t.Errorf("%s selects an event of gslb.example.com.: %v, want %v", subject, got, want)
		}
	}
}
