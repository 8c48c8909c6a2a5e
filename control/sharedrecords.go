package control

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"meridian/control/event"
)

// How long what has ended is known. A node that was away must learn that an override was removed or has ended, or it would
// write the record from before that again. So records of ended overrides stay in the store for keepEnded, and a node that
// has not read the store for maxAway writes nothing again: it takes over what the store has. The difference is the error of
// clocks that is tolerated.
const (
	keepEnded = 14 * 24 * time.Hour
	maxAway   = 7 * 24 * time.Hour
)

// endedAt returns when the override of a record has ended, or will; zero: it has no end.
func (r *SharedRecord) endedAt() time.Time {
	switch until := r.Override.Until; {
	case r.Removed, !until.IsZero() && until.Before(r.Changed):
		return r.Changed
	default:
		return until
	}
}

// endedFor reports whether the override of a record ended that long ago.
func (r *SharedRecord) endedFor(d time.Duration, now time.Time) bool {
	at := r.endedAt()
	return !at.IsZero() && now.Sub(at) >= d
}

// nextRevision returns the revision of the next record of a key. It is not below the seconds of Unix time: the record of a
// key that was removed from the store counts for nodes that still know the one before.
func (s *sharedRecords) nextRevision(key string, now time.Time) uint64 {
	return max(s.records[key].Revision+1, uint64(max(now.Unix(), 1)))
}

// lastSeen returns when the store was last read.
func (s *sharedRecords) lastSeen(now time.Time) time.Time {
	if s.connected {
		return now.Round(0)
	}
	return s.seen
}

// missing returns the records that a store with these revisions lacks.
func (s *sharedRecords) missing(stored map[string]uint64) (lost []SharedRecord) {
	for _, key := range slices.Sorted(maps.Keys(s.records)) {
		if stored[key] < s.records[key].Revision {
			lost = append(lost, s.records[key])
		}
	}
	return lost
}

func revisionsOf(records []SharedRecord) map[string]uint64 {
	all := make(map[string]uint64, len(records))
	for i := range records {
		all[records[i].Key] = records[i].Revision
	}
	return all
}

// forgetOldLocked forgets known records that the store does not have: those that ended long ago, because a node has removed
// them from the store, and all of them if this node was away for too long. It returns the overrides without them.
func (c *Control) forgetOldLocked(o overrides, stored map[string]uint64, now time.Time) (next overrides, changed bool) {
	away := !c.shared.connected && now.Sub(c.shared.seen) > maxAway
	dropped := make(map[string]bool)
	for key, r := range c.shared.records {
		_, isStored := stored[key]
		if away && stored[key] != r.Revision || !isStored && r.endedFor(keepEnded/2, now) {
			delete(c.shared.records, key)
			dropped[key] = true
		}
	}
	next = slices.DeleteFunc(slices.Clone(o), func(s Override) bool {
		gone := s.isShared() && dropped[s.Shared.Key]
		if gone {
			c.report(slog.LevelWarn, "override removed", s.attributes(), s.event(event.Warning, "removed: etcd does not have it, and this node has not read etcd for more than 7 days"))
		}
		return gone
	})
	return next, len(dropped) > 0
}

// SharedRemoved forgets records that were removed from the store, because their overrides ended long ago.
func (c *Control) SharedRemoved(keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		if r, ok := c.shared.records[key]; ok && r.endedFor(keepEnded/2, time.Now()) {
			delete(c.shared.records, key)
		}
	}
	c.markDirty()
}

// SharedLost records that the store cannot be read any more.
func (c *Control) SharedLost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shared.seen, c.shared.connected = c.shared.lastSeen(time.Now()), false
}

// EndedShared returns the revisions of the records that can be removed from the store, by key.
func (c *Control) EndedShared(now time.Time) map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := make(map[string]uint64)
	for key, r := range c.shared.records {
		if r.endedFor(keepEnded, now) {
			ended[key] = r.Revision
		}
	}
	return ended
}

// checkSharedRoom returns an error if the store has no room for other keys.
func (c *Control) checkSharedRoom(records []SharedRecord) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := 0
	for i := range records {
		if _, known := c.shared.records[records[i].Key]; !known {
			more++
		}
	}
	if more == 0 || len(c.shared.records)+more <= maxOverrides {
		return nil
	}
	ended, now := 0, time.Now()
	for _, r := range c.shared.records {
		if r.endedFor(0, now) {
			ended++
		}
	}
	return &RequestError{
		What: fmt.Sprintf("the limit of %d shared overrides is reached: %d apply or are scheduled, and the records of %d that have ended stay in etcd for %d days",
			maxOverrides, len(c.shared.records)-ended, ended, int(keepEnded.Hours()/24)),
		Hint: `remove some and use region:NAME or a pool in place of many members; --local changes this node only; in the API: "local": true`,
	}
}
