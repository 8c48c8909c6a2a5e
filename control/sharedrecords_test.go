package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/pools"
)

// ofMember returns a record of another node about a member, which has changed some time ago.
func ofMember(member string, ago time.Duration, removed bool) SharedRecord {
	r := foreign(Selector{Pool: "web", Member: member}, pools.Drained, 1, removed)
	r.Changed = time.Now().Add(-ago)
	return r
}

// Records of overrides that ended long ago can be removed from the store. Nodes forget them then, and the next record of the
// same target counts for a node that has not forgotten the one before.
func TestRecordsOfEndedSharedOverridesAreRemoved(t *testing.T) {
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		s := new(sharedStore)
		w.share(s)
		expired := ofMember("expired", keepEnded, false)
		expired.Override.Until = time.Now().Add(-keepEnded)
		ends := ofMember("ends", 2*keepEnded, false)
		ends.Override.Until = time.Now().Add(-keepEnded + time.Second)
		old := ofMember("a", keepEnded, true)
		all := []SharedRecord{expired, ends, old, ofMember("new", time.Hour, true), ofMember("b", 2*keepEnded, false)}
		if lost := w.ApplyShared(all, true); len(lost) != 0 {
			t.Errorf("lost %v", lost)
		}
		if got, want := slices.Sorted(maps.Keys(w.EndedShared(time.Now()))), []string{"now/web/a", "now/web/expired"}; !slices.Equal(got, want) {
			t.Errorf("removable: %v, want %v", got, want)
		}
		w.SharedRemoved([]string{"now/web/a", "now/web/expired", "now/web/new", "now/web/b", "now/web/unknown"})
		var known []string
		for _, r := range w.SaveShared().Records {
			known = append(known, r.Key)
		}
		if want := []string{"now/web/b", "now/web/ends", "now/web/new"}; !slices.Equal(known, want) {
			t.Errorf("known: %v, want %v", known, want)
		}
		if _, err := w.Override(memberA, pools.ForcedUp, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := s.record("now/web/a"); r.Revision < old.Revision+1 && r.Revision < uint64(time.Now().Unix()) {
			t.Errorf("the next record has the revision %d, the one before %d", r.Revision, old.Revision)
		}
	})
	inWorld(t, sharedStart, plain, nil, func(w *world) { // it was not connected when they were removed
		w.share(new(sharedStore))
		w.ApplyShared([]SharedRecord{ofMember("a", keepEnded, true)}, true)
		w.SharedLost()
		if lost := w.ApplyShared(nil, true); len(lost) != 0 || len(w.SaveShared().Records) != 0 {
			t.Errorf("lost %v, known %v", lost, w.SaveShared().Records)
		}
	})
}

// A node that was away for so long that the record of a removal may be gone must not write the override again.
func TestNodeThatWasAwayForLongWritesNothingAgain(t *testing.T) {
	for _, c := range []struct {
		away time.Duration
		lost int
		want string
	}{
		{maxAway - time.Hour, 2, "web/a drained shared@1 by bob at iad1; web/b drained shared@1 by bob at iad1"},
		{maxAway + time.Hour, 0, "web/b forced up shared@1 by bob at iad1"},
	} {
		inWorld(t, sharedStart, plain, nil, func(w *world) {
			w.share(new(sharedStore))
			a, b := foreign(memberA, pools.Drained, 1, false), foreign(memberB, pools.Drained, 2, false)
			var known []Override
			for _, r := range []*SharedRecord{&a, &b} {
				o := r.Override
				o.Shared = &Shared{r.Key, startRevision, r.By, r.Node}
				known = append(known, o)
			}
			w.Restore(Restored{Overrides: known, Shared: SavedShared{Cluster: "prod", Seen: time.Now().Add(-c.away), Records: []SharedRecord{a, b}}})
			lost := w.ApplyShared([]SharedRecord{foreign(memberB, pools.ForcedUp, 1, false)}, true)
			if len(lost) != c.lost {
				t.Errorf("away for %v: lost %v", c.away, lost)
			}
			w.expectList(t, fmt.Sprintf("away for %v", c.away), c.want)
		})
	}
}

func TestFullTableOfSharedOverridesIsReported(t *testing.T) {
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		w.share(new(sharedStore))
		records := []SharedRecord{foreign(memberB, pools.ForcedUp, 1, false)}
		for i := range maxOverrides - 1 {
			records = append(records, ofMember(fmt.Sprint("gone", i), time.Hour, true))
		}
		w.ApplyShared(records, true)
		_, err := w.Override(memberA, pools.ForcedUp, OverrideOptions{})
		var refused *RequestError
		if !errors.As(err, &refused) || !strings.Contains(refused.What, "the limit of 10000 shared overrides is reached: 1 apply or are scheduled, and the records of 9999 that have ended stay in etcd for 14 days") {
			t.Errorf("one more: %v", err)
		}
		if _, err := w.Undo(memberB, ChangeOptions{}); err != nil {
			t.Errorf("a removal, which needs no room: %v", err)
		}
		w.ApplyShared([]SharedRecord{foreign(memberA, pools.ForcedUp, 1, false)}, false)
		w.expectList(t, "a record of another node", "web/a forced up shared@1 by bob at iad1")
	})
}
