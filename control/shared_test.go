package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/cluster/rollout"
	"meridian/pools"
)

// sharedStore is the store of a cluster in memory. Ticks write to it, too.
type sharedStore struct {
	mu      sync.Mutex // guards the fields below
	records map[string]SharedRecord
	before  func([]SharedRecord) error // called by the next write, which fails with its error
	writes  []string                   // keys with revisions
}

// onWrite has the next write call f and fail with its error.
func (s *sharedStore) onWrite(f func([]SharedRecord) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// record returns a record of s.
func (s *sharedStore) record(key string) SharedRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[key]
}

// write implements Sharing.Write.
func (s *sharedStore) write(all []SharedRecord) error {
	s.mu.Lock()
	before := s.before
	s.before = nil
	s.mu.Unlock()
	if before != nil {
		if err := before(all); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range all {
		if err := r.Validate(); err != nil {
			return err
		}
		s.records[r.Key] = r
		s.writes = append(s.writes, fmt.Sprintf("%s@%d removed=%v by %s", r.Key, sinceStart(r.Revision), r.Removed, r.By))
	}
	return nil
}

// share connects w to a store.
func (w *world) share(s *sharedStore) {
	s.records = make(map[string]SharedRecord)
	w.UseSharing(&Sharing{
		Cluster: "prod", Node: "ams1", Write: s.write,
		Confirm: func() (confirmed, unconfirmed []string) { return []string{"ams1"}, []string{"iad1"} },
	})
}

// list returns the overrides of w as text.
func (w *world) list() string {
	var all []string
	for _, o := range w.Overrides() {
		text := fmt.Sprintf("%s %s", o.Target, o.Kind)
		if o.IsScheduled() {
			text += " later"
		}
		if o.Local {
			text += " local"
		}
		if o.Shared != nil {
			text += fmt.Sprintf(" shared@%d by %s at %s", sinceStart(o.Shared.Revision), o.Shared.By, o.Shared.Node)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// expectList compares the overrides of w.
func (w *world) expectList(t *testing.T, when, want string) {
	t.Helper()
	if got := w.list(); got != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// startRevision is the revision of a first record at sharedStart.
const startRevision = 1768006800

// sinceStart returns a revision, counted from 1 at sharedStart.
func sinceStart(revision uint64) uint64 { return revision - startRevision + 1 }

// foreign returns a record that another node has written, with a revision counted from 1 at sharedStart.
func foreign(target Selector, kind pools.Kind, revision uint64, removed bool) SharedRecord {
	o := Override{Target: target, Kind: kind.String(), Since: time.Now()}
	return SharedRecord{Key: o.sharedKey(), Revision: startRevision + revision - 1, Changed: time.Now(), By: "bob", Node: "iad1", Removed: removed, Override: o}
}

const sharedStart = "2026-01-10T01:00:00Z"

func TestSharedOverrideIsWrittenFirst(t *testing.T) {
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		s := new(sharedStore)
		w.share(s)
		s.onWrite(func([]SharedRecord) error { return errors.New("no route") })
		_, err := w.Override(memberA, pools.Drained, OverrideOptions{})
		var refused *RequestError
		if !errors.As(err, &refused) || !refused.Unavailable || !strings.Contains(refused.What, "etcd is unavailable") || !strings.Contains(refused.Hint, "--local") {
			t.Errorf("%v", err)
		}
		w.expectList(t, "after a write that failed", "")
		s.onWrite(func([]SharedRecord) error { return &rollout.UncertainError{Err: errors.New("no answer")} })
		_, err = w.Override(memberA, pools.Drained, OverrideOptions{})
		if !errors.As(err, &refused) || !refused.Unavailable || !strings.Contains(refused.What, "it is not known whether the change is shared: no answer; the write may have been made") ||
			!strings.Contains(refused.Hint, "meridian status lists the override if etcd has it") {
			t.Errorf("a write without an answer: %v", err)
		}

		said, err := w.Override(memberA, pools.Drained, OverrideOptions{ChangeOptions: ChangeOptions{By: "alice"}})
		if err != nil || !slices.Equal(said.Confirmed, []string{"ams1"}) || !slices.Equal(said.Unconfirmed, []string{"iad1"}) {
			t.Errorf("%+v, %v", said, err)
		}
		w.expectList(t, "set", "web/a drained shared@1 by alice at ams1")
		if lost := w.ApplyShared([]SharedRecord{s.record("now/web/a")}, true); len(lost) != 0 {
			t.Errorf("lost %v", lost)
		}
		if _, err := w.Override(memberA, pools.ForcedUp, OverrideOptions{ChangeOptions: ChangeOptions{Local: true}}); err != nil {
			t.Fatal(err)
		}
		w.expectList(t, "and a local one, which has precedence", "web/a drained shared@1 by alice at ams1; web/a forced up local")
		w.expect(t, "2026-01-10T01:00:01Z", "a=forced up b=up")
		if _, err := w.Override(memberA, pools.ForcedDown, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		w.expectList(t, "another shared one", "web/a forced down shared@2 by  at ams1; web/a forced up local")
		if _, err := w.Undo(memberA, ChangeOptions{By: "bob"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Undo(memberA, ChangeOptions{}); err == nil || !strings.Contains(err.Error(), "web/a is forced up on this node only") {
			t.Errorf("removing what is local: %v", err)
		}
		w.expectList(t, "without the shared one", "web/a forced up local")
		if got, want := strings.Join(s.writes, "; "), "now/web/a@1 removed=false by alice; now/web/a@2 removed=false by ; now/web/a@3 removed=true by bob"; got != want {
			t.Errorf("written: %s, want %s", got, want)
		}
		w.expectEvents(t, "01:00:00: warning web/a: drained set", "01:00:00: warning web/a: forced up set", "01:00:01: warning web/a: forced down set", "01:00:01: info web/a: forced down removed")
	})
}

// Two nodes that drain one member each at the same time must not leave a name without an answer.
func TestSharedOverrideIsCheckedUnderTheOnesOfOtherNodes(t *testing.T) {
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		s := new(sharedStore)
		w.share(s)
		s.onWrite(func([]SharedRecord) error {
			w.ApplyShared([]SharedRecord{foreign(memberB, pools.Drained, 1, false)}, false)
			return ErrSharedChanged
		})
		_, err := w.Override(memberA, pools.Drained, OverrideOptions{})
		if err == nil || !strings.Contains(err.Error(), "draining web/a would leave no answer") {
			t.Errorf("%v, want a refusal", err)
		}
		w.expectList(t, "after the refusal", "web/b drained shared@1 by bob at iad1")
		s.onWrite(func(all []SharedRecord) error { // the watch is faster than the answer of the write
			w.ApplyShared(all, false)
			return nil
		})
		if _, err := w.Override(memberB, pools.ForcedDown, OverrideOptions{}); err != nil {
			t.Error(err)
		}
		w.expectList(t, "applied by the watch", "web/b forced down shared@2 by  at ams1")
		w.expectEvents(t, "01:00:00: warning web/b: drained set", "01:00:00: warning web/b: forced down set")
	})
}

func TestSharedRecordsOfHigherRevisionCount(t *testing.T) {
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		w.share(new(sharedStore))
		second := foreign(memberA, pools.Drained, 2, false)
		w.ApplyShared([]SharedRecord{second}, false)
		w.ApplyShared([]SharedRecord{foreign(memberA, pools.ForcedDown, 1, false)}, true)
		w.expectList(t, "an older record", "web/a drained shared@2 by bob at iad1")
		if lost := w.ApplyShared(nil, true); len(lost) != 1 || lost[0].Revision != second.Revision {
			t.Errorf("lost %+v", lost)
		}
		ended := foreign(memberB, pools.Drained, 1, false)
		ended.Override.Until = time.Now()
		w.ApplyShared([]SharedRecord{ended, foreign(memberA, pools.Drained, 3, true)}, true)
		w.expectList(t, "removed and ended", "")
		w.ApplyShared([]SharedRecord{second}, false)
		w.expectList(t, "a record from before the removal", "")
		w.expect(t, "2026-01-10T01:00:01Z", "a=up b=up")
	})
}

// Every node begins a scheduled override by itself, without the store, and its removal removes the record it was scheduled with.
func TestSharedScheduledOverride(t *testing.T) {
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		s := new(sharedStore)
		w.share(s)
		if _, err := w.Override(memberA, pools.ForcedUp, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{})
		later := s.record("later/20260110T020000Z/web/a")
		s.onWrite(func([]SharedRecord) error { return errors.New("etcd is away when it begins") })
		w.expect(t, "2026-01-10T02:00:01Z", "a=drained b=up")
		w.expectList(t, "begun", "web/a drained shared@1 by  at ams1")
		w.ApplyShared([]SharedRecord{later}, true)
		w.expectList(t, "read again", "web/a drained shared@1 by  at ams1")
		if _, err := w.Undo(memberA, ChangeOptions{}, pools.Drained); err != nil {
			t.Fatal(err)
		}
		if r := s.record("later/20260110T020000Z/web/a"); !r.Removed || r.Revision <= later.Revision {
			t.Errorf("%+v", r)
		}
	})
	inWorld(t, sharedStart, plain, nil, func(w *world) { // another one, while the first one applies
		s := new(sharedStore)
		w.share(s)
		w.mustSchedule(t, memberA, "2026-01-10T02:00:00Z", ChangeOptions{})
		first := s.record("later/20260110T020000Z/web/a")
		w.expect(t, "2026-01-10T02:00:01Z", "a=drained b=up")
		w.mustSchedule(t, memberA, "2026-01-11T02:00:00Z", ChangeOptions{})
		second := s.record("later/20260111T020000Z/web/a")
		if s.record(first.Key).Removed || second.Revision == 0 {
			t.Errorf("%+v, %+v", s.record(first.Key), second)
		}
		w.expect(t, "2026-01-10T02:00:02Z", "a=drained b=up")
		other := foreign(memberA, pools.Drained, 1, false)
		other.Override.At = second.Override.At.Add(time.Hour)
		other.Key = other.Override.sharedKey()
		w.ApplyShared([]SharedRecord{other}, false)
		w.expect(t, "2026-01-10T02:00:03Z", "a=drained b=up")
	})
	inWorld(t, sharedStart, plain, nil, func(w *world) { // another node
		w.share(new(sharedStore))
		r := foreign(memberA, pools.Drained, 1, false)
		r.Override.At = time.Now().Add(time.Hour)
		r.Key = r.Override.sharedKey()
		w.ApplyShared([]SharedRecord{r}, false)
		w.expect(t, "2026-01-10T01:59:58Z", "a=up b=up")
		w.expect(t, "2026-01-10T02:00:02Z", "a=drained b=up")
	})
}

