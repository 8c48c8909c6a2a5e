package pools

import "time"

// SavedSince is since when a pool has its mode and liveness. The JSON form outlives the process: fields may be added,
// but must not change their meaning. Arrays are by family, IPv4 first.
type SavedSince struct {
	Pool      string       `json:"pool"`
	Mode      [2]string    `json:"mode"` // as Mode.String
	ModeSince [2]time.Time `json:"mode_since"`
	Live      [2]bool      `json:"live"`
	LiveSince [2]time.Time `json:"live_since"`
}

// SaveSince returns what another process is to restore.
func (t *Tree) SaveSince() []SavedSince {
	all := make([]SavedSince, 0, len(t.pools))
	for id := range t.pools {
		s := SavedSince{Pool: t.cfg.Pools[id].Name}
		for f, n := range t.sincesOf(ID(id)) {
			s.Mode[f], s.ModeSince[f], s.Live[f], s.LiveSince[f] = n.mode.String(), n.modeSince, n.live, n.liveSince
		}
		all = append(all, s)
	}
	return all
}

// RestoreSince restores the times that another process saved, for pools that have the same mode or liveness. Times
// after the present ones mean that the clock was set back, and are ignored. Call it when t begins to answer.
func (t *Tree) RestoreSince(saved []SavedSince) {
	was := make(map[string]*SavedSince, len(saved))
	for i := range saved {
		was[saved[i].Pool] = &saved[i]
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	for id := range t.pools {
		then := was[t.cfg.Pools[id].Name]
		if then == nil {
			continue
		}
		now := t.sincesOf(ID(id))
		for f := range now {
			n := &now[f]
			if n.mode.String() == then.Mode[f] && !then.ModeSince[f].IsZero() {
				n.modeSince = earlier(n.modeSince, then.ModeSince[f])
			}
			if n.live == then.Live[f] && !then.LiveSince[f].IsZero() {
				n.liveSince = earlier(n.liveSince, then.LiveSince[f])
			}
		}
		t.since[id].Store(&now)
	}
}
