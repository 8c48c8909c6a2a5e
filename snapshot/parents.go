package snapshot

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/dnssec/keys"
)

// parent holds the data about the parent of a zone. AskParents writes it, UpdateKeys reads it.
type parent struct {
	view  atomic.Pointer[keys.DSView] // the answers of all servers, until UpdateKeys has used them; nil: none
	waits atomic.Bool                 // a rollover waits for the parent

	asked    time.Time // the last time; of the goroutine of AskParents
	failures int       // in a row
}

// The times between questions to the servers of a parent.
const (
	askAtLeast = time.Second // between two questions
	askWaiting = time.Minute // while a rollover waits
	askIdle    = time.Hour
)

// maxAsking is how many zones are asked about at the same time.
const maxAsking = 16

// AskParents asks the servers of the parents for the DS records of the zones that are due. It returns an error that
// names the first zone without an answer of all servers, and asked is false if no zone was due. It is for one goroutine at
// a time.
func (s *Signing) AskParents(ctx context.Context, now time.Time) (asked bool, err error) {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	room := make(chan struct{}, maxAsking)
	for i := range s.Zones {
		p, policy := &s.parents[i], s.cfg.DNSSECPolicy(&s.cfg.Zones[i])
		if s.Zones[i] == nil || policy.Manager != config.AutoManager || len(policy.Parent.Servers) == 0 || !p.due(policy, now) {
			continue
		}
		p.asked, asked = now, true
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			view, err := keys.Ask(ctx, policy.Parent.Servers, s.cfg.Zones[i].Name)
			p.view.Store(view)
			if err == nil {
				p.failures = 0
				return
			}
			p.failures++
			mu.Lock()
			defer mu.Unlock()
			first = errOr(first, fmt.Errorf("%s: %w", s.cfg.Zones[i].Name, err))
		})
	}
	all.Wait()
	return asked, first
}

// due reports whether the parent is to be asked: often while a rollover waits, but not more often than resolvers forget
// its DS records, and less often after failures.
func (p *parent) due(policy *config.SigningPolicy, now time.Time) bool {
	interval := askIdle
	if p.waits.Load() {
		interval = max(askAtLeast, min(askWaiting, policy.Parent.DSTTL/4))
	}
	return p.asked.IsZero() || !now.Before(p.asked.Add(min(interval<<min(p.failures, 6), askIdle)))
}

// Waits reports whether a rollover of any zone waits for its parent, and the parent can be asked within seconds.
func (s *Signing) Waits() bool {
	for i := range s.parents {
		if s.Zones[i] == nil || !s.parents[i].waits.Load() {
			continue
		}
		policy := s.cfg.DNSSECPolicy(&s.cfg.Zones[i])
		if len(policy.Parent.Servers) > 0 && policy.Parent.DSTTL < askWaiting {
			return true
		}
	}
	return false
}

// String returns the change in words, without the zone.
func (c KeyChange) String() string { return fmt.Sprintf("key %d %s", c.Key, c.What) }

// LeastSafety returns the shortest publish_safety of the policies. Key files must be read more often: a command may have
// made a key that is about to sign.
func (s *Signing) LeastSafety() time.Duration {
	least := askIdle
	for i := range s.cfg.DNSSEC.Policies {
		least = min(least, s.cfg.DNSSEC.Policies[i].PublishSafety)
	}
	return least
}