func TestSharedOverridesSurviveRestart(t *testing.T) {
	var saved Restored
	inWorld(t, sharedStart, plain, nil, func(w *world) {
		w.share(new(sharedStore))
		if _, err := w.Override(memberA, pools.Drained, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(Restored{Shared: w.SaveShared(), Overrides: w.Overrides()})
		if err == nil {
			err = json.Unmarshal(text, &saved)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, c := range []struct{ cluster, want string }{
		{"prod", "web/a drained shared@1 by  at ams1"},
		{"staging", "web/a drained local"},
		{"", "web/a drained"},
	} {
		inWorld(t, sharedStart, plain, nil, func(w *world) {
			if c.cluster != "" {
				w.UseSharing(&Sharing{Cluster: c.cluster})
			}
			w.Restore(saved)
			w.expectList(t, "in the cluster "+c.cluster, c.want)
			if lost := w.ApplyShared(nil, true); c.cluster != "" && len(lost) > 0 != (c.cluster == "prod") {
				t.Errorf("in the cluster %s, lost %v", c.cluster, lost)
			}
		})
	}
}

// What the store has and a node cannot read is counted for metrics, of overrides only if they are shared.
func TestRejectedRecordsAreMeasured(t *testing.T) {
	w := &world{Control: new(Control)}
	if got := w.recordRejections(); len(got) != 0 {
		t.Errorf("without a cluster: %v", got)
	}
	w.UseSharing(&Sharing{Cluster: "prod", Node: "ams1", Rejected: func() map[string]uint64 { return map[string]uint64{"version": 3} }})
	w.UseRollout(rollout.New(rollout.Options{}))
	got := w.recordRejections()
	if n, ok := got[RecordRejection{"configuration", "signature"}]; !ok || n != 0 || got[RecordRejection{"overrides", "version"}] != 3 {
		t.Errorf("counted %v", got)
	}
}
