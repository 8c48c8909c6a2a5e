package resolvers

import (
	"slices"
	"time"

	"meridian/pools"
)

// Removal is a change that removes members from the answers.
type Removal struct {
	ID      string
	Since   time.Time
	Members func() map[pools.MemberNames]bool
}

// removal is an active removal with the answers that had its members.
type removal struct {
	id      string
	since   time.Time
	members map[pools.MemberNames]bool
	holders []*holder
}

// holder is a resolver that had an answer with a removed member when the removal began.
type holder struct {
	removal *removal
	weight  float64   // queries
	until   time.Time // when it no longer has the old answer at the latest, by its TTL
	asked   bool      // it has a new answer
	shared  bool      // several caches share its address: a new answer to one of them proves nothing
}

func (m *removal) has(members []pools.MemberNames) bool {
	return slices.ContainsFunc(members, func(names pools.MemberNames) bool { return m.members[names] })
}

// maxRemovals is the maximum number of removals that are followed by their answers; the others are not measured.
const maxRemovals = 32

// SetRemovals makes all the active removals: those that are new begin at now, others end.
func (t *Table) SetRemovals(all []Removal, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var next []*removal
	for _, r := range all {
		i := slices.IndexFunc(t.removals, func(m *removal) bool { return m.id == r.ID && m.since.Equal(r.Since) })
		switch {
		case i >= 0:
			next = append(next, t.removals[i])
		case len(next) < maxRemovals && !r.Since.Before(t.since): // else what resolvers had when it began is not known
			next = append(next, t.begin(r, now))
		}
	}
	for _, m := range t.removals {
		if !slices.Contains(next, m) {
			t.end(m)
		}
	}
	t.removals = next
}

// begin collects the answers that may still be in use and have a removed member.
func (t *Table) begin(r Removal, now time.Time) *removal {
	m := &removal{id: r.ID, since: r.Since, members: r.Members()}
	for _, from := range t.known {
		for _, c := range from.answers {
			until := c.at.Add(from.keeps(c.ttl))
			if !until.After(now) || !m.has(c.members) {
				continue
			}
			h := &holder{removal: m, weight: c.weight, until: until, shared: from.caching() == ManyCaches}
			m.holders = append(m.holders, h)
			c.awaiting = append(c.awaiting, h)
		}
	}
	return m
}

// end forgets the holders of a removal.
func (t *Table) end(m *removal) {
	for _, from := range t.known {
		for _, c := range from.answers {
			c.awaiting = slices.DeleteFunc(c.awaiting, func(h *holder) bool { return h.removal == m })
		}
	}
}

// Progress is how many clients have left removed members, as inferred from queries. The parts are of all queries that
// had led to these members, the older ones less; they sum to 1.
type Progress struct {
	Answers int       // cached answers when the removal began; 0: no resolver is known to have had one
	Asked   float64   // the resolver has got a new answer
	Expired float64   // it has not, and the old one has expired
	Holding float64   // it may still have the old one
	Until   time.Time // when the last of these expires; zero: none is left
}

// Progress returns the progress of an active removal. ok is false if it is not measured.
func (t *Table) Progress(id string, now time.Time) (p Progress, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.removals, func(m *removal) bool { return m.id == id })
	if i < 0 {
		return p, false
	}
	all := 0.0
	for _, h := range t.removals[i].holders {
		all += h.weight
		switch {
		case h.asked && !h.shared:
			p.Asked += h.weight
		case !h.until.After(now):
			p.Expired += h.weight
		default:
			p.Holding += h.weight
			if h.until.After(p.Until) {
				p.Until = h.until
			}
		}
	}
	p.Answers = len(t.removals[i].holders)
	if all > 0 {
		p.Asked, p.Expired, p.Holding = p.Asked/all, p.Expired/all, p.Holding/all
	}
	return p, true
}
